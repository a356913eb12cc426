"""`memory sessions --rm` beside a running host: no byte of the data folder has the conversation's words any more."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.cli.conftest import Run

GONE = ("quizzaclefoo", "vexolumbar")  # in no dictionary, and the same after stemming


@pytest.fixture
def home(host: dict[str, Any]) -> Path:
    return Path(host["home"])


def found_in(home: Path, word: str) -> set[str]:
    """The files below the folder that hold the word, or all but its first letters: an index stores those once."""
    parts = (word.encode(), word.encode("utf-16-le"), word[2:].encode())
    files = (path for path in home.rglob("*") if path.is_file())
    return {str(path.relative_to(home)) for path in files if any(part in path.read_bytes() for part in parts)}


def test_a_removed_conversation_leaves_no_word(ask: Run, home: Path) -> None:
    for word in GONE:
        ask("chat", f"set pin 4 of virtual-1 to 1, {word}", "--yes")
        ask("chat", word)
    ask("memory", "search", GONE[0])  # the index reads it
    (home / "chat_history").write_text(f"\n# 2026-11-20\n+{GONE[0]}\n")
    assert "chat_history" in found_in(home, GONE[0])
    assert any(name.startswith("microclaw.db") for name in found_in(home, GONE[0]))

    removed = ask("memory", "sessions", "--rm", "terminal", "--yes")
    assert (removed.code, removed.err) == (0, "")

    assert {word: found_in(home, word) for word in GONE} == {word: set() for word in GONE}
    assert ask("memory", "sessions", "terminal").code != 0
