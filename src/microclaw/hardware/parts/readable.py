"""The parts of a wiring whose values a board's firmware reads without a program of ours. It reads none of them."""

from __future__ import annotations

from collections import Counter
from typing import Final

from microclaw.hardware.boards.profile import BoardProfile
from microclaw.hardware.parts.reader import FOLDER
from microclaw.hardware.parts.wiring import WiredPart, Wiring, is_on_own_bus

_READING: Final = "reading.py"
"""The file of a part that our firmware reads it with."""


def readable_sensors(wiring: Wiring, board: BoardProfile) -> dict[str, WiredPart]:
    """Return the parts on the board's own I2C bus by the names that a call `i2c.read` has for them.

    A part has the name of its kind, because firmware of earlier versions knows no other. If the bus has several parts
    of the kind, each has its address in its name.
    """
    readable = [part for part in wiring.parts if _is_readable(part, board)]
    count_by_kind = Counter(part.part for part in readable)
    sensors = {}
    for part in readable:
        name = part.part
        if count_by_kind[name] > 1:
            name = sensor_at_address(part)
        sensors[name] = part
    return sensors


def sensor_at_address(part: WiredPart) -> str:
    """Return the name of a sensor with its address, as "bme280@0x77"."""
    return f"{part.part}@0x{part.address or 0:02x}"


def _is_readable(part: WiredPart, board: BoardProfile) -> bool:
    return is_on_own_bus(part, board) and (FOLDER / part.part / _READING).is_file()
