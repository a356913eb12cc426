"""Memory and persona: whose they are, what forgetting removes, which old versions stay."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from tests.agent.knowledge.conftest import Shelf

from microclaw.agent.knowledge.memory import MAX_FORGOTTEN, MAX_PERSONA_BYTES, default_soul
from microclaw.agent.knowledge.texts import VERSIONS_KEPT
from microclaw.errors import StoreError, ToolRetry


async def test_a_fact_of_the_owner_is_a_line_of_mimiclaws_file(shelf: Shelf) -> None:
    kept = await shelf.memory.remember("owner", "  The pump relay is\non pin 4 ")
    path = shelf.home / "memory" / "MEMORY.md"
    assert path.read_text() == "# Memory\n\n- The pump relay is on pin 4\n"
    assert [(shelf.home / kept.name).stat().st_mode & 0o777, path.parent.stat().st_mode & 0o777] == [0o600, 0o700]
    path.write_text("# Memory\n\n- half a li")  # edited by hand
    await shelf.memory.remember("owner", "a whole line")
    assert shelf.memory.text("owner").splitlines()[-2:] == ["- half a li", "- a whole line"]
    for nothing in ("", " \n", "x" * 1001):
        with pytest.raises(ToolRetry):
            await shelf.memory.remember("owner", nothing)


async def test_another_person_has_a_folder_and_no_name_leads_out_of_it(shelf: Shelf) -> None:
    for person in ("p-7", "..", ".", "../../x", "a/b", "people", "", "~", "x" * 80):
        kept = await shelf.memory.remember(person, "a fact of mine")
        assert (shelf.home / kept.name).parent.parent == shelf.home / "memory" / "people"
        assert (shelf.memory.text("owner"), "fact" in shelf.memory.text(person)) == ("", True)


async def test_forgetting_keeps_the_old_version_touches_nobody_elses_and_asks_which_of_many(shelf: Shelf) -> None:
    await shelf.memory.remember("owner", "red lamp left of the door")
    await shelf.memory.remember("owner", "the door has a red handle and a lamp")
    assert await shelf.memory.forget("p-7", "red lamp") == ()
    assert [one.line for one in await shelf.memory.forget("owner", "red lamp")] == ["- red lamp left of the door"]
    assert "left of" not in shelf.memory.text("owner")
    assert "left of" in shelf.versions("memory/MEMORY.md")[-1].read_text()
    for number in range(MAX_FORGOTTEN + 1):
        await shelf.memory.remember("owner", f"sensor number {number} is fine")
    for words in ("sensor number", " ?! "):
        with pytest.raises(ToolRetry):
            await shelf.memory.forget("owner", words)
    assert len(await shelf.memory.forget("owner", "sensor number", every=True)) == MAX_FORGOTTEN + 1


async def test_old_versions_are_bounded_and_have_the_bytes_that_were_there(shelf: Shelf) -> None:
    umlaut = "- the küche has a relay\n".encode("latin-1")
    shelf.write("memory/MEMORY.md", "").write_bytes(umlaut)
    await shelf.memory.remember("owner", "a fact more")
    (first,) = shelf.versions("memory/MEMORY.md")
    assert first.read_bytes() == umlaut
    for number in range(VERSIONS_KEPT + 5):
        shelf.clock.pass_days(1)
        await shelf.memory.remember("owner", f"fact {number}")
    old = shelf.versions("memory/MEMORY.md")
    assert len(old) == VERSIONS_KEPT
    assert f"fact {VERSIONS_KEPT + 3}" in old[-1].read_text()


async def test_a_link_is_not_followed_and_what_is_no_file_refused_at_once(shelf: Shelf) -> None:
    """A pipe would be waited for without end."""
    secret = shelf.write("secret", "keep me\n")
    (shelf.home / "memory").mkdir()
    path = shelf.home / "memory" / "MEMORY.md"
    path.symlink_to(secret)
    with pytest.raises(StoreError):
        await shelf.memory.remember("owner", "a fact")
    assert secret.read_text() == "keep me\n"
    for make, remove in ((os.mkfifo, os.unlink), (Path.mkdir, os.rmdir)):
        path.unlink(missing_ok=True)
        make(path)
        with pytest.raises(StoreError):
            shelf.memory.texts.read("memory/MEMORY.md")
        remove(path)


async def test_a_persons_own_texts_are_read_afresh_and_never_written(shelf: Shelf) -> None:
    assert (shelf.memory.soul(), shelf.memory.user("owner")) == (default_soul(), "")
    for text, read in (("You are terse.\n", "You are terse."), ("  \n", default_soul())):
        shelf.write("config/SOUL.md", text)
        assert shelf.memory.soul() == read
    shelf.write("config/SOUL.md", "You are long.\n" * 10_000)
    assert len(shelf.memory.soul()) <= MAX_PERSONA_BYTES
    shelf.write("config/USER.md", "I own this.")
    shelf.write("memory/people/p1/USER.md", "I am a guest.")
    assert [shelf.memory.user(one) for one in ("owner", "p1", "p2")] == ["I own this.", "I am a guest.", ""]
