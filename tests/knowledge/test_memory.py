"""Memory: whose it is, what forgetting removes, which old versions stay."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import date
from pathlib import Path

import pytest
from tests.knowledge.conftest import Shelf

from microclaw.errors import ConfigError, StoreError, ToolRetry
from microclaw.knowledge.memory import MAX_FORGOTTEN
from microclaw.knowledge.texts import MAX_TEXT_BYTES, VERSIONS_KEPT


async def test_a_fact_of_the_owner_is_a_line_of_mimiclaws_file(shelf: Shelf) -> None:
    kept = await shelf.memory.remember("owner", "  The pump relay is\non pin 4 ")
    assert kept.new
    assert (shelf.home / "memory" / "MEMORY.md").read_text() == "# Memory\n\n- The pump relay is on pin 4\n"
    assert (shelf.home / kept.name).stat().st_mode & 0o777 == 0o600
    assert (shelf.home / kept.name).parent.stat().st_mode & 0o777 == 0o700


async def test_another_person_has_a_folder_of_their_own(shelf: Shelf) -> None:
    await shelf.memory.remember("p-7", "my lamp is the red one")
    assert shelf.memory.text("owner") == ""
    assert "red one" in shelf.memory.text("p-7")
    assert (shelf.home / "memory" / "people" / "p-7" / "MEMORY.md").exists()


@pytest.mark.parametrize("person", ["..", ".", "../../x", "a/b", "people", "", "~", "x" * 80])
async def test_no_persons_name_leads_out_of_their_folder(shelf: Shelf, person: str) -> None:
    kept = await shelf.memory.remember(person, "a fact of mine")
    people = shelf.home / "memory" / "people"
    assert (shelf.home / kept.name).parent.parent == people
    assert shelf.memory.text(person) != shelf.memory.text("owner")


async def test_a_note_goes_into_the_file_of_the_day_with_its_time(shelf: Shelf) -> None:
    await shelf.memory.note("owner", "tested the soil sensor")
    assert (shelf.home / "memory" / "2026-11-20.md").read_text() == "# 2026-11-20\n\n- 10:30 tested the soil sensor\n"
    shelf.clock.pass_days(1)
    await shelf.memory.note("owner", "watered")
    assert [day for day, _ in shelf.memory.recent_notes("owner")] == [date(2026, 11, 21), date(2026, 11, 20)]
    shelf.clock.pass_days(1)
    assert [day for day, _ in shelf.memory.recent_notes("owner")] == [date(2026, 11, 21)]


async def test_a_torn_last_line_is_completed_not_joined(shelf: Shelf) -> None:
    shelf.write("memory/MEMORY.md", "# Memory\n\n- half a li")
    await shelf.memory.remember("owner", "a whole line")
    assert shelf.memory.text("owner").splitlines()[-2:] == ["- half a li", "- a whole line"]


async def test_forgetting_removes_the_lines_that_say_it_and_keeps_the_old_version(shelf: Shelf) -> None:
    await shelf.memory.remember("owner", "the relay is on pin 4")
    await shelf.memory.remember("owner", "the cat is called Mimi")
    await shelf.memory.note("owner", "the cat Mimi slept on the board")
    removed = await shelf.memory.forget("owner", "Mimi cat")
    assert sorted(one.name for one in removed) == ["memory/2026-11-20.md", "memory/MEMORY.md"]
    assert "Mimi" not in shelf.memory.text("owner") + str(shelf.memory.recent_notes("owner"))
    assert "pin 4" in shelf.memory.text("owner")
    old = shelf.versions("memory/MEMORY.md")
    assert "Mimi" in old[-1].read_text()


async def test_forgetting_prefers_the_words_as_they_stand(shelf: Shelf) -> None:
    await shelf.memory.remember("owner", "red lamp left of the door")
    await shelf.memory.remember("owner", "the door has a red handle and a lamp")
    removed = await shelf.memory.forget("owner", "red lamp")
    assert [one.line for one in removed] == ["- red lamp left of the door"]


async def test_forgetting_many_lines_asks_which(shelf: Shelf) -> None:
    for number in range(MAX_FORGOTTEN + 1):
        await shelf.memory.remember("owner", f"sensor number {number} is fine")
    with pytest.raises(ToolRetry) as refused:
        await shelf.memory.forget("owner", "sensor number")
    assert refused.value.next_step is not None
    assert len(await shelf.memory.forget("owner", "sensor number", every=True)) == MAX_FORGOTTEN + 1


async def test_forgetting_never_touches_somebody_elses(shelf: Shelf) -> None:
    await shelf.memory.remember("owner", "the safe code is blue")
    assert await shelf.memory.forget("p-7", "safe code") == ()
    assert "blue" in shelf.memory.text("owner")


async def test_forgetting_nothing_in_particular_is_refused(shelf: Shelf) -> None:
    with pytest.raises(ToolRetry):
        await shelf.memory.forget("owner", " ?! ")


async def test_old_versions_are_bounded(shelf: Shelf) -> None:
    for number in range(VERSIONS_KEPT + 5):
        shelf.clock.pass_days(1)
        await shelf.memory.remember("owner", f"fact {number}")
    old = shelf.versions("memory/MEMORY.md")
    assert len(old) == VERSIONS_KEPT
    assert f"fact {VERSIONS_KEPT + 3}" in old[-1].read_text()


async def test_a_full_memory_says_what_to_do(shelf: Shelf) -> None:
    shelf.write("memory/MEMORY.md", "- " + "x" * 65_500 + "\n")
    with pytest.raises(ConfigError):
        await shelf.memory.remember("owner", "y" * 900)


@pytest.mark.parametrize("fact", ["", " \n", "x" * 1001])
async def test_what_is_no_fact_is_refused(shelf: Shelf, fact: str) -> None:
    with pytest.raises(ToolRetry):
        await shelf.memory.remember("owner", fact)


async def test_a_link_in_place_of_the_file_is_not_followed(shelf: Shelf) -> None:
    secret = shelf.write("secret", "keep me\n")
    (shelf.home / "memory").mkdir()
    (shelf.home / "memory" / "MEMORY.md").symlink_to(secret)
    with pytest.raises(StoreError):
        await shelf.memory.remember("owner", "a fact")
    assert secret.read_text() == "keep me\n"


async def test_a_hand_edited_file_is_seen_at_once(shelf: Shelf) -> None:
    await shelf.memory.remember("owner", "one")
    assert "one" in shelf.memory.text("owner")
    shelf.write("memory/MEMORY.md", "- by hand and longer\n")
    assert shelf.memory.text("owner") == "- by hand and longer"


async def test_a_write_that_fails_leaves_the_old_text_and_no_litter(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = shelf.write("memory/MEMORY.md", "old\n")
    with pytest.raises(ConfigError):
        await shelf.memory.write("memory/MEMORY.md", "x" * (MAX_TEXT_BYTES + 1))

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(StoreError):
        await shelf.memory.texts.change("memory/MEMORY.md", lambda _: ("new\n", None), keep=False)
    assert [p.name for p in path.parent.iterdir()] == ["MEMORY.md"]
    assert path.read_text() == "old\n"


def test_a_long_file_is_read_to_a_lines_end(shelf: Shelf) -> None:
    shelf.write("long.md", "".join(f"line {n}\n" for n in range(MAX_TEXT_BYTES // 8)))
    text = shelf.memory.texts.read("long.md")
    assert text.endswith("\n")
    assert MAX_TEXT_BYTES - 20 < len(text) <= MAX_TEXT_BYTES


@pytest.mark.parametrize("name", ["MEMORY.md", "2026-11-20.md"])
async def test_a_file_that_grew_too_long_by_hand_loses_nothing(shelf: Shelf, name: str) -> None:
    """Only its beginning is read, and what is read must not be put in its place."""
    text = "- the last line counts too\n" * (MAX_TEXT_BYTES // 10)
    path = shelf.write(f"memory/{name}", text)
    keep = shelf.memory.remember if name == "MEMORY.md" else shelf.memory.note
    with pytest.raises(ConfigError) as refused:
        await keep("owner", "a fact more")
    assert refused.value.next_step
    with pytest.raises(ConfigError):
        await shelf.memory.forget("owner", "last line counts", every=True)
    assert path.read_text() == text
    assert "last line" in shelf.memory.text("owner") or name != "MEMORY.md"


async def test_the_kept_version_has_the_bytes_that_were_there(shelf: Shelf) -> None:
    path = shelf.write("memory/MEMORY.md", "")
    path.write_bytes("- the küche has a relay\n".encode("latin-1"))
    await shelf.memory.remember("owner", "a fact more")
    (kept,) = shelf.versions("memory/MEMORY.md")
    assert kept.read_bytes() == "- the küche has a relay\n".encode("latin-1")


@pytest.mark.parametrize("make", [os.mkfifo, Path.mkdir])
def test_what_is_no_file_is_refused_at_once(shelf: Shelf, make: Callable[[Path], None]) -> None:
    """A pipe would be waited for without end."""
    make(shelf.home / "MEMORY.md")
    with pytest.raises(StoreError):
        shelf.memory.texts.read("MEMORY.md")
