"""The devices that a schedule is about: kept by id, called and shown by the names they have now. Asks no device.

A name that a person gave may be another device's later, an id never is. What is said of a device in a schedule's words
is read as its name of that time, and given its present one.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, Protocol

from microclaw.errors import UnknownName
from microclaw.schedules.entry import Deed, Prompt, Schedule, ToolAct

MAX_WHAT_CHARS: Final = 200
_NAMING: Final = ("device", "device_ip", "deviceIp")  # the arguments by which tools name a device


class Named(Protocol):
    """devices.device.Device."""

    @property
    def device_id(self) -> str: ...

    @property
    def name(self) -> str: ...


class Devices(Protocol):
    """devices.registry.Registry."""

    def list(self) -> Sequence[Named]: ...

    def get(self, reference: str) -> Named: ...


@dataclass(frozen=True, slots=True)
class Pinned:
    """A deed whose devices are named by id; `devices` has each of them with its name of that time."""

    what: str
    deed: Deed
    device: str | None
    devices: tuple[tuple[str, str], ...]


def pinned(what: str, deed: Deed, device: str | None, devices: Devices) -> Pinned:
    """Put ids in the place of names. UnknownName when `device` is none; arguments that name none stay as they are."""
    known: dict[str, str] = {}
    by_reference = {one.name: one for one in devices.list()} | {one.device_id: one for one in devices.list()}

    def id_of(reference: str) -> str:
        found = by_reference.get(reference)
        if found is None:
            return reference
        known[found.device_id] = found.name
        return found.device_id

    device_id = None if device is None else id_of(devices.get(device).device_id)
    kept = deed
    if isinstance(deed, ToolAct):
        kept = _with_devices(deed, id_of)
        if what == call_text(deed):
            what = call_text(kept)
    words = deed.text if isinstance(deed, Prompt) else what
    for one in devices.list():
        if _is_said(one.name, words):
            known[one.device_id] = one.name
    return Pinned(what, kept, device_id, tuple(known.items()))


def present(schedule: Schedule, devices: Devices) -> Schedule:
    """The schedule with the names that its devices have now; `lost` is the name of one that it needs and is gone."""
    if schedule.devices is None:
        unknown = schedule.device is not None and _find(devices, schedule.device) is None
        return replace(schedule, lost=schedule.device if unknown else None)
    then = dict(schedule.devices)
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
    return replace(schedule, what=what, deed=deed, device=device, lost=lost)


def all_known(schedule: Schedule, devices: Devices) -> bool:
    """Whether each device that it names is one of these."""
    named = [] if schedule.device is None else [schedule.device]
    if isinstance(schedule.deed, ToolAct):
        named += _named_in(schedule.deed)
    return all(_find(devices, reference) is not None for reference in named)


def device_of(schedule: Schedule) -> str | None:
    """Which device it is about, by its name; None for one that is gone, or none in particular."""
    if schedule.lost is not None:
        return None
    named = _named_in(schedule.deed) if isinstance(schedule.deed, ToolAct) else []
    return named[0] if named else schedule.device


def lost_device(schedule: Schedule) -> UnknownName:
    """Why a schedule whose device is gone does nothing, and what to do."""
    return UnknownName(
        f"its device is gone from this host ({schedule.lost} when the schedule was made)",
        next_step=f"remove it with microclaw schedule rm {schedule.schedule_id} and make it again for another device, "
        "as microclaw device list names them",
    )


def call_text(act: ToolAct) -> str:
    """A call in words, where a person gave it as a call."""
    return f"{act.tool} {act.arguments}"[:MAX_WHAT_CHARS]


def _find(devices: Devices, reference: str) -> Named | None:
    return next((one for one in devices.list() if reference in (one.device_id, one.name)), None)


def _named_in(act: ToolAct) -> list[str]:
    arguments = _object(act.arguments)
    return [value for key in _NAMING if isinstance(value := arguments.get(key), str)]


def _with_devices(act: ToolAct, changed: Callable[[str], str]) -> ToolAct:
    """The call with other references to devices; text that has none stays as it is, to the byte."""
    arguments = _object(act.arguments)
    new = {key: changed(value) for key in _NAMING if isinstance(value := arguments.get(key), str)}
    if all(arguments[key] == value for key, value in new.items()):
        return act
    return ToolAct(act.tool, json.dumps({**arguments, **new}, ensure_ascii=False))


def _object(arguments: str) -> Mapping[str, object]:
    """Arguments that are no object name no device; the tool refuses them when it is called."""
    try:
        value = json.loads(arguments)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def _is_said(name: str, words: str) -> bool:
    """Whether the words name the device; "a" and "in" are words before they are names."""
    is_name = len(name) > 2 or not name.isalpha()
    return is_name and re.search(_whole(name), words, re.IGNORECASE) is not None


def _renamed(words: str, names: Mapping[str, str]) -> str:
    """Each old name as its new one, all at once: two devices may have changed names with each other."""
    said = [name for name in names if _is_said(name, words)]
    if not said:
        return words
    any_of = "|".join(_whole(name) for name in sorted(said, key=len, reverse=True))
    return re.sub(any_of, lambda found: names[found[0].lower()], words, flags=re.IGNORECASE)


def _whole(name: str) -> str:
    return rf"(?<![\w-]){re.escape(name)}(?![\w-])"
