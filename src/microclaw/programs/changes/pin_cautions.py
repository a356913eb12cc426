"""Pins that need care, such as strapping pins and pins of a sensor's bus: a person is asked once before one is driven.

This is the one rule for acts at once, for programs, and for both when they are planned for later. A yes counts for the
pin of the device as long as the reason and the parts that are wired there stay the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Final, NoReturn

from microclaw.devices.registry.device import Device
from microclaw.errors import PinCaution
from microclaw.hardware.boards.pins import nearest_usable_pins
from microclaw.hardware.parts.named_parts import part_line
from microclaw.hardware.parts.wiring import WiredPart, bus_pins
from microclaw.host.operations.tool import PlannedTrial
from microclaw.host.store.database import Database
from microclaw.host.store.pin_consents import PinConsent, PinConsentTable

_SENSOR_LINES: Final = frozenset({"one-wire", "single-wire"})


class PinCautions:
    """The cautions of devices' pins, and the answers to them."""

    def __init__(self, database: Database, now_ms: Callable[[], int]) -> None:
        self._table = PinConsentTable(database)
        self._now_ms = now_ms

    async def open_cautions(self, device: Device, pins: Iterable[int]) -> dict[int, str]:
        """Return the cautions of these pins that no person has answered with yes, by their pins."""
        cautions = _cautions(device, pins)
        if not cautions:
            return {}
        consents = await self._table.of_device(device.device_id)
        open_cautions = {}
        for pin, text in cautions.items():
            if consents.get(pin) != _whole_text(device, pin, text):
                open_cautions[pin] = text
        return open_cautions

    async def planned(self, device: Device, pins: Iterable[int], warning: str | None) -> PlannedTrial:
        """Return what an act on these pins would meet now, if it is planned for later."""
        cautions = await self.open_cautions(device, pins)
        return PlannedTrial(warning, tuple(cautions.values()), partial(self.keep_yes, device, cautions))

    async def keep_yes(self, device: Device, cautions: Mapping[int, str]) -> None:
        """Record that a person answered these cautions with yes."""
        consents = []
        for pin, text in cautions.items():
            about = _whole_text(device, pin, text)
            consents.append(PinConsent(device.device_id, pin, about, self._now_ms()))
        if consents:
            await self._table.put(consents)


def pin_caution(device: Device, pin: int) -> str | None:
    """Return why to think twice before this pin is driven, or None.

    The pin of the LED that the board has soldered on needs no care: its maker chose it.
    """
    led = device.board.led
    if led is not None and led.pin == pin:
        return None
    reasons = []
    facts = device.board.pins.get(pin)
    if facts is not None and facts.caution is not None:
        reasons.append(facts.caution)
    read_parts = [part.id for part in device.wiring.parts if pin in _bus_of(part, device)]
    if read_parts:
        reasons.append(f"{', '.join(read_parts)} cannot be read while it is driven")
    if not reasons:
        return None
    return f"pin {pin} needs care ({'; '.join(reasons)})"


def refuse_caution(device: Device, pin: int, text: str, say_yes: str) -> NoReturn:
    """Raise PinCaution with the pins that need no care, and the way to say yes."""
    steps = []
    near = nearest_usable_pins(device.board, pin, "output")
    if near:
        steps.append(f"use another pin, as {', '.join(map(str, near))}")
    steps.append(say_yes)
    raise PinCaution(f"{text}, so it is not driven without a yes", next_step="; or ".join(steps))


def _cautions(device: Device, pins: Iterable[int]) -> dict[int, str]:
    cautions = {}
    for pin in pins:
        text = pin_caution(device, pin)
        if text is not None:
            cautions[pin] = text
    return cautions


def _bus_of(part: WiredPart, device: Device) -> tuple[int, ...]:
    """Return the pins over which a part is read: of its I2C bus, or the one line of a sensor."""
    pins: list[int] = []
    if part.address is not None:
        pins += bus_pins(part, device.board) or ()
    if part.facts.kind == "sensor":
        for pin in part.facts.pins:
            if pin.use in _SENSOR_LINES and pin.role in part.pins:
                pins.append(part.pins[pin.role])
    return tuple(pins)


def _whole_text(device: Device, pin: int, text: str) -> str:
    """Return the caution with the parts that are wired to the pin now."""
    lines = []
    for part in device.wiring.parts:
        if pin in part.pins.values() or pin in _bus_of(part, device):
            lines.append(part_line(part))
    return "\n".join([text, *sorted(lines)])
