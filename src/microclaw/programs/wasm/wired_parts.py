"""Finds the parts that a sketch names with their pins, as in `NewPing sonar(4, 5)`, by the marks of their libraries."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable

from microclaw.errors import MicroclawError
from microclaw.hardware.boards.profile import BoardProfile
from microclaw.hardware.parts.reader import I2cFacts, Part, parts
from microclaw.hardware.parts.wiring import WiredPart, make_part, next_part_id
from microclaw.programs.wasm.diagnostics import PinMark, ValueMark
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


def find_bus_parts(
    text: SourceText, marks: Iterable[PinMark], values: Iterable[ValueMark], board: BoardProfile
) -> tuple[WiredPart, ...]:
    """Return the I2C parts for which a sketch has an object of a library's class, named as their kinds.

    Each is at the first of its addresses that stands in the sketch in hexadecimal, else at that of the class. It is on
    the pins of the bus that the sketch opens. Its attributes are those of the class, and the values that the sketch
    gives to the part's library.
    """
    if text.headers.isdisjoint(library_headers()):
        return ()
    names = {token.text for token in text.tokens if token.kind == "name"}
    pins = _bus_pins(marks, board)
    wired = []
    for name, facts in parts().items():
        for pattern, usual in facts.serves.classes.items():
            class_names = fnmatch.filter(names, pattern)
            if facts.i2c is not None and class_names:
                attributes = {**_class_attributes(facts, class_names[0]), **_given_values(facts, values)}
                address = _address(facts.i2c, usual, text)
                wired.append(make_part(name, name, pins=pins, address=address, attributes=attributes))
                break
    return tuple(wired)


def _bus_pins(marks: Iterable[PinMark], board: BoardProfile) -> dict[str, int]:
    """Return the pins of the bus that the sketch opens; none for the board's own bus, several ones or unknown pins.

    The board's own pins do not count beside others: a library takes them if no bus is open.
    """
    pins: dict[str, set[int]] = {"sda": set(), "scl": set()}
    for mark in marks:
        if mark.what in pins:
            pins[mark.what].add(mark.pin)
    usual = board.i2c
    if usual is not None and pins == {"sda": {usual.sda}, "scl": {usual.scl}}:
        return {}
    if usual is not None and len(pins["sda"]) > 1:
        pins["sda"].discard(usual.sda)
        pins["scl"].discard(usual.scl)
    if any(len(numbers) != 1 for numbers in pins.values()):
        return {}
    return {role: min(numbers) for role, numbers in pins.items()}


def _class_attributes(facts: Part, class_name: str) -> dict[str, float]:
    """Return what the name of a class says of the part."""
    attributes: dict[str, float] = {}
    for pattern, values in facts.serves.class_attributes.items():
        if fnmatch.fnmatchcase(class_name, pattern):
            attributes.update(values)
    return attributes


def _given_values(facts: Part, values: Iterable[ValueMark]) -> dict[str, float]:
    """Return the attributes of the part that the sketch gives to its library, without those that no such part has."""
    given: dict[str, float] = {}
    for mark in values:
        folder = library_headers().get(mark.header)
        allowed = facts.attributes.get(mark.name)
        is_of_part = folder is not None and folder.parent.name == facts.name
        if is_of_part and allowed is not None and allowed.least <= mark.value <= allowed.most:
            given.setdefault(mark.name, mark.value)
    return given


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
