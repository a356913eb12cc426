"""SOUL.md and USER.md: a person's own, read afresh, never written."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from microclaw.knowledge.memory import MAX_PERSONA_BYTES, Memory, default_soul
from microclaw.knowledge.texts import TextFiles


def of(home: Path) -> Memory:
    def now() -> datetime:
        return datetime.now(UTC)

    return Memory(TextFiles(home, now=now), now=now)


def write(home: Path, name: str, text: str) -> None:
    (home / "config").mkdir(exist_ok=True)
    (home / "config" / name).write_text(text)


def test_a_missing_soul_is_the_shipped_one_and_no_file_is_made(tmp_path: Path) -> None:
    persona = of(tmp_path)
    assert persona.soul() == default_soul()
    assert len(default_soul()) > 100
    assert persona.user("owner") == ""
    assert list(tmp_path.iterdir()) == []


def test_an_edited_soul_is_used_in_the_next_turn(tmp_path: Path) -> None:
    persona = of(tmp_path)
    write(tmp_path, "SOUL.md", "You are terse.\n")
    assert persona.soul() == "You are terse."
    write(tmp_path, "SOUL.md", "You are very terse.\n")
    assert persona.soul() == "You are very terse."
    write(tmp_path, "SOUL.md", "  \n")
    assert persona.soul() == default_soul()


def test_each_person_has_a_user_file_of_their_own(tmp_path: Path) -> None:
    persona = of(tmp_path)
    write(tmp_path, "USER.md", "I own this.")
    (tmp_path / "memory" / "people" / "p1").mkdir(parents=True)
    (tmp_path / "memory" / "people" / "p1" / "USER.md").write_text("I am a guest.")
    assert persona.user("owner") == "I own this."
    assert persona.user("p1") == "I am a guest."
    assert persona.user("p2") == ""


def test_a_soul_without_end_is_cut(tmp_path: Path) -> None:
    write(tmp_path, "SOUL.md", "You are long.\n" * 10_000)
    assert len(of(tmp_path).soul()) <= MAX_PERSONA_BYTES
