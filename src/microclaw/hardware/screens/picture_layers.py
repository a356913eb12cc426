"""The colors of a picture as layers of pixels, turned and without lines. It reads no text."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from typing import Final, Literal, TypeAlias

from msgspec import Struct

from microclaw.hardware.screens.fonts import MAX_TEXT_HEIGHT
from microclaw.hardware.screens.glyph_search import Layer
from microclaw.hardware.screens.screen import COLOR_BYTES, Screen

Turn: TypeAlias = Literal[0, 90, 180, 270]
MAX_COLORS: Final = 6
"""The most usual colors of a picture in which text is looked for, beside that of the background."""
_LONG_SHARE: Final = 3
"""A straight line of a third of the width or of the height is no part of a letter."""
_LEAST_LINE: Final = 21
"""On a small display a letter has strokes that long, too."""
_MARGIN: Final = 4
_ROW_END: Final = b"\3"
_MARKED: Final = bytes([0, 2, *range(2, 256)])
_GAPS_ALONE: Final = bytes([0, 1, 0, *range(3, 256)])
_STROKE: Final = 5
"""The pixels of the widest stroke of a letter."""
_EXPANDED: Final = tuple(bytes(byte >> bit & 1 for bit in range(7, -1, -1)) for byte in range(256))
_INVERTED: Final = bytes([1, 0, *range(2, 256)])


class Rectangle(Struct, frozen=True):
    """A part of a picture."""

    x: int
    y: int
    width: int
    height: int

    def grown(self, border: int) -> Rectangle:
        """Return the rectangle with a border around it."""
        return Rectangle(self.x - border, self.y - border, self.width + 2 * border, self.height + 2 * border)


class PictureLayers(Struct, frozen=True):
    """`lit` has each pixel that is not of the background's color; the layers in which text may stand are by color.

    `is_complete`: each lit pixel is in one of them.
    """

    lit: Layer
    colors: tuple[Layer, ...]
    background: tuple[Layer, ...]
    is_complete: bool = True


def layers_of(screen: Screen) -> PictureLayers:
    """Return the layers of a screen of pixels or colors."""
    if screen.kind == "colors":
        return _color_layers(screen)
    rows = []
    for begin in range(0, len(screen.data), screen.row_bytes):
        row = screen.data[begin : begin + screen.row_bytes]
        rows.append(b"".join(map(_EXPANDED.__getitem__, row))[: screen.width])
    lit = Layer(screen.width, screen.height, b"".join(rows))
    return PictureLayers(lit, (lit,), (inverted(lit),))


def inverted(layer: Layer) -> Layer:
    """Return the other pixels of a layer."""
    return Layer(layer.width, layer.height, layer.pixels.translate(_INVERTED))


def dark_parts(layer: Layer) -> Layer:
    """Return the pixels that are 0, in those rows in which, or near which, others are 1."""
    dark = b"\0"
    above = (len(layer.pixels) - len(layer.pixels.lstrip(dark))) // layer.width - _MARGIN
    below = (len(layer.pixels) - len(layer.pixels.rstrip(dark))) // layer.width - _MARGIN
    outside = [
        Rectangle(0, 0, layer.width, max(above, 0)),
        Rectangle(0, layer.height - max(below, 0), layer.width, max(below, 0)),
    ]
    return without_rectangles(inverted(layer), outside)


def hole_count(layer: Layer) -> int:
    """Return how many pixels are 0 and have some that are 1 near them on all four sides, as those of dark letters."""
    level, upright = _gaps(layer, MAX_TEXT_HEIGHT)
    return common_pixels(level, upright).pixels.count(1)


def stroke_count(layer: Layer) -> int:
    """Return how many of the pixels that `hole_count` counts are in something as thin as the stroke of a letter."""
    level, upright = _gaps(layer, MAX_TEXT_HEIGHT)
    thin_level, thin_upright = _gaps(layer, _STROKE)
    return max(common_pixels(thin_level, upright).pixels.count(1), common_pixels(level, thin_upright).pixels.count(1))


def _gaps(layer: Layer, most: int) -> tuple[Layer, Layer]:
    """Return the gaps of up to so many pixels in rows, and those in columns."""
    upright = turned_layer(_level_gaps(turned_layer(layer, 90), most), 270)
    return _level_gaps(layer, most), upright


def _level_gaps(layer: Layer, most: int) -> Layer:
    """Return the pixels between two that are 1 in the same row, if there are not more than `most`."""
    pixels = layer.pixels.translate(_MARKED)
    rows = [pixels[begin : begin + layer.width] for begin in range(0, len(pixels), layer.width)]
    gap = re.compile(rb"(?<=\x02)\x00{1,%d}(?=\x02)" % most)
    gaps = gap.sub(lambda match: b"\1" * len(match[0]), _ROW_END.join(rows))
    return Layer(layer.width, layer.height, gaps.replace(_ROW_END, b"").translate(_GAPS_ALONE))


def _color_layers(screen: Screen) -> PictureLayers:
    """Return a layer for each of the most usual colors; the most usual one of all is the background."""
    pixels = zip(screen.data[0::COLOR_BYTES], screen.data[1::COLOR_BYTES], strict=True)
    counts = Counter(pixels)
    usual = counts.most_common(MAX_COLORS + 1)
    background = _layer_of_color(screen, usual[0][0])
    colors = tuple(_layer_of_color(screen, value) for value, _ in usual[1:])
    return PictureLayers(inverted(background), colors, (background,), is_complete=len(counts) == len(usual))


def _layer_of_color(screen: Screen, color: tuple[int, int]) -> Layer:
    """Return the pixels that have a color, which is given by its two bytes."""
    planes = []
    for place, byte in enumerate(color):
        table = bytearray(256)
        table[byte] = 1
        planes.append(int.from_bytes(screen.data[place::COLOR_BYTES].translate(table), "little"))
    pixels = (planes[0] & planes[1]).to_bytes(screen.width * screen.height, "little")
    return Layer(screen.width, screen.height, pixels)


def turned_layer(layer: Layer, turn: Turn) -> Layer:
    """Return a layer turned clockwise."""
    width = layer.width
    if turn == 0:
        return layer
    if turn == 180:
        return Layer(width, layer.height, layer.pixels[::-1])
    columns = [layer.pixels[x::width] for x in range(width)]
    if turn == 90:
        columns = [column[::-1] for column in columns]
    else:
        columns.reverse()
    return Layer(layer.height, width, b"".join(columns))


def unturned(rectangle: Rectangle, turn: Turn, layer: Layer) -> Rectangle:
    """Return where a rectangle of the turned layer lies in the layer."""
    right = rectangle.x + rectangle.width
    bottom = rectangle.y + rectangle.height
    if turn == 180:
        return Rectangle(layer.width - right, layer.height - bottom, rectangle.width, rectangle.height)
    if turn == 90:
        return Rectangle(rectangle.y, layer.height - right, rectangle.height, rectangle.width)
    if turn == 270:
        return Rectangle(layer.width - bottom, rectangle.x, rectangle.height, rectangle.width)
    return rectangle


def overlaps(one: Rectangle, other: Rectangle) -> bool:
    """Return True if two rectangles have a pixel in common."""
    is_beside = one.x + one.width <= other.x or other.x + other.width <= one.x
    is_above_or_below = one.y + one.height <= other.y or other.y + other.height <= one.y
    return not (is_beside or is_above_or_below)


def common_pixels(one: Layer, other: Layer) -> Layer:
    """Return the pixels that both layers have."""
    if one is other:
        return one
    pixels = int.from_bytes(one.pixels, "little") & int.from_bytes(other.pixels, "little")
    return Layer(one.width, one.height, pixels.to_bytes(len(one.pixels), "little"))


def without_rectangles(layer: Layer, rectangles: Sequence[Rectangle]) -> Layer:
    """Return a layer without the pixels in some rectangles."""
    return _painted(layer, rectangles, b"\0")


def with_rectangles(layer: Layer, rectangles: Sequence[Rectangle]) -> Layer:
    """Return a layer with all the pixels of some rectangles."""
    return _painted(layer, rectangles, b"\1")


def _painted(layer: Layer, rectangles: Sequence[Rectangle], pixel: bytes) -> Layer:
    pixels = bytearray(layer.pixels)
    for rectangle in rectangles:
        left = max(rectangle.x, 0)
        right = min(rectangle.x + rectangle.width, layer.width)
        for row in range(max(rectangle.y, 0), min(rectangle.y + rectangle.height, layer.height)):
            begin = row * layer.width
            pixels[begin + left : begin + right] = pixel * (right - left)
    return Layer(layer.width, layer.height, bytes(pixels))


def without_long_lines(layer: Layer) -> Layer:
    """Return the pixels of a layer that are in no long line, upright or level, and in nothing that is joined to one.

    So frames, rules, filled boxes and axes with their curve are left out, which are no text.
    """
    level = _long_lines(layer)
    upright = turned_layer(_long_lines(turned_layer(layer, 90)), 270)
    lines = int.from_bytes(level.pixels, "little") | int.from_bytes(upright.pixels, "little")
    left = int.from_bytes(layer.pixels, "little")
    joined = _joined_pixels(lines, left, layer.width)
    return Layer(layer.width, layer.height, (left & ~joined).to_bytes(len(layer.pixels), "little"))


def is_box(layer: Layer) -> bool:
    """Return True if the pixels of a layer are one filled box, as a bar, or none at all."""
    begin = layer.pixels.find(1)
    if begin < 0:
        return True
    end = layer.pixels.rfind(1)
    width = end % layer.width - begin % layer.width + 1
    height = end // layer.width - begin // layer.width + 1
    box_count = layer.count(begin % layer.width, begin // layer.width, width, height)
    return box_count == width * height == layer.pixels.count(1)


def _joined_pixels(begin: int, pixels: int, width: int) -> int:
    """Return the pixels that are joined to those of `begin`, also over a corner. Each pixel is a byte of a number."""
    joined = begin
    while True:
        row = joined | joined << 8 | joined >> 8
        grown = (row | row << 8 * width | row >> 8 * width) & pixels
        if grown == joined:
            return joined
        joined = grown


def _long_lines(layer: Layer) -> Layer:
    """Return the pixels that are in a long level line."""
    least = max(layer.width // _LONG_SHARE, _LEAST_LINE)
    long_line = re.compile(rb"\x01{%d,}" % least)
    rows = []
    for begin in range(0, len(layer.pixels), layer.width):
        row = layer.pixels[begin : begin + layer.width]
        lines = bytearray(layer.width)
        for match in long_line.finditer(row):
            lines[match.start() : match.end()] = bytes([1]) * len(match[0])
        rows.append(bytes(lines))
    return Layer(layer.width, layer.height, b"".join(rows))
