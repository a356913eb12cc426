"""A chain of WS2812: each LED takes the first 24 bits that come to it, and passes the others on."""

from __future__ import annotations

from typing import Final

from microclaw.hardware.parts.models import Display, LedChain
from microclaw.hardware.screens.screen import MAX_WIDTH, Screen

_BYTES_AN_LED: Final = 3
_COUNT: Final = "count"
_MOST_BYTES: Final = 3 * 1024
_WIDTH: Final = "width"


class Model(LedChain, Display):
    """Only a wiring that says how many LEDs there are ends the chain. With a width it is a matrix: a screen."""

    def reset(self) -> None:
        self._colors = b""

    def lit(self, data: bytes) -> bytes:
        count = self._count()
        if count is None:
            self._light(data[:_MOST_BYTES])
            return data
        sent_count = len(data) // _BYTES_AN_LED
        if sent_count > count:
            self.bench.warn(f"it has {count} LEDs, and the program sends colors for {sent_count}")
        shown = data[: _BYTES_AN_LED * count]
        self._light(shown)
        if self.attribute(_WIDTH):
            self.bench.screen_changed()
        return shown

    def colors(self) -> bytes:
        """Return the colors of as many LEDs as the wiring has, or as the program ever sent colors for."""
        sent = self._colors.ljust(_BYTES_AN_LED * (self._count() or 1), b"\0")
        colors = bytearray(sent)
        colors[0::_BYTES_AN_LED] = sent[1::_BYTES_AN_LED]
        colors[1::_BYTES_AN_LED] = sent[0::_BYTES_AN_LED]
        return bytes(colors)

    def _light(self, data: bytes) -> None:
        """Light the first LEDs; those that get no color keep theirs."""
        whole = data[: len(data) - len(data) % _BYTES_AN_LED]
        self._colors = whole + self._colors[len(whole) :]

    def screen(self) -> Screen:
        """Return the matrix: the chain begins at the upper left and goes through each row to the right."""
        width = self._width()
        height = self._height(width)
        colors = self._colors.ljust(_BYTES_AN_LED * width * height, b"\0")
        picture = bytearray()
        for row in range(height):
            start = row * width
            leds = [_color(colors, led) for led in range(start, start + width)]
            if row % 2 and self.attribute("serpentine"):
                leds.reverse()
            picture += b"".join(leds)
        return Screen("colors", width, height, bytes(picture))

    def _width(self) -> int:
        """Return the number of LEDs in a row; a strip is a matrix of one row."""
        return round(self.attribute(_WIDTH)) or min(self._count() or 1, MAX_WIDTH)

    def _height(self, width: int) -> int:
        if not self.attribute(_WIDTH):
            return 1
        height = round(self.attribute("height"))
        if _COUNT in self.wired.attributes:
            # Matrices in a chain are one below the other.
            return max(1, round(self.attribute(_COUNT)) // width)
        return height

    def _count(self) -> int | None:
        """Return how many LEDs the wiring says that there are, or None."""
        if _COUNT in self.wired.attributes:
            return round(self.attribute(_COUNT))
        if self.attribute(_WIDTH):
            return round(self.attribute(_WIDTH)) * round(self.attribute("height"))
        return None


def _color(colors: bytes, led: int) -> bytes:
    """Return the color of an LED in 16 bits. One that is lit at all is not black."""
    green, red, blue = colors[_BYTES_AN_LED * led : _BYTES_AN_LED * (led + 1)]
    color = _share(red, 5) << 11 | _share(green, 6) << 5 | _share(blue, 5)
    return color.to_bytes(2, "big")


def _share(brightness: int, bits: int) -> int:
    if brightness:
        return max(1, brightness >> 8 - bits)
    return 0
