"""A stepper motor of four coils: its rotor goes to where the energized coils pull it."""

from __future__ import annotations

from typing import Final

from microclaw.hardware.parts.models import Bench, PinDevice
from microclaw.hardware.parts.wiring import WiredPart

_ROLES: Final = ("in1", "in2", "in3", "in4")
_PLACES: Final = {0b0001: 0, 0b0011: 1, 0b0010: 2, 0b0110: 3, 0b0100: 4, 0b1100: 5, 0b1000: 6, 0b1001: 7}
"""The half step of a cycle to which the coils pull. Others, as two opposite coils, pull nowhere."""
_HALF_STEPS: Final = 8
_LEAST_MS: Final = 0.9  # the rotor does not follow coils that change faster


class Model(PinDevice):
    """Two opposite places are equally near, so that a jump of four half steps moves nothing."""

    def __init__(self, wired: WiredPart, bench: Bench) -> None:
        super().__init__(wired, bench)
        self._coils = 0
        self._place: int | None = None
        self._half_steps = 0
        self._change_count = 0

    def reset(self) -> None:
        self._coils = 0
        self._place = None
        self._half_steps = 0
        self._change_count += 1
        self._show()

    def edge(self, role: str, level: int) -> None:
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

    def _follow(self) -> None:
        """Turn the rotor to where the coils pull."""
        place = _PLACES.get(self._coils)
        if place is None:
            return
        if self._place is None:
            self._place = place
            return
        way = (place - self._place + _HALF_STEPS // 2) % _HALF_STEPS - _HALF_STEPS // 2
        if way in (0, -_HALF_STEPS // 2):
            return
        self._place = place
        self._half_steps += way
        self._show()

    def _show(self) -> None:
        steps = self._half_steps / 2
        self.bench.show("steps", steps)
        self.bench.show("angle", round(360 * steps / self.attribute("turn"), 3))
