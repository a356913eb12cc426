"""One to four digits of seven segments, whose segments and common sides are on pins."""

from __future__ import annotations

from microclaw.hardware.parts.lit_digits import DIGIT_BITS, SEGMENTS, LitDigits
from microclaw.hardware.parts.models import Bench
from microclaw.hardware.parts.wiring import WiredPart
from microclaw.hardware.screens.screen import DOT

_COLON_DIGIT = 1


class Model(LitDigits):
    """A digit without a pin for its common side is always on."""

    def __init__(self, wired: WiredPart, bench: Bench) -> None:
        super().__init__(wired, bench)
        self._segment_level = 1 - int(self.attribute("common_anode"))
        # The common side of a cathode takes what a segment gives, unless a transistor stands between.
        self._digit_level = 1 - self._segment_level
        if self.attribute("transistors"):
            self._digit_level = self._segment_level
        self._segment_bits: dict[str, int] = {}
        for place, role in enumerate(SEGMENTS):
            self._segment_bits[role] = 1 << place
        self._digit_factors: dict[str, int] = {}
        for place in range(self.digit_count):
            self._digit_factors[f"dig{place + 1}"] = 1 << DIGIT_BITS * place
        self._colon_bit = 0
        if "colon" in wired.pins:
            self.mark = ":"
            self._colon_bit = DOT << DIGIT_BITS * _COLON_DIGIT

    def lit_now(self) -> int:
        self._segments = 0
        # A factor of 1 at the place of each digit that is on.
        self._digits = 0
        self._colon = 0
        for role, factor in self._digit_factors.items():
            if role not in self.wired.pins:
                self._digits |= factor
        for role, pin in self.wired.pins.items():
            self._take(role, self.bench.level(pin))
        return self._lit_segments()

    def edge(self, role: str, level: int) -> None:
        self._take(role, level)
        self.light(self._lit_segments())

    def _take(self, role: str, level: int) -> None:
        """Take the level of a pin into what is lit."""
        if role in self._segment_bits:
            self._segments = _with_bit(self._segments, self._segment_bits[role], is_set=level == self._segment_level)
        elif role in self._digit_factors:
            self._digits = _with_bit(self._digits, self._digit_factors[role], is_set=level == self._digit_level)
        elif role == "colon":
            self._colon = _with_bit(self._colon, self._colon_bit, is_set=level == self._segment_level)

    def _lit_segments(self) -> int:
        lit = self._segments * self._digits
        if self._colon_bit:
            lit &= ~_all_points(self.digit_count)
            # The colon is wired beside the digit before it.
            if self._digits:
                lit |= self._colon
        return lit


def _with_bit(number: int, bit: int, *, is_set: bool) -> int:
    if is_set:
        return number | bit
    return number & ~bit


def _all_points(digit_count: int) -> int:
    return int.from_bytes(bytes([DOT]) * digit_count, "little")
