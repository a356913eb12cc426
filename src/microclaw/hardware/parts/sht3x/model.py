"""An SHT3x at the level of its commands, with values that are set from outside."""

from __future__ import annotations

from typing import Final

from microclaw.hardware.parts.models import BusDevice

_STRETCHED_SHOTS: Final = (0x2C06, 0x2C0D, 0x2C10)
"""With clock stretching the chip holds the clock until it has measured. That time is left out."""
_SINGLE_SHOTS_MS: Final = {0x2400: 12.5, 0x240B: 4.5, 0x2416: 2.5}
"""Typical times of a measurement by its repeatability (table 4)."""
_FIRST_MS: Final = 12.5
_PERIODS_MS: Final = {0x20: 2000.0, 0x21: 1000.0, 0x22: 500.0, 0x23: 250.0, 0x27: 100.0, 0x2B: 250.0}
"""The time between two measurements by the high byte of a periodic command; 0x2B is ART."""
_FETCH: Final = 0xE000
_STOP: Final = 0x3093
_RESET: Final = 0x30A2
_HEATER_ON: Final = 0x306D
_HEATER_OFF: Final = 0x3066
_STATUS: Final = 0xF32D
_CLEAR_STATUS: Final = 0x3041
_SERIAL_NUMBERS: Final = (0x3780, 0x3682)
_SERIAL: Final = (0x0BAD, 0xCAFE)
_HEATER: Final = 0x2000
_ALERT: Final = 0x8000
_WAS_RESET: Final = 0x0010
_CRC_POLYNOMIAL: Final = 0x31


class Model(BusDevice):
    """Sensirion SHT3x-DIS, section 4: a command is 16 bits; an answer is words of 16 bits, each with its CRC."""

    def reset(self) -> None:
        self._answer = b""
        self._ready_ms = 0.0
        self._period_ms: float | None = None
        self._next_ms = 0.0
        self._status = _ALERT | _WAS_RESET

    @property
    def acknowledges_read(self) -> bool:
        """False as long as there is no data: the chip answers a read then with no acknowledgement (4.4, 4.6)."""
        return bool(self._answer) and self.bench.now_ms() >= self._ready_ms

    def write(self, data: bytes) -> None:
        if len(data) < 2:
            return
        command = int.from_bytes(data[:2], "big")
        self._answer = b""
        now_ms = self.bench.now_ms()
        self._ready_ms = now_ms
        if command in _STRETCHED_SHOTS or command in _SINGLE_SHOTS_MS:
            self._answer = self._measurement()
            self._ready_ms = now_ms + _SINGLE_SHOTS_MS.get(command, 0.0)
        elif command == _FETCH:
            self._fetch(now_ms)
        elif data[0] in _PERIODS_MS:
            self._period_ms = _PERIODS_MS[data[0]]
            self._next_ms = now_ms + _FIRST_MS
        elif command == _STATUS:
            self._answer = _words(self._status)
        elif command in _SERIAL_NUMBERS:
            self._answer = _words(*_SERIAL)
        else:
            self._act(command)

    def read(self, size: int) -> bytes:
        # Nobody holds the line after the last byte: it reads as ones.
        data = self._answer[:size].ljust(size, b"\xff")
        self._answer = self._answer[size:]
        return data

    def _fetch(self, now_ms: float) -> None:
        """Take the last periodic measurement, if there is one since the last fetch."""
        if self._period_ms is None or now_ms < self._next_ms:
            return
        self._answer = self._measurement()
        missed_count = (now_ms - self._next_ms) // self._period_ms
        self._next_ms += (missed_count + 1) * self._period_ms

    def _act(self, command: int) -> None:
        """Carry out a command without an answer."""
        if command == _RESET:
            self.reset()
        elif command == _STOP:
            self._period_ms = None
        elif command == _HEATER_ON:
            self._status |= _HEATER
        elif command == _HEATER_OFF:
            self._status &= ~_HEATER
        elif command == _CLEAR_STATUS:
            self._status &= ~(_ALERT | _WAS_RESET)

    def _measurement(self) -> bytes:
        # Section 4.13: degrees are -45 + 175 * raw / 65535, percent are 100 * raw / 65535.
        temperature = round((self.values["temperature"] + 45) / 175 * 65535)
        humidity = round(self.values["humidity"] / 100 * 65535)
        return _words(temperature, humidity)


def _words(*words: int) -> bytes:
    """Return the words with the high byte first, and a CRC after each."""
    data = bytearray()
    for word in words:
        pair = word.to_bytes(2, "big")
        data += pair
        data.append(crc8(pair))
    return bytes(data)


def crc8(data: bytes) -> int:
    """Return the CRC of section 4.12: polynomial 0x31, begun with 0xFF."""
    crc = 0xFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc <<= 1
            if crc & 0x100:
                crc ^= 0x100 | _CRC_POLYNOMIAL
    return crc
