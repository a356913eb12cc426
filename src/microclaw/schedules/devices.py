"""The devices of a schedule: kept by id, called and shown by their present names. Asks no device.

A name may belong to another device later, an id never does. So the names of devices in the words and arguments of a
schedule are read as the names of that time, and replaced by the present ones.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Final

from msgspec import structs

from microclaw.devices.registry import Registry
from microclaw.errors import UnknownName
from microclaw.store.schedules import Prompt, Schedule, ToolAct

_NAMING: Final = ("device", "device_ip", "deviceIp")  # the arguments that name a device


def with_device_ids(schedule: Schedule, devices: Registry) -> Schedule:
    """Note the ids of the devices that it names. UnknownName when `device` is not a device."""
    deed = schedule.deed
    named = _named_in(schedule)
    if schedule.device is not None:
        named.append(devices.get(schedule.device).name)
    words = deed.text if isinstance(deed, Prompt) else schedule.what
    known = {
        one.device_id: one.name
        for one in devices.list()
        if one.name in named or one.device_id in named or _is_named(one.name, words)
    }
    return structs.replace(schedule, deed=structs.replace(deed, devices=known))


def with_current_names(schedule: Schedule, devices: Registry) -> Schedule:
    """The schedule with its devices' present names. `lost` is the name of a device that it needs and that is gone."""
    deed = schedule.deed
    device = schedule.device
    then = schedule.deed.devices
    now = {one.device_id: one.name for one in devices.list() if one.device_id in then}
    # To be called, a device that is gone has its id: its name may be another device's by now.
    called = {reference: now.get(number, number) for number, name in then.items() for reference in (number, name)}
    shown = {reference: now.get(number, name) for number, name in then.items() for reference in (number, name)}
    if isinstance(deed, Prompt):
        needed = list(then)
        deed = structs.replace(deed, text=_renamed(deed.text, shown), devices={})
    else:
        needed = _named_in(schedule)
        deed = _with_devices(deed, called)
    if device is not None and not any(reference in called for reference in needed):
        needed = [device]
    gone = (name for number, name in then.items() if number not in now and (number in needed or name in needed))
    return structs.replace(
        schedule,
        what=_renamed(schedule.what, shown),
        deed=deed,
        device=None if device is None else called.get(device, device),
        lost=next(gone, None),
    )


def device_of(schedule: Schedule) -> str | None:
    """The name of the device it is about; None when that is gone, or when it names none."""
    if schedule.lost is not None:
        return None
    return next(iter(_named_in(schedule)), schedule.device)


def lost_device(schedule: Schedule) -> UnknownName:
    """The error of a schedule whose device is gone."""
    return UnknownName(
        f"its device is gone from this host ({schedule.lost} when the schedule was made)",
        next_step=f"remove it with microclaw schedule rm {schedule.schedule_id} and make it again for another device, "
        "as microclaw device list names them",
    )


def _named_in(schedule: Schedule) -> list[str]:
    """The devices that the arguments of its call name."""
    if isinstance(schedule.deed, ToolAct):
        arguments = _object(schedule.deed.arguments)
    else:
        arguments = {}
    return [value for key in _NAMING if isinstance(value := arguments.get(key), str)]


def _with_devices(act: ToolAct, names: Mapping[str, str]) -> ToolAct:
    """The call with other names of devices; without any, the same text."""
    arguments = _object(act.arguments)
    new = {key: names[value] for key in _NAMING if isinstance(value := arguments.get(key), str) and value in names}
    if all(arguments[key] == value for key, value in new.items()):
        return ToolAct(act.tool, act.arguments)
    return ToolAct(act.tool, json.dumps({**arguments, **new}, ensure_ascii=False))


def _object(arguments: str) -> Mapping[str, object]:
    """The arguments; {} when they are not a JSON object, which the tool refuses when it is called."""
    try:
        value = json.loads(arguments)
    except (ValueError, RecursionError):
        return {}
    if isinstance(value, dict):
        return value
    return {}


def _is_named(name: str, words: str) -> bool:
    """True if the words name the device. A name of one or two letters, as "in", is taken for a word."""
    is_name = len(name) > 2 or not name.isalpha()
    return is_name and re.search(_whole(name), words, re.IGNORECASE) is not None


def _renamed(words: str, names: Mapping[str, str]) -> str:
    """Replace all old names at the same time, as two devices may have swapped their names."""
    found = {name.lower(): new for name, new in names.items() if name != new and _is_named(name, words)}
    if not found:
        return words
    any_of = "|".join(_whole(name) for name in sorted(found, key=len, reverse=True))
    return re.sub(any_of, lambda match: found[match[0].lower()], words, flags=re.IGNORECASE)


def _whole(name: str) -> str:
    return rf"(?<![\w-]){re.escape(name)}(?![\w-])"
