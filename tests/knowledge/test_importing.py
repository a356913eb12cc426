"""A MimiClaw device's files come over: whole, once, and over nothing that is here."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.knowledge.conftest import Shelf

from microclaw.errors import ConfigError
from microclaw.knowledge.importing import Importer, ImportReport, chat_of
from microclaw.knowledge.skills import Skills
from microclaw.store.sessions import SessionMessage


@pytest.fixture
def device(tmp_path: Path) -> Path:
    """A copy of a device's file system."""
    folder = tmp_path / "spiffs"
    for name in ("config", "memory", "sessions", "skills"):
        (folder / name).mkdir(parents=True)
    (folder / "config" / "SOUL.md").write_text("I am MimiClaw.\n")
    (folder / "config" / "USER.md").write_text("- Name: Ada\n")
    (folder / "memory" / "MEMORY.md").write_text("# Memory\n\n- the lamp is on pin 5\n")
    (folder / "memory" / "2026-02-05.md").write_text("# 2026-02-05\n\nfirst day\n")
    line = '{"role":"user","content":"Hello","ts":1738764800}\n'
    line += '{"role":"assistant","content":"Hi there!","ts":1738764802}\n'
    (folder / "sessions" / "tg_12345.jsonl").write_text(line + '{"role":"user","con')
    (folder / "sessions" / "tg_ws_3.jsonl").write_text(line)
    (folder / "sessions" / "67890.jsonl").write_text(line)
    (folder / "skills" / "daily-briefing.md").write_text(
        "# Daily Briefing\n\nTells the day's news.\nShortly.\n\n## Steps\n1. look\n"
    )
    (folder / "HEARTBEAT.md").write_text("- [ ] water\n")
    jobs = [
        {"id": "1", "name": "plants", "enabled": True, "kind": "every", "interval_s": 3600, "message": "see",
         "channel": "telegram", "chat_id": "12345", "last_run": 0, "next_run": 0, "delete_after_run": False},
        {"id": "2", "name": "once", "enabled": False, "kind": "at", "at_epoch": 1790000000.0, "message": "wake me",
         "channel": "websocket", "chat_id": "ws_3"},
        {"id": "3", "name": "odd", "kind": "never", "message": "x"},
    ]  # fmt: skip
    (folder / "cron.json").write_text(json.dumps({"jobs": jobs}))
    return folder


async def take(shelf: Shelf, folder: Path) -> ImportReport:
    importer = Importer(sessions=shelf.sessions, memory=shelf.memory, skills=shelf.home / "skills")
    return await importer.run(folder)


def outcomes(report: ImportReport) -> dict[str, str]:
    return {file.name: file.outcome for file in report.files}


async def test_everything_of_a_device_comes_over(shelf: Shelf, device: Path) -> None:
    report = await take(shelf, device)
    assert outcomes(report) == {
        "SOUL.md": "taken",
        "USER.md": "taken",
        "HEARTBEAT.md": "taken",
        "MEMORY.md": "taken",
        "2026-02-05.md": "taken",
        "67890.jsonl": "taken",
        "tg_12345.jsonl": "taken",
        "tg_ws_3.jsonl": "taken",
        "skills/daily-briefing.md": "taken",
        "cron.json": "taken",
    }
    hello = (SessionMessage("user", "Hello", 1738764800), SessionMessage("assistant", "Hi there!", 1738764802))
    assert await shelf.sessions.load("tg", "12345") == hello
    assert await shelf.sessions.load("tg", "67890") == hello
    assert await shelf.sessions.load("ws", "3") == hello
    assert "pin 5" in shelf.memory.text("owner")
    assert await shelf.texts("owner", "lamp")
    torn = next(file for file in report.files if file.name == "tg_12345.jsonl")
    assert "1 torn" in torn.detail


async def test_jobs_are_given_to_the_schedules(shelf: Shelf, device: Path) -> None:
    every, once = (await take(shelf, device)).jobs
    assert (every.name, every.every_s, every.at_s, every.channel, every.chat_id) == (
        "plants",
        3600,
        None,
        "tg",
        "12345",
    )
    assert (once.at_s, once.enabled, once.channel, once.chat_id) == (1790000000, False, "ws", "3")


