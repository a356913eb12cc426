"""The devices of a schedule: kept by id, called and shown by their present names. Asks no device.

A name may belong to another device later, an id never does. So names in the words and arguments of a schedule are kept
as ids, with the names of then beside them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from msgspec.structs import replace

from microclaw.devices.registry import Registry
from microclaw.errors import UnknownName
from microclaw.store.schedules import Prompt, Schedule, ToolAct


def with_device_ids(schedule: Schedule, devices: Registry) -> Schedule:
    """The schedule with ids for the names of devices. UnknownName when `device` is not a device."""
    names, deed = {one.device_id: one.name for one in devices.list()}, schedule.deed
    ids = {name: number for number, name in names.items()}
    device = None if schedule.device is None else devices.get(schedule.device).device_id
    if isinstance(deed, ToolAct):
        number, said = ids.get(_named(deed) or ""), deed.arguments
        if number is not None:
            said = json.dumps({**json.loads(said), "device": number}, ensure_ascii=False)
    else:
        said = _replaced(deed.text, ids)
    what = _replaced(schedule.what, ids)
    then = {number: name for number, name in names.items() if number in said or number in what or number == device}
    kept = ToolAct(deed.tool, said, then) if isinstance(deed, ToolAct) else Prompt(said, then)
    return replace(schedule, what=what, deed=kept, device=device)


def with_current_names(schedule: Schedule, devices: Registry) -> Schedule:
    """The schedule with its devices' present names. `lost` is the name of a device that it needs and that is gone; in a
    call that one has its id, as its name may be another device's by now."""
    deed, device, then = schedule.deed, schedule.device, schedule.deed.devices
    now = {one.device_id: one.name for one in devices.list()}
    shown = {number: now.get(number, name) for number, name in then.items()}
    said = deed.arguments if isinstance(deed, ToolAct) else deed.text
    needed = [number for number in then if number in said] or [one for one in (device,) if one is not None]
    gone = (then.get(one, one) for one in needed if one not in now and one not in now.values())
    return replace(
        schedule,
        what=_replaced(schedule.what, shown),
        deed=ToolAct(deed.tool, _replaced(said, now)) if isinstance(deed, ToolAct) else Prompt(_replaced(said, shown)),
        device=None if device is None else now.get(device, device),
        lost=next(gone, None),
    )


def device_of(schedule: Schedule) -> str | None:
    """The name of the device it is about; None when that is gone, or when it names none."""
    named = _named(schedule.deed) if isinstance(schedule.deed, ToolAct) else None
    return None if schedule.lost is not None else named or schedule.device


def lost_device(schedule: Schedule) -> UnknownName:
    """The error of a schedule whose device is gone."""
    return UnknownName(
        f"its device is gone from this host ({schedule.lost} when the schedule was made)",
        next_step=f"remove it with microclaw schedule rm {schedule.schedule_id} and make it again for another device, "
        "as microclaw device list names them",
    )


def _named(act: ToolAct) -> str | None:
    """The device in the arguments; None also of what is no JSON object, which the tool refuses when it is called."""
    try:
        value: Any = json.loads(act.arguments)
    except (ValueError, RecursionError):
        return None
    found = value.get("device") if isinstance(value, dict) else None
    return found if isinstance(found, str) else None


def _replaced(words: str, news: Mapping[str, str]) -> str:
    """Replace all names at the same time, as whole words; one of one or two letters, as "in", is taken for a word."""
    found = {name.lower(): new for name, new in news.items() if len(name) > 2 or not name.isalpha()}
    if not found:
        return words
    any_of = "|".join(map(re.escape, sorted(found, key=len, reverse=True)))
    return re.sub(
        rf"(?<![\w-])(?:{any_of})(?![\w-])", lambda match: found[match[0].lower()], words, flags=re.IGNORECASE
    )
