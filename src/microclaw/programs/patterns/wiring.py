"""The parts at the pins of a program, and the text diagram that is drawn from them. Knows no boards."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Annotated, Final, TypeAlias

from msgspec import Meta, Struct

from microclaw.programs.patterns.expected import Value

FIXED: Final = ("3V3", "5V", "GND", "SDA", "SCL")
"""Where a wire may begin on the board besides a pin of the program; SDA and SCL are the board's I2C pins."""
_Word: TypeAlias = Annotated[str, Meta(pattern=r"^[!-~]([ -~]{0,30}[!-~])?\Z")]
_Wire: TypeAlias = Annotated[list[_Word], Meta(min_length=2, max_length=3)]
_LEAST_RUN: Final = 4


class CatalogWire(Struct, frozen=True):
    """A wire from `pin`, a parameter or one of FIXED, to the part's `terminal`, by way of `through` ("330 ohm")."""

    pin: str
    terminal: str
    through: str = ""


class CatalogPart(Struct, frozen=True):
    """A part beside the board, with its wires."""

    name: str
    wires: tuple[CatalogWire, ...]


class PartForm(Struct, frozen=True, forbid_unknown_fields=True):
    """A `[[wiring]]` table: part = "LED", wires = [["PIN", "long leg", "330 ohm"], ...]."""

    part: _Word
    wires: Annotated[list[_Wire], Meta(min_length=1, max_length=12)]


def read_wiring(rows: Sequence[PartForm], pins: Collection[str]) -> tuple[CatalogPart, ...]:
    """Return the parts of these tables; `pins` are the parameters that are pins.

    Raises ValueError for an unknown pin, and for a pin without a wire.
    """
    parts = []
    for row in rows:
        wires = [CatalogWire(*wire) for wire in row.wires]
        parts.append(CatalogPart(row.part, tuple(wires)))
    wired_pins = {wire.pin for wire in _all_wires(parts)}
    unknown_pins = sorted(wired_pins - {*pins, *FIXED})
    if unknown_pins:
        raise ValueError(f"wiring names {unknown_pins[0]}, which is no pin; pins: {', '.join((*pins, *FIXED))}")
    unwired_pins = sorted(set(pins) - wired_pins)
    if unwired_pins:
        raise ValueError(f"wiring says nothing of {', '.join(unwired_pins)}")
    return tuple(parts)


def draw(parts: Sequence[CatalogPart], values: Mapping[str, Value]) -> str:
    """Draw the diagram with the pins' numbers. Its last line has no line feed."""
    labels: dict[str, str] = {}
    run = _LEAST_RUN
    for wire in _all_wires(parts):
        labels[wire.pin] = wire.pin
        if wire.pin in values:
            labels[wire.pin] = f"GPIO {values[wire.pin]}"
        run = max(run, _LEAST_RUN + len(_through(wire)))
    board_width = max(map(len, (*labels.values(), "board")))
    blank_board = f"│{' ' * (board_width + 2)}│"
    gap = " " * run
    lines: list[str] = []
    for part in parts:
        terminals = [wire.terminal for wire in part.wires]
        part_width = max(map(len, (part.name, *terminals)))
        top = f"┌{f' {part.name} '.ljust(part_width + 2, '─')}┐"
        if lines:
            lines += [blank_board, f"{blank_board}{gap}{top}"]
        else:
            lines.append(f"┌{' board '.center(board_width + 2, '─')}┐{gap}{top}")
        for wire in part.wires:
            between = f"──{_through(wire)}".ljust(run, "─")
            lines.append(f"│ {labels[wire.pin]:>{board_width}} ├{between}┤ {wire.terminal:<{part_width}} │")
        lines.append(f"{blank_board}{gap}└{'─' * (part_width + 2)}┘")
    lines[-1] = lines[-1].replace(blank_board, f"└{'─' * (board_width + 2)}┘", 1)
    return "\n".join(lines)


def _all_wires(parts: Sequence[CatalogPart]) -> list[CatalogWire]:
    wires: list[CatalogWire] = []
    for part in parts:
        wires += part.wires
    return wires


def _through(wire: CatalogWire) -> str:
    if wire.through:
        return f"[ {wire.through} ]"
    return ""
