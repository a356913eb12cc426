"""Digits of seven segments whose LEDs a program lights itself, digit after digit: what an eye sees of them.

An eye sees a picture that comes back within WINDOW_MS as one that stands. So the times for which each segment is lit
are added up over such a window. Segments that are lit by far shorter than others are those that are lit by mistake
while the program goes on from one digit to the next.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Final

from microclaw.hardware.parts.models import Bench, Display, PinDevice
from microclaw.hardware.parts.wiring import WiredPart
from microclaw.hardware.screens.screen import Screen

WINDOW_MS: Final = 20.0
_STANDING_MS: Final = 10.0
"""A digit that is lit alone for so long is no longer one of several that come back within a window."""
_LEAST_SHARE: Final = 1 / 3
"""Of the time of the segment that is lit longest."""
_LEAST_MS: Final = 0.1
_UNSTEADY_WINDOWS: Final = 5
"""A picture that changes from window to window is taken as it is after so many."""
SEGMENTS: Final = ("a", "b", "c", "d", "e", "f", "g", "dp")
"""The roles of a digit's segments, from bit 0 on."""
DIGIT_BITS: Final = 8


class LitDigits(Display, PinDevice, ABC):
    """A display that calls `light` whenever other segments are lit than before.

    Lit segments are one number with 8 bits for each digit, the lowest for the one on the left.
    """

    def __init__(self, wired: WiredPart, bench: Bench) -> None:
        super().__init__(wired, bench)
        self.digit_count = int(self.attribute("digits"))
        self._lit = 0
        self._seen = 0
        self._is_watched = False
        self.mark = "."

    @abstractmethod
    def lit_now(self) -> int:
        """Return the lit segments by the present levels of its pins."""

    def reset(self) -> None:
        self._lit = self.lit_now()
        # Nothing drives the pins yet: what they light by chance is no picture.
        self._seen = 0
        self._is_watched = False

    def light(self, lit: int) -> None:
        """Note that these segments are lit from now on."""
        if lit == self._lit:
            return
        now_ms = self.bench.now_ms()
        if self._is_watched:
            self._add_time(now_ms)
        else:
            self._is_watched = True
            self._candidate = self._seen
            self._unsteady_count = 0
            self._begin_window(now_ms)
        self._lit = lit
        self._lit_since_ms = now_ms

    def screen(self) -> Screen:
        segments = self._seen.to_bytes(self.digit_count, "little")
        return Screen("digits", self.digit_count, 1, segments, self.mark)

    def _begin_window(self, now_ms: float) -> None:
        self._times_ms: dict[int, float] = {}
        self._counted_until_ms = now_ms
        self.bench.call_at(now_ms + WINDOW_MS, self._look)

    def _add_time(self, now_ms: float) -> None:
        """Add the time since the last change to that of what is lit."""
        lit_ms = now_ms - self._counted_until_ms
        self._times_ms[self._lit] = self._times_ms.get(self._lit, 0.0) + lit_ms
        self._counted_until_ms = now_ms

    def _look(self) -> None:
        """See what was lit in the window that ends now. A picture counts when the next window has it, too."""
        now_ms = self.bench.now_ms()
        if now_ms - self._lit_since_ms >= _STANDING_MS:
            self._is_watched = False
            self._see(self._lit)
            return
        self._add_time(now_ms)
        picture = self._window_picture()
        self._unsteady_count += 1
        if picture == self._candidate or self._unsteady_count == _UNSTEADY_WINDOWS:
            self._unsteady_count = 0
            self._see(picture)
        self._candidate = picture
        self._begin_window(now_ms)

    def _window_picture(self) -> int:
        """Return the segments that are lit for long enough in this window."""
        times_ms = [0.0] * (DIGIT_BITS * self.digit_count)
        for lit, lit_ms in self._times_ms.items():
            rest = lit
            while rest:
                lowest = rest & -rest
                times_ms[lowest.bit_length() - 1] += lit_ms
                rest ^= lowest
        least_ms = max(_LEAST_MS, max(times_ms) * _LEAST_SHARE)
        picture = 0
        for bit, lit_ms in enumerate(times_ms):
            if lit_ms >= least_ms:
                picture |= 1 << bit
        return picture

    def _see(self, picture: int) -> None:
        if picture != self._seen:
            self._seen = picture
            self.bench.screen_changed()
