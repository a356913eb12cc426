"""Reads the text that a display shows: of pixels and colors by known fonts, of characters and digits exactly.

Text is found at any place, in sizes 1 to 4, dark on lit too, and turned by 90, 180 and 270 degrees.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from msgspec import Struct

from microclaw.hardware.screens.digits import UNREAD, read_digits
from microclaw.hardware.screens.fonts import Font, own_fonts
from microclaw.hardware.screens.glyph_search import GlyphFinder, Layer, TextRun
from microclaw.hardware.screens.picture_layers import (
    PictureLayers,
    Rectangle,
    Turn,
    common_pixels,
    dark_parts,
    hole_count,
    is_box,
    layers_of,
    overlaps,
    stroke_count,
    turned_layer,
    unturned,
    with_rectangles,
    without_long_lines,
    without_rectangles,
)
from microclaw.hardware.screens.screen import Screen

MAX_PICTURES: Final = 600
"""How many different pictures of a trial are read."""
_NOT_READ: Final = "…"
_FRAME: Final = 4
"""The pixels around a text that belong to its frame, as the border of a button."""
_MIN_HOLES: Final = 9
"""A digit that is dark on lit has at least so many pixels."""
_MIN_STROKES: Final = 12
"""So many pixels of dark strokes in something lit may be a text; a bar in its frame has fewer."""
_TURNS: Final[tuple[Turn, ...]] = (0, 180, 90, 270)


class TextLine(Struct, frozen=True):
    """A piece of text in one row. Its place is that of its upper left pixel, character or digit in the picture.

    `font` and `size` are for pixels alone. `turn`: by how many degrees the picture must be turned clockwise until the
    text is upright. `is_inverse`: dark on lit.
    """

    text: str
    x: int = 0
    y: int = 0
    font: str = ""
    size: int = 1
    turn: Turn = 0
    is_inverse: bool = False


class ScreenReading(Struct, frozen=True):
    """The lines of a picture. `is_whole`: nothing else that might be text is lit, so what is not there is not shown."""

    lines: tuple[TextLine, ...]
    is_whole: bool

    @property
    def text(self) -> str:
        """The lines in one: "Hello, world! | count 2".

        What was not read is "…"; a line of which nothing was read is left out.
        """
        texts = []
        for line in self.lines:
            is_read = UNREAD not in line.text or any(map(str.isalnum, line.text))
            if is_read:
                texts.append(line.text.replace(UNREAD, _NOT_READ))
        return " | ".join(texts)


class ScreenReader:
    """Reads pictures, each once, up to MAX_PICTURES of them."""

    def __init__(self, fonts: Sequence[Font] = ()) -> None:
        self._fonts = sorted(fonts or own_fonts(), key=lambda font: font.height)
        self._finder = GlyphFinder()
        self._readings: dict[Screen, ScreenReading] = {}

    def read(self, screen: Screen) -> ScreenReading | None:
        """Return what the screen says, or None if too many pictures were read before."""
        reading = self._readings.get(screen)
        if reading is not None:
            return reading
        if len(self._readings) >= MAX_PICTURES:
            return None
        reading = _read_screen(screen, self._fonts, self._finder)
        self._readings[screen] = reading
        return reading


def _read_screen(screen: Screen, fonts: Sequence[Font], finder: GlyphFinder) -> ScreenReading:
    if screen.kind == "text":
        return _read_characters(screen)
    if screen.kind == "digits":
        text = read_digits(screen)
        lines = (TextLine(text),) if text else ()
        return ScreenReading(lines, is_whole=UNREAD not in text)
    if screen.is_blank:
        return ScreenReading((), is_whole=True)
    return _Picture(layers_of(screen), finder).read(fonts)


def _read_characters(screen: Screen) -> ScreenReading:
    lines = []
    for y, line in enumerate(screen.lines):
        text = line.strip()
        if text:
            lines.append(TextLine(text, len(line) - len(line.lstrip()), y))
    return ScreenReading(tuple(lines), is_whole=True)


class _PlacedRun(Struct, frozen=True):
    """A run in the turned picture, its rectangle in the picture as it is, and how many pixels its glyphs have."""

    run: TextRun
    pixel_count: int
    turn: Turn
    is_inverse: bool
    rectangle: Rectangle


class _Search(Struct, frozen=True):
    """A way to look for text: in one font, in the picture turned clockwise, and dark on lit or lit on dark."""

    font: Font
    turn: Turn
    is_inverse: bool


class _Picture:
    """A picture that is read.

    `_left` has a 1 for each pixel that is lit and in no text that was found; in `_rest` long lines are left out, too.
    """

    def __init__(self, layers: PictureLayers, finder: GlyphFinder) -> None:
        self._layers = layers
        self._finder = finder
        self._lit = layers.lit
        self._left = layers.lit
        self._rest = layers.lit
        self._hole_count: int | None = None
        self._candidates: list[_PlacedRun] = []
        self._accepted: list[_PlacedRun] = []

    def read(self, fonts: Sequence[Font]) -> ScreenReading:
        """Look in the usual ways first, until nothing is left that is lit."""
        for turn in _TURNS:
            for is_inverse in (False, True):
                self._search(fonts, turn, is_inverse=is_inverse)
        accepted = sorted(self._accepted, key=lambda placed: (placed.turn, placed.run.y, placed.run.x))
        lines = tuple(map(self._line, accepted))
        is_whole = not any(UNREAD in line.text for line in lines) and self._has_only_lines_left()
        return ScreenReading(lines, is_whole)

    def _search(self, fonts: Sequence[Font], turn: Turn, *, is_inverse: bool) -> None:
        """Look for text in one direction, font by font, until nothing is left that may be text.

        If it is not the usual one, there must be something in what is left: of a text that was not found, or of which
        only some letters were found in another direction.
        """
        is_usual = turn == 0 and not is_inverse
        has_text = is_usual
        for font in fonts:
            if not self._may_have_text(is_usual=is_usual, is_inverse=is_inverse):
                return
            search = _Search(font, turn, is_inverse)
            has_text = has_text or bool(self._placed_runs(search, self._left_layers(search)))
            if has_text:
                self._look(search)

    def _look(self, search: _Search) -> None:
        """Look for text in the whole picture; what was found before may be a part of it."""
        layers = self._layers.background if search.is_inverse else self._layers.colors
        self._candidates += self._placed_runs(search, layers)
        self._accepted = _accept(self._candidates)
        self._left = without_rectangles(self._lit, [placed.rectangle for placed in self._accepted])
        self._rest = without_long_lines(self._left)
        self._hole_count = None

    def _may_have_text(self, *, is_usual: bool, is_inverse: bool) -> bool:
        if is_usual:
            return any(self._rest.pixels)
        if not is_inverse:
            return not is_box(self._rest)
        if self._hole_count is None:
            self._hole_count = hole_count(self._left)
        return self._hole_count >= _MIN_HOLES

    def _left_layers(self, search: _Search) -> list[Layer]:
        """Return the layers of what is left, in which there must be something of a text that was not found."""
        if search.is_inverse:
            return [dark_parts(self._left)]
        return [common_pixels(layer, self._rest) for layer in self._layers.colors]

    def _placed_runs(self, search: _Search, layers: Sequence[Layer]) -> list[_PlacedRun]:
        """Return the runs in some layers of the picture; signs and single letters only if nothing touches them."""
        placed = []
        for layer in layers:
            turned = turned_layer(layer, search.turn)
            for run in self._finder.find(turned, search.font):
                pixel_count = turned.count(run.x, run.y, run.width, run.height)
                if _is_word(run) or pixel_count == _pixels_around(run, turned):
                    rectangle = unturned(Rectangle(run.x, run.y, run.width, run.height), search.turn, layer)
                    placed.append(_PlacedRun(run, pixel_count, search.turn, search.is_inverse, rectangle))
        return placed

    def _has_only_lines_left(self) -> bool:
        """Return True if what is left are lines, frames and filled boxes, as of a bar or behind a text."""
        if not self._layers.is_complete:
            return False
        if not any(self._left.pixels):
            return True
        near_texts = [placed.rectangle.grown(_FRAME) for placed in self._accepted]
        # A text is in a box of another color, or of the one that is lit.
        in_boxes = near_texts
        if len(self._layers.colors) == 1:
            in_boxes = [placed.rectangle for placed in self._accepted if placed.is_inverse]
        for layer in self._layers.colors:
            boxes = with_rectangles(common_pixels(layer, self._left), in_boxes)
            left = without_rectangles(without_long_lines(boxes), near_texts)
            if not is_box(left) or stroke_count(boxes) >= _MIN_STROKES:
                return False
        return True

    def _line(self, placed: _PlacedRun) -> TextLine:
        run = placed.run
        text = run.text
        if not placed.is_inverse:
            before, behind = self._unread_beside(placed)
            text = f"{before}{text}{behind}"
        rectangle = placed.rectangle
        return TextLine(text, rectangle.x, rectangle.y, run.font, run.size, placed.turn, placed.is_inverse)

    def _unread_beside(self, placed: _PlacedRun) -> tuple[str, str]:
        """Return UNREAD for each end of a text at which something stands that is lit and looks like one more glyph."""
        left = turned_layer(self._left, placed.turn)
        run = placed.run
        cell = run.height
        return _unread_in(left, run, run.x - cell, cell), _unread_in(left, run, run.x + run.width, cell)


def _unread_in(left: Layer, run: TextRun, x: int, width: int) -> str:
    """Return UNREAD if something in these columns is lit that is no higher than the text, else an empty text.

    What is higher is a border or a picture.
    """
    if not left.count(x, run.y, width, run.height):
        return ""
    above = left.count(x, run.y - run.size, width, run.size)
    below = left.count(x, run.y + run.height, width, run.size)
    if above or below:
        return ""
    return UNREAD


def _is_word(run: TextRun) -> bool:
    """Return False for signs, of which lines and frames have many, and for a single letter or digit."""
    return sum(map(str.isalnum, run.text)) > 1


def _pixels_around(run: TextRun, layer: Layer) -> int:
    """Return how many pixels are lit in a text and right around it."""
    size = run.size
    return layer.count(run.x - size, run.y - size, run.width + 2 * size, run.height + 2 * size)


def _accept(candidates: Sequence[_PlacedRun]) -> list[_PlacedRun]:
    """Return the texts with the most pixels; what overlaps such a text is a part of it by chance."""
    accepted: list[_PlacedRun] = []
    for placed in sorted(candidates, key=lambda placed: placed.pixel_count, reverse=True):
        is_free = not any(overlaps(placed.rectangle, other.rectangle) for other in accepted)
        if is_free:
            accepted.append(placed)
    return accepted
