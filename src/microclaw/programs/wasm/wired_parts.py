"""Finds the parts that a sketch names with their pins, as in `NewPing sonar(4, 5)`, by the marks of their libraries."""

from __future__ import annotations

from collections.abc import Iterable

from microclaw.errors import MicroclawError
from microclaw.hardware.parts.reader import parts
from microclaw.hardware.parts.wiring import WiredPart, make_part
from microclaw.programs.wasm.diagnostics import PinMark
from microclaw.programs.wasm.part_libraries import library_headers


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


def _make(header: str, pins: dict[str, int], wired: list[WiredPart]) -> WiredPart | None:
    """Return the part of a library's header on these pins; None if it is none, or is wired there already."""
    folder = library_headers().get(header)
    if folder is None or folder.parent.name not in parts():
        return None
    name = folder.parent.name
    taken = {pin for part in wired for pin in part.pins.values()}
    if len({*pins.values()}) < len(pins) or taken & {*pins.values()}:
        return None
    same_kind = [part for part in wired if part.part == name]
    part_id = name
    if same_kind:
        part_id = f"{name}-{len(same_kind) + 1}"
    try:
        return make_part(part_id, name, pins=pins)
    except MicroclawError:
        # The call does not name every pin, or something else than the part's pins.
        return None
