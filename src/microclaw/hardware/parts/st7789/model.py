"""An ST7789 at register level, with the panels that modules have. Gamma, frame rate and partial mode do nothing."""

from __future__ import annotations

from microclaw.hardware.parts.tft_controller import COLUMNS, LINES, TftController

_SQUARE: int = 240


class Model(TftController):
    """Sitronix ST7789V 1.4: section 9.1 (commands). Its panels are of the kind that needs INVON."""

    IS_INVERSE = True

    def window(self) -> tuple[int, int, int, int]:
        """Return the panel's place: in the middle of the RAM, a panel of 240 x 240 at its begin."""
        width = round(self.attribute("width"))
        height = round(self.attribute("height"))
        top = (LINES - height) // 2
        if height == _SQUARE and width == _SQUARE:
            top = 0
        return (COLUMNS - width) // 2, top, width, height
