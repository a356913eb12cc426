"""The parts at the pins of a program, and the text diagram that is drawn from them. Knows no boards."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Annotated, Final, TypeAlias

from msgspec import Meta, Struct

from microclaw.programs.patterns.expected import Value

FIXED: Final = ("3V3", "5V", "GND", "SDA", "SCL")
"""What a wire may begin at on the board beside a pin of the program; SDA and SCL are the board's I2C pins."""
_Word: TypeAlias = Annotated[str, Meta(pattern=r"^[!-~]([ -~]{0,30}[!-~])?\Z")]
_Wire: TypeAlias = Annotated[list[_Word], Meta(min_length=2, max_length=3)]
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


class PartForm(Struct, frozen=True, forbid_unknown_fields=True):
    """A `[[wiring]]` table: part = "LED", wires = [["PIN", "long leg", "330 ohm"], ...]."""

    part: _Word
    wires: Annotated[list[_Wire], Meta(min_length=1, max_length=12)]


def read_wiring(rows: Sequence[PartForm], pins: Collection[str]) -> tuple[Part, ...]:
    """The parts of these tables; `pins` are the parameters that are pins.

    Raises ValueError for an unknown pin, and a pin that nothing hangs at.
    """
    parts = tuple(Part(row.part, tuple(Wire(*wire) for wire in row.wires)) for row in rows)
    wired = {wire.pin for wire in _wires(parts)}
    unknown = sorted(wired - {*pins, *FIXED})
    if unknown:
        raise ValueError(f"wiring names {unknown[0]}, which is no pin; pins: {', '.join((*pins, *FIXED))}")
    bare = sorted(set(pins) - wired)
    if bare:
        raise ValueError(f"wiring says nothing of {', '.join(bare)}")
    return parts


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
        if number == 0:
            lines = [f"{lines[0]}{gap}{top}"]
        else:
            lines = [*lines, beside.rstrip(), f"{beside}{top}"]
        for wire in part.wires:
            between = f"──{_through(wire)}".ljust(run, "─")
            lines.append(f"│ {labels[wire.pin]:>{left}} ├{between}┤ {wire.terminal:<{right}} │")
        lines.append(f"{beside}└{'─' * (right + 2)}┘")
    lines[-1] = lines[-1].replace(f"│{' ' * (left + 2)}│", f"└{'─' * (left + 2)}┘", 1)
    return "\n".join(lines)


def _wires(parts: tuple[Part, ...]) -> list[Wire]:
    return [wire for part in parts for wire in part.wires]


def _through(wire: Wire) -> str:
    if wire.through:
        return f"[ {wire.through} ]"
    return ""
