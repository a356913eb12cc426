"""The parts of a wiring whose values a board's firmware reads without a program of ours. It reads none of them."""

from __future__ import annotations

from typing import Final

from microclaw.hardware.parts.reader import FOLDER
from microclaw.hardware.parts.wiring import WiredPart, Wiring

_READING: Final = "reading.py"
"""The file of a part that our firmware reads it with."""


def readable_parts(wiring: Wiring) -> tuple[WiredPart, ...]:
    """Return the parts that a call `i2c.read` can name: one of each kind, on the board's own I2C bus.

    The firmware looks for a kind at its addresses, so a second part of a kind has no name of its own there.
    """
    by_kind: dict[str, WiredPart] = {}
    for part in wiring.parts:
        is_on_own_bus = part.address is not None and not part.pins
        if is_on_own_bus and (FOLDER / part.part / _READING).is_file():
            by_kind.setdefault(part.part, part)
    return tuple(by_kind.values())
