"""The parts that expectations take as wired, as `wired pot1 = potentiometer: pin 1`, joined with a board's parts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from microclaw.errors import ConfigError
from microclaw.hardware.parts.wiring import WiredPart, Wiring, read_wiring


class AssumedKey(Struct, frozen=True):
    """A key of such a line with its value: a role and its GPIO, or an attribute, `address` or `active`."""

    part_id: str
    part: str
    key: str
    value: float | str


def read_assumed(keys: Sequence[AssumedKey]) -> WiredPart:
    """Return the part of one line. Raises ConfigError or UnknownName, as for a wiring's file."""
    first = keys[0]
    table: dict[str, Any] = {"part": first.part}
    for key in keys:
        if key.key in table:
            raise ConfigError(f"{first.part_id}: {key.key} is there twice", next_step="give one value")
        table[key.key] = key.value
    return read_wiring({first.part_id: table}).parts[0]


def with_assumed(wiring: Wiring, assumed: Sequence[WiredPart]) -> Wiring:
    """Return the wiring with these parts.

    A part of the same kind at the same place gets the id and the attributes of the expectations.
    Raises ConfigError if the wiring has another part of that id. `check_wiring` refuses two parts at one pin.
    """
    for part in assumed:
        others = [other for other in wiring.parts if not _is_same(other, part)]
        other_ids = {other.id for other in others}
        if part.id in other_ids:
            step = "give it another id, or wire it as the expectations say"
            raise ConfigError(f"the expectations wire {part.id} in another way than the board", next_step=step)
        same_parts = [other for other in wiring.parts if _is_same(other, part)]
        joined = part
        for same in same_parts:
            joined = _joined(same, part)
        wiring = replace(wiring, parts=(*others, joined))
    return wiring


def _is_same(wired: WiredPart, assumed: WiredPart) -> bool:
    """Return True if they are at the same pins and address, and of one kind. A generic part can be of any kind."""
    is_of_kind = wired.part == assumed.part or wired.facts.generic
    is_there = sorted(wired.pins.values()) == sorted(assumed.pins.values()) and wired.address == assumed.address
    return is_of_kind and is_there


def _joined(wired: WiredPart, assumed: WiredPart) -> WiredPart:
    """Return the wired part with the id and the attributes that the expectations say."""
    if wired.part != assumed.part:
        return replace(assumed, active=wired.active)
    attributes = {**wired.attributes, **assumed.attributes}
    return replace(wired, id=assumed.id, attributes=attributes)
