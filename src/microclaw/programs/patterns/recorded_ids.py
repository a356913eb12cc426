"""Expectations of a pattern with the ids of a board's recorded parts in the place of the pattern's own ids."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from microclaw.hardware.parts.part_ids import free_id
from microclaw.hardware.parts.wiring import Wiring

_WIRED: Final = re.compile(r"^wired (?P<id>[\w-]+) = (?P<part>\w+):(?P<keys>.*)$", re.MULTILINE)
_GPIO: Final = re.compile(r"(?P<role>\w+) (?P<gpio>\d+)(?=,|$)")


def with_recorded_ids(expect: str, wiring: Wiring) -> str:
    """Return the expectations in which each part that they wire has the id that it has in the record.

    A part that is not recorded gets an id that no recorded part has: "btn1" may be a button on another pin.
    """
    ids: dict[str, str] = {}
    taken = {part.id for part in wiring.parts}
    for match in _WIRED.finditer(expect):
        gpios = {key["role"]: int(key["gpio"]) for key in _GPIO.finditer(match["keys"])}
        recorded_id = _recorded_id(wiring, match["id"], match["part"], gpios)
        if recorded_id is None:
            recorded_id = free_id(match["id"], taken)
            taken.add(recorded_id)
        ids[match["id"]] = recorded_id
    lines = expect.splitlines(keepends=True)
    return "".join(_with_ids(line, ids) for line in lines)


def _recorded_id(wiring: Wiring, own_id: str, kind: str, gpios: Mapping[str, int]) -> str | None:
    """Return the id of the recorded part of this kind on these pins, or None.

    A part without pins is on the board's own bus; of several it is the one with this id.
    """
    for part in wiring.parts:
        is_of_kind = part.part == kind or part.facts.generic
        if part.pins:
            is_there = set(part.pins.values()) <= set(gpios.values())
        else:
            is_there = part.id == own_id or len(wiring.of_part(kind)) == 1
        if is_of_kind and is_there:
            return part.id
    return None


def _with_ids(line: str, ids: Mapping[str, str]) -> str:
    """Return the line with the first of the ids that it has replaced: what follows may be a kind of the same name."""
    code = line.partition('"')[0]
    for old_id, new_id in ids.items():
        pattern = rf"(?<![\w-]){re.escape(old_id)}(?![\w-])"
        if re.search(pattern, code):
            return re.sub(pattern, new_id, line, count=1)
    return line
