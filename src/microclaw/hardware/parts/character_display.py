"""A module with an HD44780 and its glass: on I2C behind a PCF8574, or on pins. Its contrast is not simulated."""

from __future__ import annotations

from typing import Final

from microclaw.hardware.parts.hd44780 import Hd44780
from microclaw.hardware.parts.models import BusDevice, Display, PinDevice
from microclaw.hardware.screens.screen import Screen, text_screen

# The bits of the PCF8574 of the usual modules; the upper four are D4 to D7.
_RS: Final = 0x01
_RW: Final = 0x02
_E: Final = 0x04
_LIGHT: Final = 0x08
_DATA: Final = 0xF0
_ALL_HIGH: Final = 0xFF
_LOST: Final = "what comes before a command is over is lost: clear and home take 1.52 ms, the others 0.037 ms"
_BYTE_MS: Final = 0.0225
"""A byte of a transfer at 400 kHz, the fastest clock with which these modules are used."""


class CharacterDisplay(BusDevice, PinDevice, Display):
    """Its text is what its glass shows, also while its light is off: `backlight` says that."""

    def reset(self) -> None:
        self._chip = Hd44780(self.bench.now_ms())
        self._latch = _ALL_HIGH
        self._lines: tuple[str, ...] = self._read_lines()
        self._flags: dict[str, bool] = {}
        self._show_flags()

    def screen(self) -> Screen:
        return text_screen(int(self.attribute("columns")), self._read_lines())

    # On I2C: each byte sets the eight pins of the PCF8574 at once.
    def write(self, data: bytes) -> None:
        for place, byte in enumerate(data, 1):
            self._set_latch(byte, self.bench.now_ms() - (len(data) - place) * _BYTE_MS)
        self._show()

    def read(self, size: int) -> bytes:
        levels = self._latch
        if levels & _E and levels & _RW:
            # A pin that is written high is only pulled up weakly: the display can pull it low.
            levels &= self._chip.output() | ~_DATA
        return bytes([levels & 0xFF]) * size

    def _set_latch(self, byte: int, t_ms: float) -> None:
        before = self._latch
        self._latch = byte
        if before & _E and not byte & _E:
            # What the pins had before counts: they change later than E.
            data = before & _DATA | ~_DATA & 0xFF
            self._chip.fall(t_ms, is_data=bool(before & _RS), is_read=bool(before & _RW), byte=data)
        elif byte & _E and not before & _E:
            self._chip.rise(t_ms, is_data=bool(byte & _RS), is_read=bool(byte & _RW))

    # On pins.
    def edge(self, role: str, level: int) -> None:
        if role == "e":
            self._enable(level)
            self._show()
        elif role == "backlight":
            self._show_flags()

    def pwm_changed(self, role: str) -> None:
        if role == "backlight":
            self._show_flags()

    def _enable(self, level: int) -> None:
        t_ms = self.bench.now_ms()
        is_data = bool(self._pin_level("rs"))
        is_read = "rw" in self.wired.pins and bool(self._pin_level("rw"))
        if level:
            self._chip.rise(t_ms, is_data=is_data, is_read=is_read)
            if is_read:
                self._drive(self._chip.output())
            return
        byte = 0
        for number in range(8):
            byte |= self._pin_level(f"d{number}") << number
        self._chip.fall(t_ms, is_data=is_data, is_read=is_read, byte=byte)
        if is_read:
            self._drive(None)

    def _pin_level(self, role: str) -> int:
        """Return the level of a pin; one that is not wired is pulled up inside the chip."""
        pin = self.wired.pins.get(role)
        if pin is None:
            return 1
        return self.bench.level(pin)

    def _drive(self, byte: int | None) -> None:
        """Put a byte on the data pins that are wired, or let go of them."""
        for number in range(8):
            pin = self.wired.pins.get(f"d{number}")
            if pin is None:
                continue
            if byte is None:
                self.bench.drive(pin, None)
            else:
                self.bench.drive(pin, byte >> number & 1)

    # What it shows.
    def _read_lines(self) -> tuple[str, ...]:
        columns = int(self.attribute("columns"))
        rows = int(self.attribute("rows"))
        return tuple(self._chip.line(row, columns) for row in range(rows))

    def _show(self) -> None:
        self._show_flags()
        if self._chip.has_lost:
            self.bench.warn(_LOST)
        lines = self._read_lines()
        if lines != self._lines:
            self._lines = lines
            self.bench.screen_changed()

    def _show_flags(self) -> None:
        """Show the flags that have changed."""
        is_on = self._chip.is_on
        flags = {
            "backlight": self._is_lit(),
            "cursor": is_on and self._chip.has_cursor,
            "blink": is_on and self._chip.blinks,
        }
        for name, is_set in flags.items():
            if self._flags.get(name) != is_set:
                self._flags[name] = is_set
                self.bench.show(name, float(is_set))

    def _is_lit(self) -> bool:
        """Return True if the light behind the glass is on; without a pin of its own it is on the supply."""
        if self.wired.address is not None:
            return bool(self._latch & _LIGHT)
        if "backlight" not in self.wired.pins:
            return True
        return self.active_share("backlight") > 0
