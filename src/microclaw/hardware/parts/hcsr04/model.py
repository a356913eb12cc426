"""An HC-SR04: a pulse at TRIG sends a burst, and ECHO is then high for as long as the sound needs there and back."""

from __future__ import annotations

from typing import Final

from microclaw.hardware.parts.models import Bench, PinDevice
from microclaw.hardware.parts.wiring import WiredPart

_LEAST_TRIGGER_MS: Final = 0.01
_BURST_MS: Final = 0.45  # eight periods of 40 kHz, and what the module needs before them
_ECHO_MS_PER_CM: Final = 0.05831  # at 343 m/s, there and back
_SILENCE_MS: Final = 38.0
_NEAREST_CM: Final = 2.0
_FARTHEST_CM: Final = 400.0
_SLACK_MS: Final = 1e-6


class Model(PinDevice):
    """Ignores triggers while a measurement runs."""

    def __init__(self, wired: WiredPart, bench: Bench) -> None:
        super().__init__(wired, bench)
        self._echo = wired.pins["echo"]
        self._rise_ms: float | None = None
        self._is_measuring = False

    def reset(self) -> None:
        self._rise_ms = None
        self._is_measuring = False
        self.bench.drive(self._echo, 0)

    def edge(self, role: str, level: int) -> None:
        if role != "trig":
            return
        now_ms = self.bench.now_ms()
        if level:
            self._rise_ms = now_ms
            return
        rise_ms = self._rise_ms
        self._rise_ms = None
        if rise_ms is None or self._is_measuring:
            return
        if now_ms - rise_ms >= _LEAST_TRIGGER_MS - _SLACK_MS:
            self._is_measuring = True
            self.bench.call_at(now_ms + _BURST_MS, self._begin_echo)

    def _begin_echo(self) -> None:
        self.bench.drive(self._echo, 1)
        self.bench.call_at(self.bench.now_ms() + self._echo_ms(), self._end_echo)

    def _end_echo(self) -> None:
        self._is_measuring = False
        self.bench.drive(self._echo, 0)

    def _echo_ms(self) -> float:
        distance_cm = self.values["distance"]
        if _NEAREST_CM <= distance_cm <= _FARTHEST_CM:
            return distance_cm * _ECHO_MS_PER_CM
        return _SILENCE_MS
