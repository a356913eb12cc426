"""The check of words finds the house's own words and docstrings that are questions, and nothing else."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest

WORDS = runpy.run_path(str(Path(__file__).parents[2] / "scripts/words.py"))
wrong_words, wrong_docstrings = WORDS["wrong_words"], WORDS["wrong_docstrings"]


@pytest.mark.parametrize("text", ["made Anew", "it runs for\never", "acts that wait for a yes", "it is put back"])
def test_a_word_of_the_house_is_named_with_its_line(text: str) -> None:
    ((line, fault),) = wrong_words(f"first\n{text}")
    assert line == 2
    assert "say " in fault


@pytest.mark.parametrize("text", ["renewed", "begin-anew", "put it back", "forever"])
def test_parts_of_other_words_are_right(text: str) -> None:
    assert [*wrong_words(text)] == []


def test_a_docstring_is_no_question() -> None:
    assert [line for line, _ in wrong_docstrings('"""Whether it is."""\ndef f():\n    """Where it is."""\n')] == [1, 3]
    assert [*wrong_docstrings('"""A place."""\n')] == []