async def test_a_second_import_changes_nothing(shelf: Shelf, device: Path) -> None:
    await take(shelf, device)
    before = {p: p.read_bytes() for p in shelf.home.rglob("*") if p.is_file() and "store.db" not in p.name}
    again = await take(shelf, device)
    assert set(outcomes(again).values()) - {"taken"} == {"same"}
    assert [f.name for f in again.files if f.outcome == "taken"] == ["cron.json"]
    assert {p: p.read_bytes() for p in shelf.home.rglob("*") if p.is_file() and "store.db" not in p.name} == before


async def test_what_is_here_stays(shelf: Shelf, device: Path) -> None:
    shelf.write("config/SOUL.md", "I am me.\n")
    shelf.write("skills/daily-briefing/SKILL.md", "mine")
    await shelf.memory.remember("owner", "mine too")
    await shelf.sessions.append("tg", "12345", [SessionMessage("user", "later", 1800000000)])
    report = await take(shelf, device)
    assert outcomes(report)["SOUL.md"] == "beside"
    assert (shelf.home / "config" / "SOUL.md").read_text() == "I am me.\n"
    assert (shelf.home / "config" / "SOUL.mimiclaw.md").read_text() == "I am MimiClaw.\n"
    assert (shelf.home / "skills" / "daily-briefing" / "SKILL.md").read_text() == "mine"
    assert {"- mine too", "- the lamp is on pin 5"} <= set(shelf.memory.text("owner").splitlines())
    assert [m.content for m in await shelf.sessions.load("tg", "12345")] == ["Hello", "Hi there!", "later"]


async def test_a_flat_skill_becomes_a_folder_with_front_matter(shelf: Shelf, device: Path) -> None:
    await take(shelf, device)
    skill = Skills(shelf.home / "skills", shipped=Path("nowhere")).get("daily-briefing")
    assert skill.description == "Tells the day's news. Shortly."
    assert "## Steps" in skill.body


async def test_a_folder_without_anything_of_it_is_refused(shelf: Shelf, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no files"):
        await take(shelf, tmp_path)
    with pytest.raises(ConfigError, match="not a folder"):
        await take(shelf, tmp_path / "gone")


async def test_a_broken_file_leaves_the_others(shelf: Shelf, device: Path) -> None:
    (device / "cron.json").write_text("{not json")
    (device / "sessions" / "67890.jsonl").write_bytes(b"\xff\xff garbage")
    report = await take(shelf, device)
    assert outcomes(report)["cron.json"] == "left"
    assert outcomes(report)["67890.jsonl"] == "left"
    assert outcomes(report)["tg_12345.jsonl"] == "taken"


@pytest.mark.parametrize(
    ("stem", "chat"),
    [
        ("tg_12345", ("tg", "12345")),
        ("tg_-100123", ("tg", "-100123")),
        ("12345", ("tg", "12345")),
        ("tg_ws_client1", ("ws", "client1")),
        ("ws_5", ("ws", "5")),
        ("cli", ("terminal", "terminal")),
        ("ou_abcdef", ("mimiclaw", "ou_abcdef")),
    ],
)
def test_both_of_mimiclaws_names_are_read(stem: str, chat: tuple[str, str]) -> None:
    assert chat_of(stem) == chat


@pytest.mark.parametrize(
    "text",
    ["[" * 20_000, '{"jobs":[{"message":"x","kind":"every","interval_s":1e999}]}', '{"jobs":[{"at_epoch":NaN}]}'],
)
async def test_schedules_that_are_nonsense_leave_the_rest(shelf: Shelf, device: Path, text: str) -> None:
    (device / "cron.json").write_text(text)
    report = await take(shelf, device)
    assert (outcomes(report)["cron.json"], report.jobs) == ("left", [])
    assert outcomes(report)["SOUL.md"] == "taken"
