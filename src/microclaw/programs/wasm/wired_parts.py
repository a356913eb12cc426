"""Finds the parts that a sketch names with their pins, as in `NewPing sonar(4, 5)`, by the marks of their libraries."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable, Sequence
from typing import Final

from microclaw.errors import MicroclawError
from microclaw.hardware.boards.profile import BoardProfile
from microclaw.hardware.parts.reader import I2cFacts, Part, parts
from microclaw.hardware.parts.wiring import WiredPart, make_part, next_part_id
from microclaw.programs.wasm.diagnostics import PinMark, ValueMark
from microclaw.programs.wasm.part_libraries import library_headers
from microclaw.programs.wasm.part_screens import screen_headers
from microclaw.programs.wasm.source_text import SourceText

_ADDRESS: Final = "address"


def find_wired_parts(marks: Iterable[PinMark], values: Sequence[ValueMark]) -> tuple[WiredPart, ...]:
    """Return a part for each call that names all of its pins; the library calls its parameters as the part's roles."""
    calls: dict[tuple[int, int, str], dict[str, int]] = {}
    for mark in marks:
        if mark.header:
            pins = calls.setdefault((mark.line, mark.column, mark.header), {})
            pins[mark.role] = mark.pin
    wired: list[WiredPart] = []
    for (_, _, header), pins in calls.items():
        part = _make(header, pins, values, wired)
        if part is not None:
            wired.append(part)
    return tuple(wired)


def find_bus_parts(
    text: SourceText, marks: Iterable[PinMark], values: Sequence[ValueMark], board: BoardProfile
) -> tuple[WiredPart, ...]:
    """Return the I2C parts for which a sketch has an object of a library's class, named as their kinds.

    Each is at the first of its addresses that stands in the sketch in hexadecimal, else at that of the class. It is on
    the pins of the bus that the sketch opens. Its attributes are those of the class, and the values that the sketch
    gives to the part's library. Of several parts with the same class it is the first that can have them.
    """
    if text.headers.isdisjoint(library_headers()) and not screen_headers(text):
        return ()
    names = {token.text for token in text.tokens if token.kind == "name"}
    pins = _bus_pins(marks, board)
    wired: dict[str, WiredPart] = {}
    for pattern, kinds in _kinds_by_class().items():
        class_names = fnmatch.filter(names, pattern)
        if not class_names:
            continue
        facts = next((kind for kind in kinds if _can_have(kind, values)), kinds[0])
        if facts.i2c is not None and facts.name not in wired:
            attributes = {**_class_attributes(facts, class_names[0]), **_given_values(facts, values)}
            address = _marked_address(facts, facts.i2c, values)
            if address is None:
                address = _address(facts.i2c, facts.serves.classes[pattern], text)
            wired[facts.name] = make_part(facts.name, facts.name, pins=pins, address=address, attributes=attributes)
    return tuple(wired.values())


def _kinds_by_class() -> dict[str, list[Part]]:
    """Return the parts that each class of an Arduino library stands for."""
    kinds: dict[str, list[Part]] = {}
    for facts in parts().values():
        for class_name in facts.serves.classes:
            kinds.setdefault(class_name, []).append(facts)
    return kinds


def _kinds_of(header: str) -> list[Part]:
    """Return the parts whose library has this header."""
    folder = library_headers().get(header)
    if folder is None:
        return []
    kinds = []
    for facts in parts().values():
        if folder.parent.name == facts.name or header in facts.serves.arduino:
            kinds.append(facts)
    return kinds


def _marked_values(facts: Part, values: Iterable[ValueMark]) -> dict[str, float]:
    """Return the attributes of the part that the sketch gives to its library."""
    given: dict[str, float] = {}
    for mark in values:
        if mark.name in facts.attributes and facts in _kinds_of(mark.header):
            given.setdefault(mark.name, mark.value)
    return given


def _can_have(facts: Part, values: Iterable[ValueMark]) -> bool:
    """Return True if the part can have all that the sketch gives to its library."""
    given = _marked_values(facts, values)
    return given == _given_values(facts, values)


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
    for name, value in _marked_values(facts, values).items():
        allowed = facts.attributes[name]
        if allowed.least <= value <= allowed.most:
            given[name] = value
    return given


def _marked_address(facts: Part, i2c: I2cFacts, values: Iterable[ValueMark]) -> int | None:
    """Return the address that the sketch gives to the part's library in a call that says which number it is."""
    for mark in values:
        is_address = mark.name == _ADDRESS and mark.value in i2c.addresses
        if is_address and facts in _kinds_of(mark.header):
            return int(mark.value)
    return None


def _address(facts: I2cFacts, usual: int, text: SourceText) -> int:
    written = {hex(address): address for address in facts.addresses}
    for token in text.tokens:
        address = written.get(token.text.lower())
        if address is not None:
            return address
    return usual


def _make(
    header: str, pins: dict[str, int], values: Sequence[ValueMark], wired: Iterable[WiredPart]
) -> WiredPart | None:
    """Return the part of a library's header on these pins; None if it is none, or is wired there already."""
    kinds = _kinds_of(header)
    wanted = set(pins.values())
    if not kinds or len(wanted) < len(pins):
        return None
    facts = next((kind for kind in kinds if _can_have(kind, values)), kinds[0])
    for part in wired:
        if not wanted.isdisjoint(part.pins.values()):
            return None
    try:
        part_id = next_part_id(facts.name, wired)
        return make_part(part_id, facts.name, pins=pins, attributes=_given_values(facts, values))
    except MicroclawError:
        # The call does not name every pin, or something else than the part's pins.
        return None
