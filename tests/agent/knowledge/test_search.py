"""Search: what is found, whose it is, and that the index follows the files."""

from __future__ import annotations

import os

from tests.agent.knowledge.conftest import Shelf, rows_of

from microclaw.host.store.sessions import SessionMessage

TS = 1_790_000_000


async def test_a_guest_never_finds_the_owners(shelf: Shelf) -> None:
    await shelf.memory.remember("owner", "the alarm code is 4711")
    await shelf.memory.note("owner", "alarm code tried")
    await shelf.memory.remember_wiring("desk", "alarm siren on pin 5")
    await shelf.sessions.append("tg", "1", [SessionMessage("user", "what was the alarm code", TS)])
    await shelf.memory.remember("guest-1", "my alarm rings at seven")
    await shelf.sessions.append("tg", "1", [SessionMessage("user", "set my alarm", TS, "guest-1")])  # the same chat
    assert sorted(await shelf.texts("guest-1", "alarm code 4711 siren")) == ["my alarm rings at seven", "set my alarm"]
    assert await shelf.texts("guest-2", "alarm") == []
    assert "set my alarm" not in await shelf.texts("owner", "alarm")
    assert len(await shelf.texts("owner", "alarm")) == 4


async def test_a_file_edited_by_hand_is_read_again_and_a_removed_one_found_no_more(shelf: Shelf) -> None:
    path = shelf.write("memory/MEMORY.md", "- the fan is on pin 6\n")
    assert await shelf.texts("owner", "fan")
    path.write_text("- the oven is on pin 66\n")  # of the same size
    os.utime(path, ns=(1, 1))
    assert await shelf.texts("owner", "fan") == []
    assert await shelf.texts("owner", "oven") == ["the oven is on pin 66"]
    path.unlink()
    assert await shelf.texts("owner", "oven") == []
    assert await rows_of(shelf.table) == 0


async def test_links_versions_and_other_files_are_not_searched(shelf: Shelf) -> None:
    secret = shelf.write("secret.md", "- the treasure\n")
    (shelf.home / "memory").mkdir()
    (shelf.home / "memory" / "2026-01-01.md").symlink_to(secret)
    shelf.write("memory/versions/MEMORY.20260101T000000000000.md", "- old treasure\n")
    shelf.write("memory/notes.md", "- other treasure\n")
    assert await shelf.texts("owner", "treasure") == []


async def test_more_shared_words_go_before_newer_ones_and_these_before_older(shelf: Shelf) -> None:
    numbers = "".join(f"- board reading number {n}\n" for n in range(3000))
    old = "- measured the battery voltage twice\n- greenhouse pump relay pin 4\n"
    new = "- measured the battery voltage once\n- bought a pump, it was cheap\n- board reading today\n"
    shelf.write("memory/2025-01-01.md", f"{old}{numbers}")
    shelf.write("memory/2026-11-19.md", new)
    for words, days in (
        ("battery voltage", ["2026-11-19", "2025-01-01"]),
        ("greenhouse pump relay", ["2025-01-01"]),
        ("board reading", ["2026-11-19"]),
    ):
        found = await shelf.search.find("owner", words)
        assert [one.day for one in found][: len(days)] == days
    assert (found[0].source, found[0].kind, found[0].text) == ("memory/2026-11-19.md", "note", "board reading today")


async def test_accents_case_endings_and_scripts_do_not_hide_a_match_and_a_text_has_no_query_syntax(
    shelf: Shelf,
) -> None:
    matches = {
        "die Bewässerung läuft über Pin 4": "BEWASSERUNG",
        "le capteur d'humidité est prêt": "humidite",
        "湿度传感器在阳台的板子上": "传感器在哪里",
        "the relays were soldered": "relay",
        "thermostatisch": "thermo",
    }
    shelf.write("memory/MEMORY.md", "".join(f"- {written}\n" for written in (*matches, "nothing else")))
    assert [await shelf.texts("owner", asked) for asked in matches.values()] == [[written] for written in matches]
    for text in ('" OR *', "NEAR(a b)", "a AND NOT", "-x ^y :z", "words:relay", "\0", "'; DROP TABLE", "(((", "* * *"):
        assert "the relays were soldered" in await shelf.texts("owner", f"{text} relay")
