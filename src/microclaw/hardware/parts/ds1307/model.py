"""A DS1307 at register level, whose time runs with the board's. Its square wave drives no pin."""

from __future__ import annotations

from datetime import datetime
from typing import Final

from microclaw.hardware.parts.clock_chip import ClockModel
from microclaw.hardware.parts.models import Bench
from microclaw.hardware.parts.wiring import WiredPart

_CONTROL: Final = 7
_HALT: Final = 0x80
_FIRST_TIME: Final = datetime(2000, 1, 1)


class Model(ClockModel):
    """Maxim DS1307, table 2: bit 7 of the seconds stops the clock; 8 to 0x3F are memory."""

    size = 0x40

    def __init__(self, wired: WiredPart, bench: Bench) -> None:
        super().__init__(wired, bench)
        self._registers = bytearray(self.size)
        self._registers[_CONTROL] = 0x03
        self.is_halted = bool(self.attribute("lost_power"))
        if self.is_halted:
            self._set_to = _FIRST_TIME

    def register(self, number: int) -> int:
        return self._registers[number]

    def set_register(self, number: int, value: int) -> None:
        self._registers[number] = value

    def shown_time(self, registers: bytes) -> bytes:
        if not self.is_halted:
            return registers
        return bytes((registers[0] | _HALT, *registers[1:]))

    def halt(self, *, is_halted: bool) -> None:
        self.is_halted = is_halted
