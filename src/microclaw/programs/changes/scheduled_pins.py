"""The schedules on the pins of a program, which the answer to its installation names. It changes none."""

from __future__ import annotations

import json
import re
from collections.abc import Collection
from typing import Final

from microclaw.host.store.schedules import Schedule, ScheduleTable, ToolAction
from microclaw.programs.changes.change_log import SCHEDULED, current_origin

_SWITCHING: Final = frozenset({"gpio-set", "pwm-set"})
_PIN: Final = re.compile(r"\bpins? (\d+(?:(?:,? and|,)? (?:pin )?\d+)*)", re.IGNORECASE)


async def scheduled_pins_text(table: ScheduleTable, device_id: str, pins: Collection[int]) -> str | None:
    """Return a warning that names the active schedules on these pins of a device, or None if there are none.

    A program that a schedule installs is not warned of that schedule.
    """
    if (current_origin().conversation or "").startswith(SCHEDULED):
        return None
    texts = []
    for schedule in await table.readable():
        device_ids = schedule.deed.devices
        is_here = not device_ids or device_id in device_ids
        shared_pins = sorted(_pins_of(schedule).intersection(pins))
        if schedule.state == "active" and is_here and shared_pins:
            numbers = ", ".join(map(str, shared_pins))
            texts.append(f"schedule {schedule.schedule_id} {_verb(schedule)} pin {numbers} {schedule.said}")
    return "; ".join(texts) or None


def _verb(schedule: Schedule) -> str:
    """Return "switches" only if the schedule is known to do that: words may also read a pin."""
    action = schedule.deed
    is_switching = isinstance(action, ToolAction) and action.tool in _SWITCHING
    return "switches" if is_switching else "names"


def _pins_of(schedule: Schedule) -> set[int]:
    """Return the pin of the schedule's call, or the pins that its words name."""
    action = schedule.deed
    if isinstance(action, ToolAction):
        pin = json.loads(action.arguments).get("pin")
        return {pin} if isinstance(pin, int) else set()
    pins = set[int]()
    for match in _PIN.finditer(action.text):
        pins.update(map(int, re.findall(r"\d+", match[1])))
    return pins
