"""What the status screen says of channels, schedules, approvals and budget."""

from __future__ import annotations

from pathlib import Path

import pytest

from microclaw.api.status import (
    for_everybody,
)
from microclaw.auth.approvals import PendingApproval
from microclaw.config.load import load_settings
from microclaw.config.settings import Settings
from microclaw.operations.operation import Permission
from microclaw.schedules.entry import Once, Prompt, Schedule
from microclaw.store.states import ScheduleState


def entry(number: int, next_ms: int | None, state: ScheduleState = "active") -> Schedule:
    return Schedule(
        schedule_id=number,
        said="at 7",
        what="blink",
        timing=Once(1),
        deed=Prompt("blink"),
        person_id="owner",
        channel="terminal",
        chat_id="t",
        device=None,
        missed="skip",
        approved=Permission.READ,
        state=state,
        why="",
        created_ms=1,
        next_ms=next_ms,
    )


def asked(count: int) -> list[PendingApproval]:
    return [PendingApproval(f"a{n}", "owner", f"act {n}", (), "terminal", "t", 60.0) for n in range(count)]


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return load_settings({}, home=tmp_path / "home")


def test_others_than_owners_do_not_see_what_concerns_other_people() -> None:
    status = {"pid": 1, "problems": [], "channels": [], "schedules": {}, "approvals": {}, "usage": {}, "devices": []}
    assert for_everybody(status) == {"devices": []}
