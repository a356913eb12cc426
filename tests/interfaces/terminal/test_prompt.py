"""A person's typing, without a terminal."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from microclaw.interfaces.terminal.prompt import MAX_LINE_CHARS, line_reader


def test_lines_are_read_until_the_end(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("set pin 4 on\n\n  what is running  \n"))
    read_line = line_reader(tmp_path / "history")
    assert [read_line() for _ in range(4)] == ["set pin 4 on", "", "what is running", None]
    assert not (tmp_path / "history").exists()


@pytest.mark.parametrize("word", ["exit", "quit", "Exit", " bye "])
def test_a_word_of_parting_leaves(monkeypatch: pytest.MonkeyPatch, word: str) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(f"{word}\nmore\n"))
    assert line_reader(None)() is None


def test_the_end_of_a_line_too_long_is_no_message_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("x" * (MAX_LINE_CHARS * 2 - 4) + "undo\nset pin 4 on\n"))
    read_line = line_reader(None)
    assert len(read_line() or "") > MAX_LINE_CHARS  # the host refuses that with its limit
    assert read_line() == "set pin 4 on"
