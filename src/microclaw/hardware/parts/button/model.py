"""A push button whose contacts bounce: a press or release comes as several edges within some milliseconds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from microclaw.hardware.parts.models import Bench, PartModel
from microclaw.hardware.parts.wiring import WiredPart

_FLIPS: Final = (0.0, 0.15, 0.35, 0.6, 1.0)
"""The edges of a bounce as shares of its time; every second one goes back for a moment, the last one does not."""


class Model(PartModel):
    """A switch between its pin and the active level. Released, it lets go of the pin."""

    def __init__(self, wired: WiredPart, bench: Bench) -> None:
        super().__init__(wired, bench)
        self._pin = wired.pins["pin"]
        self._is_closed = False
        self._change_count = 0

    def reset(self) -> None:
        self._change_count += 1
        self._set_contact(is_closed=bool(self.values["pressed"]))
        self._is_closed = bool(self.values["pressed"])

    def values_changed(self, values: Mapping[str, float]) -> None:
        is_pressed = bool(values["pressed"])
        if is_pressed == self._is_closed:
            return
        self._is_closed = is_pressed
        self._change_count += 1
        bounce_ms = self.attribute("bounce_ms")
        self._set_contact(is_closed=is_pressed)
        if not bounce_ms:
            return
        for number, share in enumerate(_FLIPS[1:], 1):
            is_back = number % 2 == 1
            self._flip_at(self.bench.now_ms() + share * bounce_ms, is_closed=is_pressed != is_back)

    def _flip_at(self, t_ms: float, *, is_closed: bool) -> None:
        """Set the contact at that time, unless the button is pressed or released again before."""
        change = self._change_count

        def flip() -> None:
            if self._change_count == change:
                self._set_contact(is_closed=is_closed)

        self.bench.call_at(t_ms, flip)

    def _set_contact(self, *, is_closed: bool) -> None:
        active_level = int(self.wired.active == "high")
        if is_closed:
            self.bench.drive(self._pin, active_level)
        elif self.attribute("resistor"):
            self.bench.drive(self._pin, 1 - active_level)
        else:
            self.bench.drive(self._pin, None)
