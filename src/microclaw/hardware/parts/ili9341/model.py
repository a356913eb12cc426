"""An ILI9341 at register level, on SPI. Gamma, frame rate, partial mode and reading do nothing."""

from __future__ import annotations

from microclaw.hardware.parts.tft_controller import COLUMNS, LINES, TftController


class Model(TftController):
    """ILITEK ILI9341 V1.11: section 8.2 (commands). Its modules have blue first, and the first column on the right."""

    IS_BGR = True
    IS_MIRRORED = True

    def window(self) -> tuple[int, int, int, int]:
        return 0, 0, COLUMNS, LINES
