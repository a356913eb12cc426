"""Finds the glyphs of one font in a picture, exactly and at any place, and joins them to runs of text.

A band is the 8 rows from a row on, or every `size`th of them for text that is drawn larger: a column of it is a byte.
So a glyph is a few bytes, and all places of a picture are compared with all glyphs at once: each glyph belongs to one
of eight groups, a table says for each byte which groups have it in that column, and the groups that all columns leave
are the bits of a byte for each place. Only the places that have a bit are looked at one by one.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping, Sequence
from typing import Final

from msgspec import Struct, structs

from microclaw.hardware.screens.fonts import MAX_TEXT_HEIGHT, Font

SPACE: Final = " "
MAX_SPACES: Final = 8
"""More dark cells than these between two glyphs end a run."""
_BAND: Final = 8
_GROUPS: Final = 8
_FILTER_COLUMNS: Final = 6
_EDGE: Final = 4
"""Dark columns behind each row, so that the dark end of a glyph may be beyond the edge."""
_PIECE_ROWS: Final = 16
_FEW_PLACES: Final = 32
_MAX_PIECES: Final = 2048
_MAX_FOUND_PIXELS: Final = 4_000_000
_DARK: Final = b"\0"
_ANY: Final = re.compile(rb"[^\0]")


class Layer(Struct, frozen=True):
    """The pixels of one color in a picture: a byte for each, 1 or 0, row by row."""

    width: int
    height: int
    pixels: bytes

    def count(self, x: int, y: int, width: int, height: int) -> int:
        """Return how many pixels of a rectangle are 1; there is none beyond the edges."""
        left = max(x, 0)
        right = min(x + width, self.width)
        number = 0
        for row in range(max(y, 0), min(y + height, self.height)):
            begin = row * self.width
            number += self.pixels.count(1, begin + left, begin + max(right, left))
        return number


class TextRun(Struct, frozen=True):
    """Glyphs of one font and size in a row. The place and the size are in pixels, without the gap behind the last one.

    `glyph_count` is without spaces.
    """

    text: str
    x: int
    y: int
    width: int
    height: int
    font: str
    size: int
    glyph_count: int


class _Bands(Struct, frozen=True):
    """The bands that begin in some rows of a layer, in one size; their columns are bytes, a row has `pitch` of them.

    `data` goes on behind these rows, as far as a glyph may need it.
    """

    pitch: int
    row_count: int
    size: int
    data: bytes


class _Filter(Struct, frozen=True):
    """The groups of glyphs that have a byte in a column of the band from `row` on: a bit for each, by the byte."""

    row: int
    column: int
    groups: bytes


class FontShapes:
    """The glyphs of a font as columns of bytes."""

    def __init__(self, font: Font) -> None:
        self.font = font
        self.height = font.height
        self.space_width = len(font.glyphs[SPACE][0])
        self.rows = _band_rows(self.height)
        self._by_width: dict[int, dict[bytes, str]] = {}
        shapes: list[list[bytes]] = []
        for character, glyph in font.glyphs.items():
            columns = [_columns_of(glyph, row) for row in self.rows]
            if any(map(any, columns)):
                self._by_width.setdefault(len(glyph[0]), {}).setdefault(b"".join(columns), character)
                shapes.append(columns)
        self._widths = sorted(self._by_width, reverse=True)
        shapes.sort(key=b"".join)
        self._filters = _filters_of(self.rows, shapes, font.gap)
        # Other glyphs are in one group here: a place that no glyph fits seldom has a group of both kinds.
        shapes.sort(key=lambda shape: b"".join(shape)[::-1])
        self._second_filters = _filters_of(self.rows, shapes, font.gap)

    @property
    def last_row(self) -> int:
        """The row of a glyph at which its last band begins."""
        return self.rows[-1]

    def runs(self, bands: _Bands) -> list[TextRun]:
        """Return the runs of glyphs that begin in these rows, also those that overlap."""
        hits: dict[int, tuple[str, int]] = {}
        for place in self._candidates(bands):
            glyph = self._glyph_at(bands, place)
            if glyph is not None:
                hits[place] = glyph
        return _join(self, hits, bands)

    def _candidates(self, bands: _Bands) -> list[int]:
        """Return the places that may have a glyph, in order."""
        groups = _groups_left(bands, self._filters)
        places = [match.start() for match in _ANY.finditer(groups)]
        if len(places) <= _FEW_PLACES:
            return places
        second_groups = _groups_left(bands, self._second_filters)
        return [place for place in places if second_groups and second_groups[place]]

    def is_dark(self, bands: _Bands, begin: int, end: int) -> bool:
        """Return True if the columns from `begin` to `end` are dark at the height of a glyph."""
        for row in self.rows:
            offset = row * bands.size * bands.pitch
            if bands.data[begin + offset : end + offset].strip(_DARK):
                return False
        return True

    def _glyph_at(self, bands: _Bands, place: int) -> tuple[str, int] | None:
        """Return the character whose glyph stands at a place, with its width in the font's pixels; the widest fits."""
        size = bands.size
        left = bands.pitch - place % bands.pitch
        for width in self._widths:
            if width * size > left:
                continue
            character = self._by_width[width].get(self._key(bands, place, width))
            if character is None or not self._is_even(bands, place, width):
                continue
            if self._is_alone(bands, place, width):
                return character, width
        return None

    def _is_alone(self, bands: _Bands, place: int, width: int) -> bool:
        """Return False for a narrow glyph that is a part of a wider one, as the stem of a letter is a bar."""
        if len(self._widths) == 1:
            return True
        gap = self.font.gap * bands.size
        end = place + width * bands.size
        is_dark_before = self.is_dark(bands, max(place - gap, 0), place)
        return is_dark_before and self.is_dark(bands, end, end + gap)

    def _key(self, bands: _Bands, place: int, width: int) -> bytes:
        size = bands.size
        length = (width - 1) * size + 1
        if len(self.rows) == 1:
            return bands.data[place : place + length : size]
        columns = []
        for row in self.rows:
            begin = place + row * size * bands.pitch
            columns.append(bands.data[begin : begin + length : size])
        return b"".join(columns)

    def _is_even(self, bands: _Bands, place: int, width: int) -> bool:
        """Return True if each pixel of the glyph is a whole block of the picture."""
        if bands.size == 1:
            return True
        key = self._key(bands, place, width)
        for row in range(bands.size):
            for column in range(bands.size):
                if self._key(bands, place + row * bands.pitch + column, width) != key:
                    return False
        return True


