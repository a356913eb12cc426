from __future__ import annotations

from typing import Any

import pytest

from microclaw.host.operations.operation import Permission
from microclaw.host.store.schedules import Action, Every, Schedule, SchedulePrompt, ScheduleTable, ToolAction
from microclaw.programs.changes.change_log import SCHEDULED, ChangeOrigin, change_origin

SWITCH = ToolAction("gpio-set", '{"pin": 2, "level": 1}')


@pytest.mark.parametrize(
    ("action", "warning"),
    [
        (SWITCH, "schedule 1 switches pin 2 every day at 7:00"),
        (SchedulePrompt("turn on pin 4 and pin 2 for 20 s"), "schedule 1 names pin 2 every day at 7:00"),
        (SchedulePrompt("turn off pins 2, 4"), "schedule 1 names pin 2 every day at 7:00"),
        (SchedulePrompt("blink pin 22"), None),
        (ToolAction("gpio-set", '{"pin": 2, "level": 1}', {"d-other": "lamp"}), None),
    ],
)
async def test_an_installation_names_the_schedules_on_its_pins(lab: Any, action: Action, warning: str | None) -> None:
    table = ScheduleTable(lab.change_log.database)
    number = await _add(table, action)
    deployment = await lab.deploy(pin=2)
    assert deployment.warning == warning
    await table.set_state(number, "paused", "", None)
    assert (await lab.deploy(pin=2, source="v2")).warning is None


async def test_a_program_that_a_schedule_installs_is_not_warned_of_it(lab: Any) -> None:
    await _add(ScheduleTable(lab.change_log.database), SWITCH)
    with change_origin(ChangeOrigin("t", "owner", f"{SCHEDULED}terminal")):
        assert (await lab.deploy(pin=2)).warning is None


async def _add(table: ScheduleTable, action: Action) -> int:
    chat = ("terminal", "terminal")
    timing = Every(1_000, 0)
    return await table.add(
        Schedule("every day at 7:00", "a task", timing, action, "owner", *chat, None, "skip", Permission.ACT, 1_000)
    )
