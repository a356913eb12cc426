"""The devices of a schedule: stored by id, called and displayed by their current names. Asks no device.

Another device may get a name later, but never an id. So the device names in a schedule's words and arguments are the
names at the time it was made, and are replaced by the current ones.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping
from typing import Final

from msgspec import structs

from microclaw.devices.registry.registry import Registry
from microclaw.errors import UnknownName
from microclaw.host.store.schedules import Schedule, SchedulePrompt, ToolAction

_DEVICE_ARGUMENTS: Final = ("device", "device_ip", "deviceIp")


def with_device_ids(schedule: Schedule, devices: Registry) -> Schedule:
    """Return the schedule with the ids of all devices that it names.

    Raises UnknownName if `schedule.device` is not a device.
    """
    action = schedule.deed
    words = action.text if isinstance(action, SchedulePrompt) else schedule.what
    references = set(_device_arguments(action).values())
    if schedule.device is not None:
        references.add(devices.get(schedule.device).name)
    names = {}
    for device in devices.list():
        if device.name in references or device.device_id in references or _mentions(words, device.name):
            names[device.device_id] = device.name
    return structs.replace(schedule, deed=structs.replace(action, devices=names))


def with_current_names(schedule: Schedule, devices: Registry) -> Schedule:
    """Return the schedule with the current names of its devices.

    `lost` is the name of a device that it needs and that was removed from the host.
    """
    saved_names = schedule.deed.devices
    current_names = {device.device_id: device.name for device in devices.list() if device.device_id in saved_names}
    call_names = {}
    display_names = {}
    for device_id, saved_name in saved_names.items():
        for reference in (device_id, saved_name):
            # A removed device is called by its id, because another device may have its name now.
            call_names[reference] = current_names.get(device_id, device_id)
            display_names[reference] = current_names.get(device_id, saved_name)

    action = schedule.deed
    needed: Collection[str]
    if isinstance(action, SchedulePrompt):
        needed = saved_names.keys()
        action = structs.replace(action, text=_replace_names(action.text, display_names), devices={})
    else:
        needed = _device_arguments(action).values()
        action = _with_device_names(action, call_names)
    device = schedule.device
    if device is not None:
        if not any(reference in call_names for reference in needed):
            needed = [device]
        device = call_names.get(device, device)
    return structs.replace(
        schedule,
        what=_replace_names(schedule.what, display_names),
        deed=action,
        device=device,
        lost=_first_lost(saved_names, current_names, needed),
    )


def device_of(schedule: Schedule) -> str | None:
    """Return the name of the schedule's device, or None if that was removed or the schedule names none."""
    if schedule.lost is not None:
        return None
    for name in _device_arguments(schedule.deed).values():
        return name
    return schedule.device


def lost_device(schedule: Schedule) -> UnknownName:
    """Build the error of a schedule whose device was removed from the host."""
    return UnknownName(
        f"its device is gone from this host ({schedule.lost} when the schedule was made)",
        next_step=f"remove it with microclaw schedule rm {schedule.schedule_id} and make it again for another device, "
        "as microclaw device list names them",
    )


def _first_lost(
    saved_names: Mapping[str, str], current_names: Mapping[str, str], needed: Collection[str]
) -> str | None:
    for device_id, saved_name in saved_names.items():
        is_needed = device_id in needed or saved_name in needed
        if is_needed and device_id not in current_names:
            return saved_name
    return None


def _device_arguments(action: ToolAction | SchedulePrompt) -> dict[str, str]:
    """Return the arguments of the call that name a device."""
    if isinstance(action, SchedulePrompt):
        return {}
    arguments = _parse_arguments(action.arguments)
    references = {}
    for key in _DEVICE_ARGUMENTS:
        value = arguments.get(key)
        if isinstance(value, str):
            references[key] = value
    return references


def _with_device_names(act: ToolAction, names: Mapping[str, str]) -> ToolAction:
    """Replace the call's device names. Keeps the text of its arguments if no name changes."""
    changes = {}
    for key, reference in _device_arguments(act).items():
        if names.get(reference, reference) != reference:
            changes[key] = names[reference]
    if not changes:
        return ToolAction(act.tool, act.arguments)
    arguments = {**_parse_arguments(act.arguments), **changes}
    return ToolAction(act.tool, json.dumps(arguments, ensure_ascii=False))


def _parse_arguments(text: str) -> Mapping[str, object]:
    """Parse a JSON object. Returns {} for any other text, which the tool refuses when it is called."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def _mentions(words: str, name: str) -> bool:
    """Return True if the words contain the device's name. A name of one or two letters, as "in", is an English word."""
    if len(name) <= 2 and name.isalpha():
        return False
    return re.search(_whole_word(name), words, re.IGNORECASE) is not None


def _replace_names(words: str, names: Mapping[str, str]) -> str:
    """Replace all old names in one pass, because two devices may have swapped their names."""
    replacements = {}
    for old, new in names.items():
        if old != new and _mentions(words, old):
            replacements[old.lower()] = new
    if not replacements:
        return words
    longest_first = sorted(replacements, key=len, reverse=True)
    pattern = "|".join(_whole_word(name) for name in longest_first)
    return re.sub(pattern, lambda match: replacements[match[0].lower()], words, flags=re.IGNORECASE)


def _whole_word(text: str) -> str:
    return rf"(?<![\w-]){re.escape(text)}(?![\w-])"