class GlyphFinder:
    """Finds the runs of a font in layers. Pictures of a display have much in common, so each piece is searched once."""

    def __init__(self) -> None:
        self._runs: dict[tuple[Font, _Bands], list[TextRun]] = {}
        self._bands: dict[tuple[int, int], _Bands | None] = {}
        self._layer: Layer | None = None
        self._found: dict[tuple[Font, Layer], list[TextRun]] = {}

    def find(self, layer: Layer, font: Font) -> list[TextRun]:
        """Return the runs in all sizes."""
        key = (font, layer)
        runs = self._found.get(key)
        if runs is None:
            runs = self._find(layer, font)
            if len(self._found) * len(layer.pixels) >= _MAX_FOUND_PIXELS:
                self._found.clear()
            self._found[key] = runs
        return runs

    def _find(self, layer: Layer, font: Font) -> list[TextRun]:
        runs = []
        shapes = shapes_of(font)
        for size in font.sizes:
            bands = self._bands_of(layer, size, min(font.height, _BAND))
            if bands is None:
                continue
            for top in range(0, layer.height, _PIECE_ROWS):
                for run in self._runs_in(_piece_of(bands, top, shapes), shapes):
                    runs.append(structs.replace(run, y=run.y + top))
        return runs

    def _bands_of(self, layer: Layer, size: int, row_count: int) -> _Bands | None:
        """Return all bands of a layer; they serve several fonts."""
        if layer is not self._layer:
            self._layer = layer
            self._bands.clear()
        key = (size, row_count)
        if key not in self._bands:
            self._bands[key] = _bands_of(layer, size, row_count)
        return self._bands[key]

    def _runs_in(self, piece: _Bands, shapes: FontShapes) -> list[TextRun]:
        if not piece.data.strip(_DARK):
            return []
        key = (shapes.font, piece)
        runs = self._runs.get(key)
        if runs is None:
            runs = shapes.runs(piece)
            if len(self._runs) >= _MAX_PIECES:
                self._runs.clear()
            self._runs[key] = runs
        return runs


@functools.lru_cache(maxsize=16)
def shapes_of(font: Font) -> FontShapes:
    """Return the shapes of a font."""
    return FontShapes(font)


def _band_rows(height: int) -> tuple[int, ...]:
    """Return the rows at which the bands of a glyph begin; the last one may overlap the one before."""
    rows = list(range(0, max(height - _BAND, 0) + 1, _BAND))
    if height > _BAND and height % _BAND:
        rows.append(height - _BAND)
    return tuple(dict.fromkeys(rows))


def _columns_of(glyph: Sequence[str], row: int) -> bytes:
    """Return the columns of a glyph's band from that row on."""
    columns = bytearray(len(glyph[0]))
    for bit, pixels in enumerate(glyph[row : row + _BAND]):
        for column, pixel in enumerate(pixels):
            if pixel == "#":
                columns[column] |= 1 << bit
    return bytes(columns)


def _filters_of(rows: Sequence[int], shapes: Sequence[Sequence[bytes]], gap: int) -> list[_Filter]:
    """Return a filter for each band and each of its first columns. A shape has the columns of each band."""
    groups = _grouped(shapes)
    filters = []
    for band, row in enumerate(rows):
        for column in range(_FILTER_COLUMNS):
            table = bytearray(256)
            for number, group in enumerate(groups):
                for shape in group:
                    _add_column(table, shape[band] + bytes(gap), column, 1 << number)
            filters.append(_Filter(row, column, bytes(table)))
    return filters


def _add_column(table: bytearray, glyph: bytes, column: int, group: int) -> None:
    """Note the byte that a glyph has in a column; behind its end any byte may stand."""
    if column < len(glyph):
        table[glyph[column]] |= group
        return
    for byte in range(256):
        table[byte] |= group


