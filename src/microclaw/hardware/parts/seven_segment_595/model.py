"""Digits of seven segments at the outputs of a chain of 74HC595."""

from __future__ import annotations

from typing import Final

from microclaw.hardware.parts.lit_digits import DIGIT_BITS, SEGMENTS, LitDigits
from microclaw.hardware.parts.models import Bench
from microclaw.hardware.parts.wiring import WiredPart

_OUTPUTS: Final = 64
_ALL: Final = (1 << _OUTPUTS) - 1
_REMEMBERED: Final = 4096


class Model(LitDigits):
    """Digits are switched by outputs or by pins of the board, or each has a chip of its own."""

    def __init__(self, wired: WiredPart, bench: Bench) -> None:
        super().__init__(wired, bench)
        self._segment_level = 1 - int(self.attribute("common_anode"))
        self._digit_level = 1 - self._segment_level
        if self.attribute("transistors"):
            self._digit_level = self._segment_level
        self._segment_outputs = [int(self.attribute(role)) for role in SEGMENTS]
        places = range(1, self.digit_count + 1)
        self._digit_outputs = {place: int(self.attribute(f"q{place}")) for place in places}
        self._digit_pins = {place: wired.pins[f"dig{place}"] for place in places if f"dig{place}" in wired.pins}
        self._has_own_chips = not self._digit_pins and max(self._digit_outputs.values()) < 0
        self._data_pin = wired.pins["ds"]
        # What is lit by outputs that were stored before: a program shows the same few again and again.
        self._lit_by_outputs: dict[int, int] = {}

    def reset(self) -> None:
        self._shifted = 0
        self._stored = 0
        self._pins_on = self._digits_on_by_pins()
        super().reset()

    def lit_now(self) -> int:
        lit = self._lit_by_outputs.get(self._stored)
        if lit is None:
            lit = self._decode(self._stored)
            if len(self._lit_by_outputs) < _REMEMBERED:
                self._lit_by_outputs[self._stored] = lit
        return lit & self._pins_on

    def edge(self, role: str, level: int) -> None:
        if role == "shcp":
            if level:
                self._shifted = (self._shifted << 1 | self.bench.level(self._data_pin)) & _ALL
        elif role == "stcp":
            if level:
                self._stored = self._shifted
                self.light(self.lit_now())
        elif role != "ds":
            self._pins_on = self._digits_on_by_pins()
            self.light(self.lit_now())

    def _digits_on_by_pins(self) -> int:
        """Return all bits of the digits that no pin switches off."""
        bits = 0
        for place in range(1, self.digit_count + 1):
            pin = self._digit_pins.get(place)
            if pin is None or self.bench.level(pin) == self._digit_level:
                bits |= 0xFF << DIGIT_BITS * (place - 1)
        return bits

    def _decode(self, outputs: int) -> int:
        """Return what these outputs light in the digits that no output switches off."""
        lit = 0
        for place, output in self._digit_outputs.items():
            chip = 0
            if self._has_own_chips:
                chip = self.digit_count - place
            is_on = output < 0 or (outputs >> output & 1) == self._digit_level
            if is_on:
                lit |= self._segments(outputs >> DIGIT_BITS * chip) << DIGIT_BITS * (place - 1)
        return lit

    def _segments(self, outputs: int) -> int:
        segments = 0
        for bit, output in enumerate(self._segment_outputs):
            if (outputs >> output & 1) == self._segment_level:
                segments |= 1 << bit
        return segments
