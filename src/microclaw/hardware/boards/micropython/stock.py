"""The stock MicroPython image: modules, their names, and what programs may not use. Data only."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any, Final, Literal, TypeAlias

from msgspec import Struct

from microclaw.conversion import convert
from microclaw.hardware.boards.profile import PinUse
from microclaw.tables import read_table

PinRole: TypeAlias = Literal["drives", "reads", "uses"]


class NameRefusal(Struct, frozen=True):
    """Why a program may not use a module or name, and what to do instead."""

    why: str
    instead: str


class PinArgument(Struct, frozen=True, array_like=True):
    """An argument that is a pin: its place in the call (-1: only by name), its names, and what it is used for."""

    place: int
    names: tuple[str, ...]
    use: PinUse
    role: PinRole


class StockImage(Struct, frozen=True):
    modules: dict[str, frozenset[str]]  # their names
    builtins: frozenset[str]
    with_u: frozenset[str]  # modules that older programs call with a `u` before the name
    extensible: frozenset[str]  # modules in C that a file of the program replaces, also one in lib/
    replaceable: frozenset[str]  # modules that a file of the program replaces
    computing: frozenset[str]  # builtins that only compute
    computing_methods: frozenset[str]
    members: dict[str, frozenset[str]]  # of classes: "machine.Pin"
    objects: dict[str, frozenset[str]]  # what is made by "machine.Pin": its methods
    lacking: dict[str, frozenset[str]]  # chip -> names that its image has not
    refused: dict[str, NameRefusal]  # "socket", "machine.reset", "builtins.input"
    other_names: dict[str, str]  # of CPython and Arduino, and what to use instead
    keeping: frozenset[str]  # methods that keep what they are given
    looking: frozenset[str]  # builtins that only look at it
    default_pins: dict[str, dict[str, dict[str, int]]]  # chip -> "machine.I2C(0)" -> "scl" -> pin
    pin_arguments: dict[str, tuple[PinArgument, ...]]  # "init": of a bus that is given other pins

    def has_module(self, name: str) -> bool:
        """Return True if the firmware has this module in C."""
        top = name.partition(".")[0]
        if top.startswith("u") and top[1:] in self.with_u:
            top = top[1:]
        return top not in self.replaceable and (top in self.modules or top in self.refused)


_WORDS: Final = (
    "builtins",
    "with_u",
    "extensible",
    "replaceable",
    "computing",
    "computing_methods",
    "keeping",
    "looking",
)
_TABLES: Final = ("modules", "members", "objects", "lacking")


@functools.cache
def stock_image() -> StockImage:
    data = read_table(__package__, "stock_image")
    fields: dict[str, Any] = {"other_names": data["other_names"], "default_pins": data["default_pins"]}
    for name in _WORDS:
        fields[name] = frozenset(data[name].split())
    for name in _TABLES:
        fields[name] = _split_words(data[name])
    refused: dict[str, NameRefusal] = {}
    for row in data["refusals"]:
        refusal = NameRefusal(row["why"], row["instead"])
        refused.update(dict.fromkeys(row["names"], refusal))
    pin_arguments = convert(data["pin_arguments"], dict[str, tuple[PinArgument, ...]])
    return StockImage(**fields, refused=refused, pin_arguments=pin_arguments)


def _split_words(table: Mapping[str, str]) -> dict[str, frozenset[str]]:
    words = {}
    for name, text in table.items():
        words[name] = frozenset(text.split())
    return words
