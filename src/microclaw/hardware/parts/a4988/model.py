"""An A4988 with its motor: each rising edge of STEP is a step in the direction of DIR."""

from __future__ import annotations

from typing import Final

from microclaw.hardware.parts.models import Bench, PinDevice
from microclaw.hardware.parts.wiring import WiredPart

_MICROSTEPS: Final = {0b000: 1, 0b001: 2, 0b010: 4, 0b011: 8, 0b111: 16}
"""Microsteps for a full step by MS3, MS2, MS1."""
_FINEST: Final = 16


class Model(PinDevice):
    """Where the motor stands is counted in sixteenths of a step."""

    def __init__(self, wired: WiredPart, bench: Bench) -> None:
        super().__init__(wired, bench)
        self._sixteenths = 0

    def reset(self) -> None:
        self._sixteenths = 0
        self._show()

    def edge(self, role: str, level: int) -> None:
        if role != "step" or not level or not self._is_on():
            return
        way = 1 if self._level("dir") else -1
        self._sixteenths += way * (_FINEST // self._microsteps())
        self._show()

    def _is_on(self) -> bool:
        """Return True if it is enabled and neither sleeps nor is reset; on the board SLEEP and RESET are joined."""
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
