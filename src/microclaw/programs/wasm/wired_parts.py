"""Finds the parts that a sketch names with their pins, as in `NewPing sonar(4, 5)`, by the marks of their libraries."""

from __future__ import annotations

from collections.abc import Iterable

from microclaw.errors import MicroclawError
from microclaw.hardware.parts.reader import I2cFacts, parts
from microclaw.hardware.parts.wiring import WiredPart, make_part, next_part_id
from microclaw.programs.wasm.diagnostics import PinMark
from microclaw.programs.wasm.part_libraries import library_headers
from microclaw.programs.wasm.source_text import SourceText


def find_wired_parts(marks: Iterable[PinMark]) -> tuple[WiredPart, ...]:
    """Return a part for each call that names all of its pins; the library calls its parameters as the part's roles."""
    calls: dict[tuple[int, int, str], dict[str, int]] = {}
    for mark in marks:
        if mark.header:
            pins = calls.setdefault((mark.line, mark.column, mark.header), {})
            pins[mark.role] = mark.pin
    wired: list[WiredPart] = []
    for (_, _, header), pins in calls.items():
        part = _make(header, pins, wired)
        if part is not None:
            wired.append(part)
    return tuple(wired)


def find_bus_parts(text: SourceText) -> tuple[WiredPart, ...]:
    """Return the I2C parts for which a sketch has an object of a library's class, named as their kinds.

    Each is at the first of its addresses that stands in the sketch in hexadecimal, else at that of the class.
    """
    if text.headers.isdisjoint(library_headers()):
        return ()
    wired = []
    for name, facts in parts().items():
        for class_name, usual in facts.serves.classes.items():
            if facts.i2c is not None and text.find_name(class_name) is not None:
                wired.append(make_part(name, name, pins={}, address=_address(facts.i2c, usual, text)))
                break
    return tuple(wired)


def _address(facts: I2cFacts, usual: int, text: SourceText) -> int:
    written = {hex(address): address for address in facts.addresses}
    for token in text.tokens:
        address = written.get(token.text.lower())
        if address is not None:
            return address
    return usual


def _make(header: str, pins: dict[str, int], wired: list[WiredPart]) -> WiredPart | None:
    """Return the part of a library's header on these pins; None if it is none, or is wired there already."""
    folder = library_headers().get(header)
    if folder is None or folder.parent.name not in parts():
        return None
    name = folder.parent.name
    wanted = set(pins.values())
    if len(wanted) < len(pins):
        return None
    for part in wired:
        if not wanted.isdisjoint(part.pins.values()):
            return None
    try:
        return make_part(next_part_id(name, wired), name, pins=pins)
    except MicroclawError:
        # The call does not name every pin, or something else than the part's pins.
        return None
