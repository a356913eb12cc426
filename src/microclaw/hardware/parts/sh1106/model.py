"""An SH1106 at register level. Its brightness and its timing of the panel are not simulated."""

from __future__ import annotations

from collections.abc import Mapping

from microclaw.hardware.parts.oled_controller import OledController


class Model(OledController):
    """Sino Wealth SH1106 V2.2: commands 1 to 27, the display data RAM of 132 columns, the DC-DC converter."""

    COLUMNS = 132
    ARGUMENTS: Mapping[int, int] = {0x81: 1, 0xA8: 1, 0xAD: 1, 0xD3: 1, 0xD5: 1, 0xD9: 1, 0xDA: 1, 0xDB: 1}

    def reset(self) -> None:
        super().reset()
        # Its converter is on from the beginning.
        self.is_fed = True
        self._marked_column: int | None = None

    def store(self, byte: int) -> None:
        # The counter stops behind the last column, and what comes then is lost.
        if self.column < self.COLUMNS:
            super().store(byte)

    def advance(self) -> None:
        self.column += 1

    def carry_out(self, command: int, arguments: list[int]) -> None:
        match command:
            case 0xAD:
                self.is_fed = bool(arguments[0] & 1)
            case 0xE0:
                # Read-modify-write: the end of it brings the column back.
                self._marked_column = self.column
            case 0xEE if self._marked_column is not None:
                self.column = self._marked_column
                self._marked_column = None
            case _ if command < 0x10:
                self.column = self.column & 0xF0 | command
            case _ if command < 0x20:
                self.column = self.column & 0x0F | (command & 15) << 4
