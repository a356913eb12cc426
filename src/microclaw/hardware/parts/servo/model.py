"""A hobby servo: the length of the pulses is an angle, and the arm needs time to arrive there."""

from __future__ import annotations

from typing import Final

from microclaw.hardware.parts.known_values import known_value
from microclaw.hardware.parts.models import Bench, PinDevice
from microclaw.hardware.parts.wiring import WiredPart

_MS_PER_DEGREE: Final = 100.0 / 60
_FIRST_DEGREES: Final = 90.0  # nobody knows where the arm is at power on


class Model(PinDevice):
    """Without pulses, or with too many a second, it stays as it is."""

    def __init__(self, wired: WiredPart, bench: Bench) -> None:
        super().__init__(wired, bench)
        self._from_degrees = _FIRST_DEGREES
        self._to_degrees = _FIRST_DEGREES
        self._since_ms = 0.0
        self._turn_count = 0

    def reset(self) -> None:
        self._from_degrees = self._to_degrees
        self._since_ms = 0.0
        self._turn_count += 1

    def edge(self, role: str, level: int) -> None:
        pass

    def pwm_changed(self, role: str) -> None:
        degrees = known_value(self.wired, "angle", self.signal(role))
        if degrees is None:
            return
        now_ms = self.bench.now_ms()
        self._from_degrees = self._degrees_at(now_ms)
        self._since_ms = now_ms
        self._to_degrees = degrees
        self._turn_count += 1
        self._arrive_at(now_ms + abs(self._to_degrees - self._from_degrees) * _MS_PER_DEGREE)

    def _degrees_at(self, t_ms: float) -> float:
        """Return where the arm is on its way."""
        way = self._to_degrees - self._from_degrees
        gone = (t_ms - self._since_ms) / _MS_PER_DEGREE
        if gone >= abs(way):
            return self._to_degrees
        if way > 0:
            return self._from_degrees + gone
        return self._from_degrees - gone

    def _arrive_at(self, t_ms: float) -> None:
        turn = self._turn_count

        def arrive() -> None:
            if self._turn_count == turn:
                self.bench.show("angle", round(self._to_degrees, 1))

        self.bench.call_at(t_ms, arrive)