def _grouped(shapes: Sequence[Sequence[bytes]]) -> list[list[Sequence[bytes]]]:
    """Share the glyphs out to groups, those that follow each other to the same one.

    All glyphs of a group have something lit in the same column of the same band: so no group fits a dark place.
    """
    by_first: dict[tuple[int, int], list[Sequence[bytes]]] = {}
    for shape in shapes:
        by_first.setdefault(_first_lit(shape), []).append(shape)
    groups = list(by_first.values())
    while len(groups) > _GROUPS:
        smallest = min(groups, key=len)
        groups.remove(smallest)
        min(groups, key=len).extend(smallest)
    while len(groups) < _GROUPS:
        largest = max(groups, key=len)
        half = len(largest) // 2
        groups.remove(largest)
        groups += [largest[:half], largest[half:]]
    return groups


def _first_lit(shape: Sequence[bytes]) -> tuple[int, int]:
    """Return the first band and the first of its columns that have something lit in the columns of the filters."""
    for band, columns in enumerate(shape):
        for column, byte in enumerate(columns[:_FILTER_COLUMNS]):
            if byte:
                return band, column
    return len(shape), 0


def _bands_of(layer: Layer, size: int, row_count: int) -> _Bands | None:
    """Return the bands of a layer, or None if it has no block of that size, so no glyph either."""
    pitch = layer.width + _EDGE
    rows = []
    for begin in range(0, len(layer.pixels), layer.width):
        rows.append(layer.pixels[begin : begin + layer.width])
    edge = bytes(_EDGE)
    data = edge.join(rows) + edge
    pixels = int.from_bytes(data, "little")
    if not _has_blocks(pixels, pitch, size):
        return None
    value = 0
    for row in range(row_count):
        value |= (pixels >> _BAND * pitch * size * row) << row
    beyond = bytes(pitch * MAX_TEXT_HEIGHT)
    return _Bands(pitch, layer.height, size, value.to_bytes(len(data), "little") + beyond)


def _piece_of(bands: _Bands, top: int, shapes: FontShapes) -> _Bands:
    """Return the bands that begin in the rows from `top` on, with what glyphs that begin there need."""
    row_count = min(_PIECE_ROWS, bands.row_count - top)
    end = top + row_count + (shapes.last_row + 1) * bands.size
    return structs.replace(bands, row_count=row_count, data=bands.data[top * bands.pitch : end * bands.pitch])


def _has_blocks(pixels: int, pitch: int, size: int) -> bool:
    blocks = pixels
    for step in range(1, size):
        blocks &= pixels >> _BAND * step
    rows = blocks
    for step in range(1, size):
        blocks &= rows >> _BAND * pitch * step
    return blocks != 0


def _groups_left(bands: _Bands, filters: Sequence[_Filter]) -> bytes:
    """Return for each place the groups that the filters leave; empty if they leave none at all."""
    left = -1
    length = bands.row_count * bands.pitch
    for column_filter in filters:
        begin = (column_filter.row * bands.pitch + column_filter.column) * bands.size
        columns = bands.data[begin : begin + length]
        left &= int.from_bytes(columns.translate(column_filter.groups), "little")
        if not left:
            return b""
    return left.to_bytes(length, "little")


def _join(shapes: FontShapes, hits: Mapping[int, tuple[str, int]], bands: _Bands) -> list[TextRun]:
    """Join glyphs that follow each other in a row to runs."""
    followers: set[int] = set()
    runs = []
    for place in sorted(hits):
        if place not in followers:
            runs.append(_run_from(place, shapes, hits, bands, followers))
    return runs


def _run_from(
    place: int, shapes: FontShapes, hits: Mapping[int, tuple[str, int]], bands: _Bands, followers: set[int]
) -> TextRun:
    text = ""
    glyph_count = 0
    here: int | None = place
    end = place
    while here is not None:
        character, width = hits[here]
        text += character
        glyph_count += 1
        end = here + width * bands.size
        following, space_count = _next_glyph(end, shapes, hits, bands)
        here = following
        if following is not None:
            followers.add(following)
            text += SPACE * space_count
    return TextRun(
        text=text,
        x=place % bands.pitch,
        y=place // bands.pitch,
        width=end - place,
        height=shapes.height * bands.size,
        font=shapes.font.name,
        size=bands.size,
        glyph_count=glyph_count,
    )


def _next_glyph(
    end: int, shapes: FontShapes, hits: Mapping[int, tuple[str, int]], bands: _Bands
) -> tuple[int | None, int]:
    """Return the place of the next glyph of a run and the number of spaces before it; None if the run ends."""
    row_end = end // bands.pitch * bands.pitch + bands.pitch
    place = end + shapes.font.gap * bands.size
    for space_count in range(MAX_SPACES + 1):
        if place >= row_end or not shapes.is_dark(bands, end, place):
            break
        if place in hits:
            return place, space_count
        place += (shapes.space_width + shapes.font.gap) * bands.size
    return None, 0
