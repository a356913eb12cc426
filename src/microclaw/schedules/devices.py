"""The devices of a schedule: stored by id, called and shown by their present names. Asks no device.

A name may belong to another device later, an id never does. A device's name in the words of a schedule is read as the
name of that time and replaced by the present one.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Final

from msgspec import structs

from microclaw.devices.registry import Registry
from microclaw.errors import UnknownName
from microclaw.store.schedules import Prompt, Schedule, ToolAct

MAX_WHAT_CHARS: Final = 200
_NAMING: Final = ("device", "device_ip", "deviceIp")  # the arguments that name a device


def with_device_ids(schedule: Schedule, devices: Registry) -> Schedule:
    """Replace names by ids. UnknownName when `device` is not a device; other arguments stay as they are."""
    known: dict[str, str] = {}
    by_reference = {one.name: one for one in devices.list()} | {one.device_id: one for one in devices.list()}

    def id_of(reference: str) -> str:
        found = by_reference.get(reference)
        if found is None:
            return reference
        known[found.device_id] = found.name
        return found.device_id

    device = None if schedule.device is None else id_of(devices.get(schedule.device).device_id)
    deed, what = schedule.deed, schedule.what
    if isinstance(deed, ToolAct):
        kept = _with_devices(deed, id_of)
        what = call_text(kept) if what == call_text(deed) else what
        deed = kept
    words = deed.text if isinstance(deed, Prompt) else what
    known |= {one.device_id: one.name for one in devices.list() if _is_named(one.name, words)}
    return replace(schedule, what=what, deed=structs.replace(deed, devices=known), device=device)


def with_current_names(schedule: Schedule, devices: Registry) -> Schedule:
    """The schedule with its devices' present names. `lost` is the name of a device that it needs and that is gone."""
    then = schedule.deed.devices
    now = {one.device_id: one.name for one in devices.list() if one.device_id in then}
    shown = then | now
    deed, what = schedule.deed, schedule.what
    renamed = {then[device_id]: name for device_id, name in now.items() if name != then[device_id]}
    if isinstance(deed, Prompt):
        needed = list(then)
        what, deed = _renamed(what, renamed), Prompt(_renamed(deed.text, renamed))
    else:
        needed = _named_in(deed)
        if what == call_text(deed):
            what = call_text(_with_devices(deed, lambda reference: shown.get(reference, reference)))
        else:
            what = _renamed(what, renamed)
        deed = _with_devices(deed, lambda reference: now.get(reference, reference))
    if schedule.device is not None and not any(reference in then for reference in needed):
        needed.append(schedule.device)
    lost = next((then[reference] for reference in needed if reference in then and reference not in now), None)
    device = None if schedule.device is None else now.get(schedule.device, schedule.device)
    return replace(schedule, what=what, deed=structs.replace(deed, devices={}), device=device, lost=lost)


def device_of(schedule: Schedule) -> str | None:
    """The name of the device it is about; None when that is gone, or when it names none."""
    if schedule.lost is not None:
        return None
    named = _named_in(schedule.deed) if isinstance(schedule.deed, ToolAct) else []
    return named[0] if named else schedule.device


def lost_device(schedule: Schedule) -> UnknownName:
    """The error of a schedule whose device is gone."""
    return UnknownName(
        f"its device is gone from this host ({schedule.lost} when the schedule was made)",
        next_step=f"remove it with microclaw schedule rm {schedule.schedule_id} and make it again for another device, "
        "as microclaw device list names them",
    )


def call_text(act: ToolAct) -> str:
    """A call as text, for a schedule that was made from a call."""
    return f"{act.tool} {act.arguments}"[:MAX_WHAT_CHARS]


def _named_in(act: ToolAct) -> list[str]:
    arguments = _object(act.arguments)
    return [value for key in _NAMING if isinstance(value := arguments.get(key), str)]


def _with_devices(act: ToolAct, changed: Callable[[str], str]) -> ToolAct:
    """The call with changed references to devices; without any, the same text."""
    arguments = _object(act.arguments)
    new = {key: changed(value) for key in _NAMING if isinstance(value := arguments.get(key), str)}
    if all(arguments[key] == value for key, value in new.items()):
        return act
    return ToolAct(act.tool, json.dumps({**arguments, **new}, ensure_ascii=False))


def _object(arguments: str) -> Mapping[str, object]:
    """The arguments; {} when they are not a JSON object, which the tool refuses when it is called."""
    try:
        value = json.loads(arguments)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def _is_named(name: str, words: str) -> bool:
    """True if the words name the device. A name of one or two letters, as "in", is taken for a word."""
    is_name = len(name) > 2 or not name.isalpha()
    return is_name and re.search(_whole(name), words, re.IGNORECASE) is not None


def _renamed(words: str, names: Mapping[str, str]) -> str:
    """Replace all old names at the same time, as two devices may have swapped their names."""
    found = [name for name in names if _is_named(name, words)]
    if not found:
        return words
    any_of = "|".join(_whole(name) for name in sorted(found, key=len, reverse=True))
    return re.sub(any_of, lambda match: names[match[0].lower()], words, flags=re.IGNORECASE)


def _whole(name: str) -> str:
    return rf"(?<![\w-]){re.escape(name)}(?![\w-])"
