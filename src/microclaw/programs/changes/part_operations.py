"""The act that lists the parts which can be wired to a board. What a part is, its folder in hardware/parts says."""

from __future__ import annotations

import re
from typing import ClassVar, Final

from msgspec import Struct

from microclaw.hardware.parts.reader import (
    FOLDER,
    Active,
    Part,
    PartKind,
    PartPinUse,
    ValueRange,
    part_drawing,
    parts,
    quantities,
)
from microclaw.hardware.parts.wiring import part_roles
from microclaw.host.operations.forms import NO_COMMAND
from microclaw.host.operations.operation import Access, OperationCall, operation
from microclaw.host.operations.result import Listing
from microclaw.programs.wasm.part_libraries import part_headers

_WORD: Final = re.compile(r"[a-z0-9_-]+")


class PartRole(Struct, frozen=True, kw_only=True):
    """A pin of a part, as `PartPin` of its file has it."""

    role: str
    use: PartPinUse
    optional: bool
    shared: bool
    instead_of_i2c: bool


class SettableValue(Struct, frozen=True, kw_only=True):
    """A value that a wiring can give the part. `of` says if it is an attribute, an input, or what it measures first.

    `names` are those of the choices, empty if they are quantities.
    """

    name: str
    of: str
    least: float
    most: float
    default: float
    unit: str
    choices: list[float]
    names: list[str]


class PartRow(Struct, frozen=True, kw_only=True):
    """A part that can be wired. `words` are for a search; `active` is None if low or high cannot be chosen.

    `has_drawing`: the page can draw it as itself, from /page/parts/NAME/draw.js or picture.svg.
    """

    name: str
    title: str
    kind: PartKind
    generic: bool
    words: list[str]
    roles: list[PartRole]
    addresses: list[int]
    active: Active | None
    values: list[SettableValue]
    has_drawing: bool


class PartList(Listing, frozen=True, kw_only=True):
    """The parts that can be wired to a board."""

    document: ClassVar = "parts"
    columns: ClassVar = {"PART": "name", "KIND": "kind", "TITLE": "title"}

    parts: list[PartRow]


@operation("part.list", http="GET /v1/parts", access=Access.LOOK, command=NO_COMMAND)
async def list_parts(_: None, __: OperationCall) -> PartList:
    """List the parts that can be wired to a board: their pins, their values, and words to find them."""
    return PartList(parts=list(map(_row, parts().values())))


def _row(part: Part) -> PartRow:
    roles = []
    for pin in part_roles(part).values():
        role = PartRole(
            role=pin.role, use=pin.use, optional=pin.optional, shared=pin.shared, instead_of_i2c=pin.instead_of_i2c
        )
        roles.append(role)
    active: Active | None = None
    for pin in part.pins:
        if pin.polarity:
            active = pin.active
    return PartRow(
        name=part.name,
        title=part.title,
        kind=part.kind,
        generic=part.generic,
        words=_words(part),
        roles=roles,
        addresses=list(part.i2c.addresses if part.i2c is not None else ()),
        active=active,
        values=_values(part),
        has_drawing=part_drawing(FOLDER / part.name) is not None,
    )


def _words(part: Part) -> list[str]:
    """Return what people call the part, what it measures, and the libraries that programs use it with."""
    texts = [part.name, part.title, part.kind, *part.words.values(), *part.measures, *part.inputs, *part.stimuli]
    texts += [*part.serves.python, *part_headers(part), *part.serves.classes, *part.serves.constructors]
    words: list[str] = []
    for text in texts:
        words += _WORD.findall(text.lower().replace("_", " "))
    return sorted(set(words))


def _values(part: Part) -> list[SettableValue]:
    groups = {"attribute": part.attributes, "input": part.inputs, "measured": part.measures}
    rows = []
    for group, values in groups.items():
        for name, value in values.items():
            if not value.follows:
                rows.append(_value(name, group, value))
    return rows


def _value(name: str, group: str, value: ValueRange) -> SettableValue:
    unit = value.unit
    if group == "measured" and not unit:
        unit = quantities()[name].unit
    return SettableValue(
        name=name,
        of=group,
        least=value.least,
        most=value.most,
        default=value.default,
        unit=unit,
        choices=list(value.choices),
        names=list(value.names),
    )
