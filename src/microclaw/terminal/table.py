"""Rows as lines: columns as wide as their widest cell, or wrapped within their columns where the terminal is narrower.

Nothing is cut off: a name that a person wants to copy is whole, if need be on two lines.
"""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from itertools import zip_longest
from typing import Final

GAP: Final = "  "
MIN_CELL: Final = 8
"""No column is made narrower; a table with many of them is wider than the terminal then."""


def table_lines(rows: Sequence[Sequence[str]], columns: int | None) -> list[str]:
    """`columns` is the width there is; None for a pipe or a file, which has no end of a line."""
    if not rows:
        return []
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    if columns is not None:
        widths = _narrowed(widths, columns)
    lines: list[str] = []
    for row in rows:
        cells = [
            [cell] if len(cell) <= width else textwrap.wrap(cell, width, break_on_hyphens=False) or [""]
            for cell, width in zip(row, widths, strict=True)
        ]
        for pieces in zip_longest(*cells, fillvalue=""):
            line = GAP.join(f"{piece:<{width}}" for piece, width in zip(pieces, widths, strict=True))
            lines.append(line.rstrip())
    return lines


def _narrowed(widths: list[int], columns: int) -> list[int]:
    """The widest columns give, one character at a time, until all fit or none has more to give."""
    widths = list(widths)
    over = sum(widths) + len(GAP) * (len(widths) - 1) - columns
    while over > 0 and max(widths) > MIN_CELL:
        widths[widths.index(max(widths))] -= 1
        over -= 1
    return widths
