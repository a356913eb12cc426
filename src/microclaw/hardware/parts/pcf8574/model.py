"""A PCF8574: eight pins that a program writes and reads, and what pulls them low from outside."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from microclaw.hardware.parts.models import BusDevice

_ALL_HIGH: Final = 0xFF
_PIN_COUNT: Final = 8


class Model(BusDevice):
    """NXP PCF8574, section 8: a pin that was written high is an input, too, as its current source is weak."""

    def reset(self) -> None:
        self._latch = _ALL_HIGH
        # Each level is a new one.
        self._shown = ~self._levels()
        self._seen = self._levels()
        self._show()
        self._signal(is_changed=False)

    def write(self, data: bytes) -> None:
        if data:
            self._latch = data[-1]
            self._show()
            self._take_levels()

    def read(self, size: int) -> bytes:
        self._take_levels()
        return bytes([self._seen]) * size

    def values_changed(self, values: Mapping[str, float]) -> None:
        self._show()
        # The interrupt ends by itself if the pins are again as they were (section 8.4).
        self._signal(is_changed=bool(values) and self._levels() != self._seen)

    def _take_levels(self) -> None:
        """Note the present levels as seen, which ends an interrupt."""
        self._seen = self._levels()
        self._signal(is_changed=False)

    def _levels(self) -> int:
        outside = 0
        for number in range(_PIN_COUNT):
            if self.values[f"p{number}"]:
                outside |= 1 << number
        return self._latch & outside

    def _show(self) -> None:
        """Show the pins whose level is another one now."""
        levels = self._levels()
        changed = levels ^ self._shown
        self._shown = levels
        for number in range(_PIN_COUNT):
            if changed >> number & 1:
                self.bench.show(f"p{number}", levels >> number & 1)

    def _signal(self, *, is_changed: bool) -> None:
        """Pull the interrupt's pin low, or leave it to the resistor of the module."""
        pin = self.wired.pins.get("int")
        if pin is not None:
            self.bench.drive(pin, int(not is_changed))
