"""A DS3231 at register level, whose time runs with the board's. Its outputs INT/SQW and 32K drive no pin."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Final

from microclaw.hardware.parts.clock_chip import ClockModel
from microclaw.hardware.parts.models import Bench
from microclaw.hardware.parts.wiring import WiredPart

_ALARM_1: Final = 0x07
_ALARM_2: Final = 0x0B
_CONTROL: Final = 0x0E
_STATUS: Final = 0x0F
_TEMPERATURE: Final = 0x11
_READ_ONLY: Final = (0x11, 0x12)
_FLAG_1: Final = 0x01
_FLAG_2: Final = 0x02
_WAS_STOPPED: Final = 0x80
_IGNORED: Final = 0x80
_DAY_OF_WEEK: Final = 0x40
_FIRST_TIME: Final = datetime(2000, 1, 1)
_SECOND: Final = timedelta(seconds=1)
_MOST_CHECKED: Final = timedelta(days=1)


class Model(ClockModel):
    """Maxim DS3231, figure 1. The flags of alarms are found when a program looks at them, for the last day at most."""

    size = 0x13

    def __init__(self, wired: WiredPart, bench: Bench) -> None:
        super().__init__(wired, bench)
        self._registers = bytearray(self.size)
        self._registers[_CONTROL] = 0x1C
        self._registers[_STATUS] = 0x08
        if self.attribute("lost_power"):
            self._registers[_STATUS] |= _WAS_STOPPED
            self._set_to = _FIRST_TIME
        self._checked = self._set_to

    def register(self, number: int) -> int:
        if number == _STATUS:
            self._note_alarms()
        if number in _READ_ONLY:
            quarters = round(self.values["temperature"] * 4)
            return (quarters << 6).to_bytes(2, "big", signed=True)[number - _TEMPERATURE]
        return self._registers[number]

    def set_register(self, number: int, value: int) -> None:
        self._note_alarms()
        if number == _STATUS:
            # A program can clear these flags, and not set them.
            flags = self._registers[_STATUS] & value & (_WAS_STOPPED | _FLAG_1 | _FLAG_2)
            self._registers[_STATUS] = flags | value & 0x08
        elif number not in _READ_ONLY:
            self._registers[number] = value

    def time_written(self) -> None:
        self._checked = self.time()

    def values_changed(self, values: Mapping[str, float]) -> None:
        super().values_changed(values)
        # A time that is set is reached, and what lies between is not passed.
        if values.keys() & {"hour", "minute", "second"}:
            self._checked = self.time() - _SECOND

    def _note_alarms(self) -> None:
        """Set the flags of the alarms whose times came since the last look."""
        now = self.time()
        checked = max(self._checked, now - _MOST_CHECKED)
        while checked < now:
            checked += _SECOND
            registers = self._time_registers(checked)
            if self._rings(_ALARM_1, registers):
                self._registers[_STATUS] |= _FLAG_1
            if checked.second == 0 and self._rings(_ALARM_2 - 1, registers, first=1):
                self._registers[_STATUS] |= _FLAG_2
        self._checked = now

    def _rings(self, alarm: int, time: bytes, first: int = 0) -> bool:
        """Return True if the registers of an alarm match those of a time, from the field `first` on (table 2).

        The fields are seconds, minutes, hours and the date or day of the week.
        """
        for field in range(first, 3):
            register = self._registers[alarm + field]
            if not register & _IGNORED and register != time[field]:
                return False
        day = self._registers[alarm + 3]
        if day & _IGNORED:
            return True
        if day & _DAY_OF_WEEK:
            return day & 0x0F == time[3]
        return day & 0x3F == time[4]
