"""An A4988 with its motor: each rising edge of STEP is a step in the direction of DIR, if the rotor follows it."""

from __future__ import annotations

import math
from typing import Final

from microclaw.hardware.parts.models import Bench, PinDevice
from microclaw.hardware.parts.wiring import WiredPart

_MICROSTEPS: Final = {0b000: 1, 0b001: 2, 0b010: 4, 0b011: 8, 0b111: 16}
"""Microsteps for a full step by MS3, MS2, MS1."""
_FINEST: Final = 16
_WAKE_MS: Final = 1.0
"""After SLEEP ends the driver needs this time before it takes a step (Allegro A4988, Sleep Mode)."""
_JITTER: Final = 1.02
"""A rate that a program's delays make may be so much higher than meant."""


class Model(PinDevice):
    """Where the motor stands is counted in sixteenths of a step.

    From rest the rotor follows up to `start_hz` full steps a second. A motor that can do that has the torque to become
    faster with each further step: the square of its speed grows by the square of that rate. A step that comes sooner is
    lost, and the rotor stands.
    """

    def __init__(self, wired: WiredPart, bench: Bench) -> None:
        super().__init__(wired, bench)
        self._sixteenths = 0
        self._lost = 0
        self._way = 0
        self._speed_hz = 0.0
        self._step_ms = -math.inf
        self._awake_ms = 0.0

    def reset(self) -> None:
        self._sixteenths = 0
        self._lost = 0
        self._speed_hz = 0.0
        self._step_ms = -math.inf
        self._awake_ms = 0.0
        self._show()
        self.bench.show("lost", 0)

    def edge(self, role: str, level: int) -> None:
        if role == "sleep" and level:
            self._awake_ms = self.bench.now_ms() + _WAKE_MS
        if role != "step" or not level or not self._is_on():
            return
        way = 1 if self._level("dir") else -1
        length = _FINEST // self._microsteps()
        if self._follows(way, length / _FINEST):
            self._sixteenths += way * length
            self._show()
        else:
            self._lost += length
            self.bench.show("lost", self._lost / _FINEST)
            start_hz = self.attribute("start_hz")
            self.bench.warn(f"steps lost: without a ramp it follows at most {start_hz:g} full steps a second")

    def _follows(self, way: int, length: float) -> bool:
        """Return True if the rotor follows a step that comes now. `length` is a share of a full step."""
        now_ms = self.bench.now_ms()
        gap_ms = now_ms - self._step_ms
        self._step_ms = now_ms
        if now_ms < self._awake_ms:
            return False
        speed_hz = math.inf
        if gap_ms:
            speed_hz = length * 1000 / gap_ms
        before_hz = 0.0
        if way == self._way:
            before_hz = self._speed_hz
        start_hz = self.attribute("start_hz")
        ramp_hz = math.sqrt(before_hz**2 + start_hz**2 * length)
        self._way = way
        if speed_hz > _JITTER * max(start_hz, ramp_hz):
            self._speed_hz = 0.0
            return False
        self._speed_hz = speed_hz
        return True

    def _is_on(self) -> bool:
        """Return True if it is enabled and neither sleeps nor is reset.

        SLEEP and RESET that are left open count as high: SLEEP has a pull-up on Pololu's carrier, RESET floats there
        and is joined with SLEEP by hand.
        """
        return not self._level("enable") and bool(self._level("sleep", 1) and self._level("reset", 1))

    def _microsteps(self) -> int:
        if not any(role in self.wired.pins for role in ("ms1", "ms2", "ms3")):
            return int(self.attribute("microsteps"))
        code = self._level("ms3") << 2 | self._level("ms2") << 1 | self._level("ms1")
        return _MICROSTEPS.get(code, _FINEST)

    def _level(self, role: str, usual: int = 0) -> int:
        """Return the level of one of its pins; the usual one if it is left open."""
        gpio = self.wired.pins.get(role)
        if gpio is None:
            return usual
        return self.bench.level(gpio)

    def _show(self) -> None:
        steps = self._sixteenths / _FINEST
        self.bench.show("steps", steps)
        self.bench.show("angle", round(360 * steps / self.attribute("turn"), 3))
