"""Jobs of a MimiClaw device become schedules once; what cannot be one is told."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.schedules.conftest import MakeWorld

from microclaw.errors import ConfigError
from microclaw.schedules.entry import Every, Once, Prompt
from microclaw.schedules.importing import import_cron_json

JOBS = [
    {"id": "1", "name": "plants", "kind": "every", "interval_s": 3600, "message": "look at the plants",
     "channel": "telegram", "chat_id": "77", "enabled": True},
    {"id": "2", "name": "party", "kind": "at", "at_epoch": 1_800_000_000, "message": "light on", "enabled": False},
    {"id": "3", "name": "past", "kind": "at", "at_epoch": 1_000_000_000, "message": "too late", "enabled": True},
    {"id": "4", "name": "busy", "kind": "every", "interval_s": 5, "message": "again", "enabled": True},
]  # fmt: skip


async def test_jobs_become_schedules_once(world_of: MakeWorld, tmp_path: Path) -> None:
    path = tmp_path / "cron.json"
    path.write_text(json.dumps({"jobs": JOBS}))
    async with world_of() as world:
        plants, party, past, busy = await import_cron_json(path, world.book)
        assert plants.schedule is not None
        assert plants.schedule.timing == Every(3_600_000, world.clock.at_ms)
        assert plants.schedule.deed == Prompt("look at the plants")
        assert (plants.schedule.channel, plants.schedule.chat_id) == ("tg", "77")
        assert party.schedule is not None
        assert party.schedule.timing == Once(1_800_000_000_000)
        assert party.schedule.state == "paused"
        assert past.schedule is None
        assert "in the past" in past.refused
        assert busy.schedule is None
        assert "once a minute" in busy.refused
        again = await import_cron_json(path, world.book)
        assert [job.known for job in again] == [True, True, False, False]
        assert len(await world.book.all()) == 2


@pytest.mark.parametrize("text", ["", "{}", "[1]", '{"jobs": []}', '{"jobs": [{"kind": "every"}]}'])
async def test_a_file_without_jobs_is_told(world_of: MakeWorld, tmp_path: Path, text: str) -> None:
    path = tmp_path / "cron.json"
    path.write_text(text)
    async with world_of() as world:
        with pytest.raises(ConfigError, match="no jobs"):
            await import_cron_json(path, world.book)
