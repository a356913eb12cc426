"""What a person types, without a terminal."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from microclaw.channels.prompt import line_reader


def test_lines_are_read_until_the_end(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("set pin 4 on\n\n  what is running  \n"))
    read_line = line_reader(tmp_path / "history")
    assert [read_line() for _ in range(4)] == ["set pin 4 on", "", "what is running", None]
    assert not (tmp_path / "history").exists()


@pytest.mark.parametrize("word", ["exit", "quit", "Exit", " bye "])
def test_a_word_of_parting_leaves(monkeypatch: pytest.MonkeyPatch, word: str) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(f"{word}\nmore\n"))
    assert line_reader(None)() is None
