"""The parts that expectations take as wired, as `wired pot1 = potentiometer: pin 1`, joined with a board's parts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from microclaw.errors import ConfigError, MicroclawError
from microclaw.hardware.boards.profile import BoardProfile
from microclaw.hardware.parts.wiring import WiredPart, Wiring, bus_pins, read_wiring, wiring_tables
from microclaw.hardware.parts.wiring_check import check_wiring
from microclaw.programs.proof.expectation_error import ExpectationError


class AssumedPart(Struct, frozen=True):
    """The part of such a line. `keys` are those that the line gives; for others the part has its usual values."""

    wired: WiredPart
    keys: frozenset[str]
    line: int


class AssumedKey(Struct, frozen=True):
    """A key of such a line with its value: a role and its GPIO, or an attribute, `address` or `active`."""

    part_id: str
    part: str
    key: str
    value: float | str


def read_assumed(keys: Sequence[AssumedKey], line: int) -> AssumedPart:
    """Return the part of one line. Raises ConfigError or UnknownName, as for a wiring's file."""
    first = keys[0]
    table: dict[str, Any] = {"part": first.part}
    for key in keys:
        if key.key in table:
            raise ConfigError(f"{first.part_id}: {key.key} is there twice", next_step="give one value")
        table[key.key] = key.value
    wired = read_wiring({first.part_id: table}).parts[0]
    return AssumedPart(wired, frozenset(key.key for key in keys), line)


def with_assumed(wiring: Wiring, assumed: Sequence[AssumedPart], board: BoardProfile) -> Wiring:
    """Return the wiring with these parts.

    A part of the same kind at the same place gets the id and the attributes of the expectations.
    Raises ExpectationError if the wiring has another part of that id, if the part at the same place is wired otherwise,
    or if the board cannot have the part there.
    """
    for part in assumed:
        try:
            wiring = _with_part(wiring, part, board)
            check_wiring(wiring, board)
        except MicroclawError as exc:
            raise ExpectationError.at_line(part.line, exc.message, exc.next_step) from exc
    return wiring


def _with_part(wiring: Wiring, part: AssumedPart, board: BoardProfile) -> Wiring:
    others = [other for other in wiring.parts if not _is_same(other, part.wired, board)]
    other_ids = {other.id for other in others}
    if part.wired.id in other_ids:
        step = "give it another id, or wire it as the expectations say"
        raise ConfigError(f"the expectations wire {part.wired.id} in another way than the board", next_step=step)
    same_parts = [other for other in wiring.parts if _is_same(other, part.wired, board)]
    joined = part.wired
    for same in same_parts:
        joined = _joined(same, part)
    return replace(wiring, parts=(*others, joined))


def _is_same(wired: WiredPart, assumed: WiredPart, board: BoardProfile) -> bool:
    """Return True if they are at the same pins and address, and of one kind. A generic part can be of any kind."""
    is_of_kind = wired.part == assumed.part or wired.facts.generic
    if wired.address is None and assumed.address is None:
        return is_of_kind and sorted(wired.pins.values()) == sorted(assumed.pins.values())
    return is_of_kind and wired.address == assumed.address and _all_pins(wired, board) == _all_pins(assumed, board)


def _all_pins(part: WiredPart, board: BoardProfile) -> dict[str, int]:
    """Return the pins of a part by their roles, also those of the board's own bus."""
    pins = dict(part.pins)
    bus = bus_pins(part, board)
    if part.address is not None and bus is not None:
        pins["sda"], pins["scl"] = bus
    return pins


def _joined(recorded: WiredPart, assumed: AssumedPart) -> WiredPart:
    """Return the recorded part with the id and the attributes of the expectations, which may try it with others.

    Raises ConfigError if its pins, its address or its active level are others on the board.
    """
    if recorded.part != assumed.wired.part:
        # A generic part stands for the one of the expectations.
        return replace(assumed.wired, active=recorded.active)
    recorded_table = _table(recorded)
    assumed_table = _table(assumed.wired)
    for key in sorted(assumed.keys - {"part"} - assumed.wired.attributes.keys()):
        value = assumed_table[key]
        if recorded_table.get(key, value) != value:
            text = f"{assumed.wired.id}: {key} is {recorded_table[key]} on the board, not {value}"
            raise ConfigError(text, next_step="correct the expectations or the wiring")
    attributes = {**recorded.attributes, **assumed.wired.attributes}
    return replace(recorded, id=assumed.wired.id, attributes=attributes)


def _table(part: WiredPart) -> dict[str, Any]:
    return wiring_tables(Wiring((part,)))[part.id]
