"""Reads what a person types: a line editor with history on a terminal, plain lines otherwise. It answers nothing."""

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
"""`read_line(enter="")`: `enter` is what Enter alone says, where a person sits at a terminal."""


def line_reader(history: Path | None) -> ReadLine:
    """A function that asks for one line: None when the person wants to leave, "" after Ctrl-C at the prompt."""
    if sys.stdin.isatty() and sys.stdout.isatty():
        return _editor(history)
    return _plain


def _plain(*, enter: str = "") -> str | None:
    del enter  # an empty line of a file says nothing
    sys.stdout.write(PROMPT)
    sys.stdout.flush()
    line = sys.stdin.readline(MAX_LINE_CHARS + 1)
    if not line:
        sys.stdout.write("\n")
        return None
    rest = line if len(line) > MAX_LINE_CHARS else "\n"
    while rest and not rest.endswith("\n"):  # too long: the host refuses it, and its end is no message of its own
        rest = sys.stdin.readline(MAX_LINE_CHARS)
    if not sys.stdin.isatty():  # nobody saw it typed: a transcript shows it
        sys.stdout.write(clean_text(line, one_line=True) + "\n")
    return _meaning(line)


def _editor(history: Path | None) -> ReadLine:
    from prompt_toolkit import PromptSession
    from prompt_toolkit.history import FileHistory, History, InMemoryHistory

    store: History = InMemoryHistory()
    if history is not None:
        os.close(os.open(history, os.O_CREAT | os.O_APPEND | os.O_WRONLY, 0o600))
        history.chmod(0o600)
        store = FileHistory(str(history))

    session: PromptSession[str] = PromptSession(history=store)

    def ask(*, enter: str = "") -> str | None:
        try:
            text = _meaning(session.prompt(f"[Y/n] {PROMPT}" if enter else PROMPT))
            return enter if text == "" else text
        except KeyboardInterrupt:
            return ""
        except EOFError:
            return None

    return ask


def _meaning(line: str) -> str | None:
    text = line.strip()
    return None if text.lower() in LEAVE else text
