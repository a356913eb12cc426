"""Remembered facts about wired pins ("the lamp is on pin 4"), and which of them the record of a device contradicts."""

from __future__ import annotations

import logging
from collections.abc import Iterator

from microclaw.agent.knowledge.memory import Memory
from microclaw.agent.language.pin_names import named_pins
from microclaw.devices.registry.device import Device
from microclaw.errors import MicroclawError
from microclaw.hardware.parts.named_parts import NamedPin
from microclaw.hardware.parts.wiring import WiredPart, Wiring

_log = logging.getLogger(__name__)


def stated_pin(line: str, device: str | None) -> NamedPin | None:
    """Return the name and pin that a remembered line states. `device` is the device that the fact is written with."""
    pins = named_pins([line.removeprefix("- ")], device)
    if not pins:
        return None
    return pins[0]


async def forget_outdated(memory: Memory, device: Device, before: Wiring) -> None:
    """Remove the facts that the record of a device contradicts since its parts were those of `before`.

    A fact of what the record never had stays. A memory that cannot be changed stays as it is, with a warning.
    """

    def is_outdated(line: str, noted_with: str | None) -> bool:
        pin = stated_pin(line, noted_with)
        if pin is None or pin.device != device.name.lower():
            return False
        return _contradicts(pin, before, device.wiring)

    try:
        await memory.forget_where(is_outdated, device.name)
    except MicroclawError as exc:
        _log.warning("what is remembered of the wiring of %s was not changed: %s", device.name, exc.message)


def _contradicts(pin: NamedPin, before: Wiring, after: Wiring) -> bool:
    if any(part in _called(after, pin.name) for part in after.on_pin(pin.pin)):
        return False
    is_of_another = bool(after.on_pin(pin.pin))
    is_known = any(_called(before, pin.name)) or any(_called(after, pin.name))
    return is_of_another or is_known


def _called(wiring: Wiring, name: str) -> Iterator[WiredPart]:
    """Yield the parts that have this name as their label, or that have its id."""
    for part in wiring.parts:
        label = part.label or ""
        if part is wiring.called(name) or label.lower() == name:
            yield part
