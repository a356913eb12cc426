"""The parts at the pins of a program, and the text diagram that is drawn from them. Knows no boards."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Any, Final

from msgspec import Struct

from microclaw.patterns.expected import Value

FIXED: Final = ("3V3", "5V", "GND", "SDA", "SCL")
"""What a wire may begin at on the board beside a pin of the program; SDA and SCL are the board's I2C pins."""
MAX_PARTS: Final = 8
MAX_WIRES: Final = 12
_TEXT = re.compile(r"[!-~](?:[ -~]{0,30}[!-~])?")
_LEAST_RUN: Final = 4


class Wire(Struct, frozen=True):
    """From `pin`, a parameter or one of FIXED, to the part's `terminal`, by way of `through` ("330 ohm")."""

    pin: str
    terminal: str
    through: str = ""


class Part(Struct, frozen=True):
    """A part beside the board, with its wires."""

    name: str
    wires: tuple[Wire, ...]


def read_wiring(rows: Any, pins: Collection[str]) -> tuple[Part, ...]:
    """The parts of an entry's `[[wiring]]` tables; `pins` are its parameters that are pins.

    Raises ValueError for another form, an unknown pin, and a pin that nothing hangs at.
    """
    if not isinstance(rows, list) or not 1 <= len(rows) <= MAX_PARTS:
        raise ValueError(f"wiring has to be 1 to {MAX_PARTS} tables [[wiring]], each a part with its wires")
    parts = tuple(_part(row, pins) for row in rows)
    wired = {wire.pin for part in parts for wire in part.wires}
    if bare := sorted(set(pins) - wired):
        raise ValueError(f"wiring says nothing of {', '.join(bare)}")
    return parts


def _part(row: Any, pins: Collection[str]) -> Part:
    if not isinstance(row, dict) or set(row) != {"part", "wires"}:
        raise ValueError('each [[wiring]] has part = "LED" and wires = [["PIN", "long leg", "330 ohm"], ...]')
    wires = row["wires"]
    if not isinstance(wires, list) or not 1 <= len(wires) <= MAX_WIRES:
        raise ValueError(f"wires has to be a list of 1 to {MAX_WIRES} wires")
    return Part(_text(row["part"]), tuple(_wire(wire, pins) for wire in wires))


def _wire(row: Any, pins: Collection[str]) -> Wire:
    if not isinstance(row, list) or len(row) not in (2, 3):
        raise ValueError('a wire has a pin, the terminal of the part, and what is between: ["PIN", "anode", "330 ohm"]')
    wire = Wire(*(_text(word) for word in row))
    if wire.pin not in pins and wire.pin not in FIXED:
        raise ValueError(f"wiring names {wire.pin}, which is no pin; pins: {', '.join((*pins, *FIXED))}")
    return wire


def _text(value: Any) -> str:
    if not isinstance(value, str) or not _TEXT.fullmatch(value):
        raise ValueError(f"a word of the wiring has 1 to 32 plain characters, not {value!r:.60}")
    return value


def draw(parts: tuple[Part, ...], values: Mapping[str, Value]) -> str:
    """The diagram, with the pins' numbers; lines without a line feed at the end."""
    labels = {wire.pin: f"GPIO {values[wire.pin]}" if wire.pin in values else wire.pin for wire in _wires(parts)}
    left = max(len(label) for label in (*labels.values(), "board"))
    run = max(len(_through(wire)) for wire in _wires(parts)) + _LEAST_RUN
    gap = " " * run
    lines = [f"┌{' board '.center(left + 2, '─')}┐"]
    for number, part in enumerate(parts):
        right = max(len(part.name), *(len(wire.terminal) for wire in part.wires))
        beside = f"│{' ' * (left + 2)}│{gap}"
        top = f"┌{f' {part.name} '.ljust(right + 2, '─')}┐"
        lines = [f"{lines[0]}{gap}{top}"] if number == 0 else [*lines, beside.rstrip(), f"{beside}{top}"]
        for wire in part.wires:
            between = f"──{_through(wire)}".ljust(run, "─")
            lines.append(f"│ {labels[wire.pin]:>{left}} ├{between}┤ {wire.terminal:<{right}} │")
        lines.append(f"{beside}└{'─' * (right + 2)}┘")
    lines[-1] = lines[-1].replace(f"│{' ' * (left + 2)}│", f"└{'─' * (left + 2)}┘", 1)
    return "\n".join(lines)


def _wires(parts: tuple[Part, ...]) -> list[Wire]:
    return [wire for part in parts for wire in part.wires]


def _through(wire: Wire) -> str:
    return f"[ {wire.through} ]" if wire.through else ""
