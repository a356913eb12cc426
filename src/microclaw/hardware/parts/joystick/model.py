"""A joystick: two potentiometers between 3.3 V and ground, and a button to ground."""

from __future__ import annotations

from collections.abc import Mapping

from microclaw.hardware.parts.contacts import Contact
from microclaw.hardware.parts.models import SUPPLY_V, AnalogDevice, Bench
from microclaw.hardware.parts.wiring import WiredPart


class Model(AnalogDevice):
    """Its button lets go of the pin while nobody presses it."""

    def __init__(self, wired: WiredPart, bench: Bench) -> None:
        super().__init__(wired, bench)
        self._button: Contact | None = None
        released_level = None
        if self.attribute("resistor"):
            released_level = 1
        if "sel" in wired.pins:
            self._button = Contact(
                bench,
                wired.pins["sel"],
                closed_level=0,
                open_level=released_level,
                bounce_ms=self.attribute("bounce_ms"),
            )

    def volts(self) -> Mapping[str, float]:
        return {"horz": SUPPLY_V * self.values["x"] / 100, "vert": SUPPLY_V * self.values["y"] / 100}

    def reset(self) -> None:
        super().reset()
        if self._button is not None:
            self._button.put(is_closed=bool(self.values["pressed"]))

    def values_changed(self, values: Mapping[str, float]) -> None:
        super().values_changed(values)
        if self._button is not None and "pressed" in values:
            self._button.move(is_closed=bool(values["pressed"]))
