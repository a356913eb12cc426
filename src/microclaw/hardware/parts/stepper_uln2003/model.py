"""A stepper motor of four coils: its rotor goes to where the energized coils pull it."""

from __future__ import annotations

from typing import Final

from microclaw.hardware.parts.models import Bench, PinDevice
from microclaw.hardware.parts.wiring import WiredPart

_ROLES: Final = ("in1", "in2", "in3", "in4")
_PLACES: Final = {0b0001: 0, 0b0011: 1, 0b0010: 2, 0b0110: 3, 0b0100: 4, 0b1100: 5, 0b1000: 6, 0b1001: 7}
"""The half step of a cycle to which the coils pull. Others, as two opposite coils, pull nowhere."""
_HALF_STEPS: Final = 8
_SWITCHING_MS: Final = 0.1
"""Coils of one step are all switched within this time."""
_LEAST_MS: Final = 0.9  # the rotor does not follow coils that change faster


class Model(PinDevice):
    """Two opposite places are equally near, so that a jump of four half steps moves nothing."""

    def __init__(self, wired: WiredPart, bench: Bench) -> None:
        super().__init__(wired, bench)
        self._coils = 0
        self._place: int | None = None
        self._aim: int | None = None  # the place to which the coils pulled last
        self._half_steps = 0
        self._lost = 0
        self._change_count = 0
        self._changed_ms = 0.0

    def reset(self) -> None:
        self._coils = 0
        self._place = None
        self._aim = None
        self._half_steps = 0
        self._lost = 0
        self._change_count += 1
        self._show()
        self.bench.show("lost", 0)

    def edge(self, role: str, level: int) -> None:
        self._count_lost()
        bit = 1 << _ROLES.index(role)
        if level:
            self._coils |= bit
        else:
            self._coils &= ~bit
        self._change_count += 1
        change = self._change_count

        def follow() -> None:
            if self._change_count == change:
                self._follow()

        self.bench.call_at(self.bench.now_ms() + _LEAST_MS, follow)

    def _count_lost(self) -> None:
        """Count the step of coils that are switched on again too soon. Coils of one step change one after the other."""
        now_ms = self.bench.now_ms()
        held_ms = now_ms - self._changed_ms
        self._changed_ms = now_ms
        place = _PLACES.get(self._coils)
        if place is None or held_ms < _SWITCHING_MS:
            return
        before = self._aim
        self._aim = place
        if before is not None and held_ms < _LEAST_MS:
            self._lost += abs(_way(before, place))
            self.bench.show("lost", self._lost / 2)
            self.bench.warn(f"steps lost: the rotor follows coils that change every {_LEAST_MS:g} ms, and no faster")

    def _follow(self) -> None:
        """Turn the rotor to where the coils pull."""
        place = _PLACES.get(self._coils)
        if place is None:
            return
        if self._place is None:
            self._place = place
            return
        way = _way(self._place, place)
        if way in (0, -_HALF_STEPS // 2):
            return
        self._place = place
        self._half_steps += way
        self._show()

    def _show(self) -> None:
        steps = self._half_steps / 2
        self.bench.show("steps", steps)
        self.bench.show("angle", round(360 * steps / self.attribute("turn"), 3))


def _way(place: int, other: int) -> int:
    """Return the half steps from a place of the cycle to another one, the shorter way."""
    return (other - place + _HALF_STEPS // 2) % _HALF_STEPS - _HALF_STEPS // 2
