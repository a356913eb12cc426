"""A series of numbers over time as lines of text: dots of Braille, a scale, times below. It prints nothing.

About a hundred lines against a library: plotext draws the same and much that is not wanted here, and would be one more
dependency of every host.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from itertools import pairwise
from statistics import median
from typing import Final

from msgspec import Struct

MIN_COLUMNS: Final = 40
_DOTS: Final = ((0x01, 0x02, 0x04, 0x40), (0x08, 0x10, 0x20, 0x80))  # of a Braille cell, by column and row
_BLANK: Final = 0x2800
_TOGETHER: Final = 3.0  # points within so many of the usual distance are joined by a line
_DAY_MS: Final = 86_400_000


class PlotPoint(Struct, frozen=True):
    """`low` to `high` is drawn as a stroke, `mean` as the line."""

    at_ms: int
    low: float
    high: float
    mean: float


def draw_plot(
    points: Sequence[PlotPoint],
    *,
    title: str,
    unit: str,
    since_ms: int,
    until_ms: int,
    columns: int,
    rows: int,
) -> list[str]:
    """Lines of at most `columns` characters; `rows` of them are the plot, and the times are this machine's."""
    columns = max(columns, MIN_COLUMNS)
    if not points:
        return [f"{title}: no values from {_moment(since_ms, _DAY_MS)} to {_moment(until_ms, _DAY_MS)}"]
    lowest, highest = min(p.low for p in points), max(p.high for p in points)
    if highest == lowest:
        pad = abs(highest) / 100 or 1.0
        lowest, highest = lowest - pad, highest + pad
    scale = _scale(lowest, highest, rows, unit)
    side = max(map(len, scale.values()))
    cells = columns - side - 2
    grid = _Grid(cells, rows, since_ms, until_ms, lowest, highest)
    grid.draw(points)
    lines = [_heading(title, unit, points)[:columns]]
    for row, text in enumerate(grid.lines()):
        lines.append(f"{scale.get(row, ''):>{side}}{' ┤' if row in scale else ' │'}{text}".rstrip())
    lines.append(" " * side + " └" + "─" * cells)
    lines.append(" " * (side + 2) + _times(since_ms, until_ms, cells))
    return lines


def number_text(value: float, step: float) -> str:
    """A number with as many decimals as steps of this size need."""
    if value and (abs(value) >= 1e9 or abs(value) < 1e-4):
        return f"{value:.3e}"
    decimals = next((count for count in range(5) if step >= 10.0**-count), 5)
    return f"{value:,.{decimals}f}"


class _Grid:
    """Dots, two wide and four high in a cell; the first row is the highest."""

    def __init__(self, cells: int, rows: int, since_ms: int, until_ms: int, lowest: float, highest: float) -> None:
        self._wide, self._high = 2 * cells, 4 * rows
        self._since_ms, self._span_ms = since_ms, max(1, until_ms - since_ms)
        self._lowest, self._highest = lowest, highest
        self._cells = [[0] * cells for _ in range(rows)]

    def draw(self, points: Sequence[PlotPoint]) -> None:
        usual_ms = median([b.at_ms - a.at_ms for a, b in pairwise(points)] or [0])
        for point in points:
            x = self._x(point.at_ms)
            for y in range(self._y(point.high), self._y(point.low) + 1):
                self._dot(x, y)
        for a, b in pairwise(points):
            if b.at_ms - a.at_ms <= _TOGETHER * usual_ms:
                self._line(self._x(a.at_ms), self._y(a.mean), self._x(b.at_ms), self._y(b.mean))

    def lines(self) -> list[str]:
        return ["".join(chr(_BLANK + cell) if cell else " " for cell in row) for row in self._cells]

    def _x(self, at_ms: int) -> int:
        return min(self._wide - 1, max(0, (at_ms - self._since_ms) * self._wide // self._span_ms))

    def _y(self, value: float) -> int:
        # halves first: the difference of two large numbers may be no number
        share = (self._highest / 2 - value / 2) / (self._highest / 2 - self._lowest / 2)
        return min(self._high - 1, max(0, round(share * (self._high - 1))))

    def _line(self, x0: int, y0: int, x1: int, y1: int) -> None:
        steps = max(abs(x1 - x0), abs(y1 - y0), 1)
        for step in range(steps + 1):
            self._dot(x0 + round((x1 - x0) * step / steps), y0 + round((y1 - y0) * step / steps))

    def _dot(self, x: int, y: int) -> None:
        self._cells[y // 4][x // 2] |= _DOTS[x % 2][y % 4]


def _heading(title: str, unit: str, points: Sequence[PlotPoint]) -> str:
    low, high = min(p.low for p in points), max(p.high for p in points)
    step = (high / 2 - low / 2) / 50
    last = number_text(points[-1].mean, step or abs(high) / 1_000 or 1.0)
    shown = [number_text(value, step or abs(high) / 1_000 or 1.0) for value in (low, high)]
    return f"{title}{f' in {unit}' if unit else ''}   last {last}   min {shown[0]}   max {shown[1]}"


def _scale(lowest: float, highest: float, rows: int, unit: str) -> dict[int, str]:
    """The labels beside the first, the middle and the last row."""
    half = highest / 2 - lowest / 2
    values = {0: highest, (rows - 1) // 2: lowest + 2 * half * (1 - ((rows - 1) // 2) / (rows - 1)), rows - 1: lowest}
    return {row: f"{number_text(value, half / 10)} {unit}".strip() for row, value in values.items()}


def _times(since_ms: int, until_ms: int, cells: int) -> str:
    span_ms = until_ms - since_ms
    first, middle, last = (_moment(at, span_ms) for at in (since_ms, since_ms + span_ms // 2, until_ms))
    line = f"{first}{middle:^{max(1, cells - len(first) - len(last))}}{last}"
    return line if len(line) <= cells else f"{first}{last:>{max(1, cells - len(first))}}"


def _moment(at_ms: int, span_ms: int) -> str:
    form = "%H:%M" if span_ms < _DAY_MS else "%d %b %H:%M" if span_ms < 14 * _DAY_MS else "%d %b %Y"
    return time.strftime(form, time.localtime(at_ms / 1000))
