"""What the models of clock chips on I2C share: seven registers of time in BCD, which run with the board's time."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Final

from microclaw.hardware.parts.models import Bench, BusDevice
from microclaw.hardware.parts.wiring import WiredPart

START: Final = datetime(2025, 1, 1, 12, 0, 0)
"""The time of a clock at the first look at it: a Wednesday, at noon."""
_CENTURY: Final = 2000
_TIME_SIZE: Final = 7
_IN_12_HOURS: Final = 0x40
_PM: Final = 0x20
_HALT: Final = 0x80


class ClockModel(BusDevice):
    """A clock with a battery: neither a reset of the board nor a cut of its power stops it.

    Its first time is that of the first look at it, so that it is the same after any uptime of the board.

    The registers 0 to 6 are seconds, minutes, hours, day of the week, date, month and year (DS1307 table 2, DS3231
    figure 1). The day of the week is 1 to 7, and only counts.
    """

    size = _TIME_SIZE
    """How many registers there are; after the last comes the first."""

    def __init__(self, wired: WiredPart, bench: Bench) -> None:
        super().__init__(wired, bench)
        self._pointer = 0
        self._set_to = START
        self._set_ms: float | None = None
        self._day_offset = 0
        self._mode = 0
        self.is_halted = False

    def reset(self) -> None:
        self._pointer = 0

    def values_changed(self, values: Mapping[str, float]) -> None:
        if not values.keys() & {"hour", "minute", "second"}:
            return
        now = self.time()
        hour = int(values.get("hour", now.hour))
        minute = int(values.get("minute", now.minute))
        second = int(values.get("second", now.second))
        self._set_time(now.replace(hour=hour, minute=minute, second=second))

    def write(self, data: bytes) -> None:
        if not data:
            return
        self._pointer = data[0] % self.size
        time = bytearray(self.shown_time(self._time_registers(self.time())))
        is_time = False
        for value in data[1:]:
            if self._pointer < _TIME_SIZE:
                time[self._pointer] = value
                is_time = True
            else:
                self.set_register(self._pointer, value)
            self._pointer = (self._pointer + 1) % self.size
        if is_time:
            self.halt(is_halted=bool(time[0] & _HALT))
            self._take(time)
            self.time_written()

    def read(self, size: int) -> bytes:
        time = self.shown_time(self._time_registers(self.time()))
        data = bytearray()
        for _ in range(size):
            if self._pointer < _TIME_SIZE:
                data.append(time[self._pointer])
            else:
                data.append(self.register(self._pointer))
            self._pointer = (self._pointer + 1) % self.size
        return bytes(data)

    @abstractmethod
    def register(self, number: int) -> int:
        """Return a register after those of the time."""

    @abstractmethod
    def set_register(self, number: int, value: int) -> None:
        """Set a register after those of the time."""

    def shown_time(self, registers: bytes) -> bytes:
        """Return the registers of the time with the bits that are the chip's own."""
        return registers

    def time_written(self) -> None:
        """React to a new time."""

    def time(self) -> datetime:
        """Return the time of the clock, in whole seconds."""
        if self.is_halted:
            return self._set_to
        now_ms = self.bench.now_ms()
        if self._set_ms is None:
            self._set_ms = now_ms
        passed_s = (now_ms - self._set_ms) // 1000
        return self._set_to + timedelta(seconds=passed_s)

    def halt(self, *, is_halted: bool) -> None:
        """Stop the clock or let it run, if the chip can do that."""

    def _set_time(self, time: datetime) -> None:
        self._set_to = time
        self._set_ms = self.bench.now_ms()

    def _take(self, registers: bytearray) -> None:
        """Set the time from its registers; a date that does not exist is not taken."""
        self._mode = registers[2] & _IN_12_HOURS
        try:
            time = datetime(
                year=_CENTURY + from_bcd(registers[6]),
                month=from_bcd(registers[5] & 0x1F),
                day=from_bcd(registers[4] & 0x3F),
                hour=_hour(registers[2]),
                minute=from_bcd(registers[1] & 0x7F),
                second=from_bcd(registers[0] & 0x7F),
            )
        except ValueError:
            return
        self._set_time(time)
        self._day_offset = (registers[3] & 7) - time.isoweekday()

    def _time_registers(self, time: datetime) -> bytes:
        """Return the seven registers of a time."""
        day = (time.isoweekday() + self._day_offset - 1) % 7 + 1
        return bytes(
            (
                to_bcd(time.second),
                to_bcd(time.minute),
                _hour_register(time.hour, self._mode),
                day,
                to_bcd(time.day),
                to_bcd(time.month),
                to_bcd(time.year % 100),
            )
        )


def to_bcd(number: int) -> int:
    return number // 10 << 4 | number % 10


def from_bcd(register: int) -> int:
    return (register >> 4) * 10 + (register & 15)


def _hour(register: int) -> int:
    if not register & _IN_12_HOURS:
        return from_bcd(register & 0x3F)
    hour = from_bcd(register & 0x1F) % 12
    if register & _PM:
        hour += 12
    return hour


def _hour_register(hour: int, mode: int) -> int:
    if not mode:
        return to_bcd(hour)
    register = mode | to_bcd((hour - 1) % 12 + 1)
    if hour >= 12:
        register |= _PM
    return register
