"""What a display shows at one moment, and its form on the wire. Draws nothing and reads no text."""

from __future__ import annotations

import base64
import binascii
import zlib
from typing import Final, Literal, TypeAlias

from msgspec import Struct

from microclaw.errors import ProtocolError

ScreenKind: TypeAlias = Literal["pixels", "colors", "text", "digits"]

MAX_WIDTH: Final = 512
MAX_HEIGHT: Final = 512
COLOR_BYTES: Final = 2
DOT: Final = 0x80
"""The bit of a digit for its point or colon; bits 0 to 6 are the segments a to g."""


class Screen(Struct, frozen=True):
    """A picture of a display. `width` and `height` are pixels, characters or digits, as `kind` says.

    `data` of pixels: rows from the top, each of whole bytes, the leftmost pixel is the highest bit, 1 is lit. Of
    colors: rows of 16-bit values, high byte first, 5 bits red, 6 green, 5 blue. Of text: its lines in UTF-8, with line
    feeds between them; U+E000 to U+E007 are characters that the program defined. Of digits: a byte for each digit from
    the left, bits 0 to 6 are the segments a to g, bit 7 (DOT) is the mark after it. `mark` is that mark, "." or ":".
    """

    kind: ScreenKind
    width: int
    height: int
    data: bytes
    mark: str = "."

    @property
    def is_blank(self) -> bool:
        """True if nothing is lit: no pixel, no character, no segment."""
        if self.kind == "text":
            return not self.data.strip()
        return not any(self.data)

    @property
    def lines(self) -> tuple[str, ...]:
        """The lines of a text screen, in the order of its rows."""
        return tuple(self.data.decode().split("\n"))

    @property
    def row_bytes(self) -> int:
        """The number of bytes of a row of pixels or colors."""
        if self.kind == "colors":
            return self.width * COLOR_BYTES
        return (self.width + 7) // 8


class ShownScreen(Struct, frozen=True):
    """A screen that the part `part` shows from `t_ms` on."""

    t_ms: float
    part: str
    screen: Screen


def blank_pixels(width: int, height: int) -> Screen:
    """Return a display of pixels that is dark."""
    return Screen("pixels", width, height, bytes((width + 7) // 8 * height))


def text_screen(width: int, lines: tuple[str, ...]) -> Screen:
    """Return a display of characters; each line has `width` of them."""
    return Screen("text", width, len(lines), "\n".join(lines).encode())


def pack_data(screen: Screen) -> str:
    """Return the data of a screen for a line of JSON: zlib in base64."""
    return base64.b64encode(zlib.compress(screen.data, 1)).decode()


def unpack_screen(kind: ScreenKind, width: int, height: int, packed: str, mark: str) -> Screen:
    """Return the screen of a line of JSON. Raises ProtocolError if it has another size than it says."""
    if not (0 < width <= MAX_WIDTH and 0 < height <= MAX_HEIGHT):
        raise ProtocolError(f"a screen of {width} x {height}")
    most_bytes = MAX_WIDTH * MAX_HEIGHT * COLOR_BYTES
    try:
        data = zlib.decompressobj().decompress(base64.b64decode(packed, validate=True), most_bytes)
    except (binascii.Error, zlib.error) as exc:
        raise ProtocolError(f"the data of a screen: {exc}") from None
    screen = Screen(kind, width, height, data, mark)
    if len(data) != _data_bytes(screen):
        raise ProtocolError(f"a screen of {width} x {height} ({kind}) with {len(data)} bytes")
    return screen


def _data_bytes(screen: Screen) -> int:
    """Return the number of bytes that the data of a screen of this kind and size has; of a text, any number."""
    if screen.kind == "text":
        return len(screen.data)
    if screen.kind == "digits":
        return screen.width
    return screen.row_bytes * screen.height
