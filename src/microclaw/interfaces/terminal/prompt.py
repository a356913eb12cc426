"""Reads the lines that a user types: with an editor and a history on a terminal, else plain lines. Answers nothing."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

from microclaw.text import clean_text

PROMPT = "you> "
LEAVE = frozenset({"exit", "quit", "bye"})
MAX_LINE_CHARS = 16 << 10

ReadLine: TypeAlias = Callable[..., str | None]
"""A function `read_line(enter="")`; `enter` is the meaning of an empty line at a terminal."""


def line_reader(history: Path | None) -> ReadLine:
    """Return a function that asks for a line: None if the user wants to leave, "" after Ctrl-C at the prompt."""
    if sys.stdin.isatty() and sys.stdout.isatty():
        return _build_editor(history)
    return _read_plain


def _read_plain(*, enter: str = "") -> str | None:
    # An empty line of a file has no meaning.
    del enter
    sys.stdout.write(PROMPT)
    sys.stdout.flush()
    line = sys.stdin.readline(MAX_LINE_CHARS + 1)
    if not line:
        sys.stdout.write("\n")
        return None
    if len(line) > MAX_LINE_CHARS:
        _skip_rest(line)
    # The input of a file is not visible, so a transcript shows it.
    if not sys.stdin.isatty():
        sys.stdout.write(clean_text(line, one_line=True) + "\n")
    return _parse_line(line)


def _skip_rest(line: str) -> None:
    """Skip the rest of a line that is too long: the host refuses its start, and its end must not be a message."""
    while line and not line.endswith("\n"):
        line = sys.stdin.readline(MAX_LINE_CHARS)


def _build_editor(history: Path | None) -> ReadLine:
    from prompt_toolkit import PromptSession
    from prompt_toolkit.history import FileHistory, History, InMemoryHistory

    store: History = InMemoryHistory()
    if history is not None:
        # The file is created here, because the library would create it readable by others.
        os.close(os.open(history, os.O_CREAT | os.O_APPEND | os.O_WRONLY, 0o600))
        history.chmod(0o600)
        store = FileHistory(str(history))

    session: PromptSession[str] = PromptSession(history=store)

    def ask(*, enter: str = "") -> str | None:
        prompt = f"[Y/n] {PROMPT}" if enter else PROMPT
        try:
            text = _parse_line(session.prompt(prompt))
        except KeyboardInterrupt:
            return ""
        except EOFError:
            return None
        if text == "":
            return enter
        return text

    return ask


def _parse_line(line: str) -> str | None:
    """Return the text of a line, or None for a word that leaves."""
    text = line.strip()
    if text.lower() in LEAVE:
        return None
    return text
