"""The settings that settings.py declares, as a tree that is walked by name. It reads no file and checks no value."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache
from typing import Any, Final, Literal, TypeAlias

from msgspec import NODEFAULT
from msgspec import inspect as types

from microclaw.config.document import Path
from microclaw.config.settings import ConfigFile

NAME: Final = "NAME"  # stands for the names that a person chooses
ROW: Final = "[N]"  # stands for the numbers of an array's rows

Kind: TypeAlias = Literal["text", "whole", "number", "switch", "words", "texts", "item"]  # item: one of texts
_KINDS: Final[Mapping[type, Kind]] = {
    types.StrType: "text",
    types.LiteralType: "text",
    types.IntType: "whole",
    types.FloatType: "number",
    types.BoolType: "switch",
    types.VarTupleType: "words",
    types.DictType: "texts",
}


@dataclass(frozen=True, slots=True)
class Setting:
    """One value; settings.about() says what the fields mean."""

    kind: Kind
    about: str
    secret: bool
    check: Any
    default: object = None
    low: float | None = None
    high: float | None = None
    choices: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Table:
    """`inside` by name, or under NAME (one of `names`, where there are any) or ROW alone."""

    inside: Mapping[str, Setting | Table]
    names: tuple[str, ...] = ()

    def child(self, part: str | int) -> Setting | Table | None:
        if isinstance(part, int):
            return self.inside.get(ROW)
        if NAME in self.inside:
            return self.inside[NAME] if not self.names or part in self.names else None
        return self.inside.get(part) if part != ROW else None


@cache
def root() -> Table:
    return _table(types.type_info(ConfigFile))


def find(path: Path) -> Setting | Table | None:
    """What stands at a path such as ("mcp", "servers", "git", "url")."""
    node: Setting | Table | None = root()
    for part in path:
        node = node.child(part) if isinstance(node, Table) else None
    return node


def all_settings(table: Table | None = None, before: str = "") -> Iterator[tuple[str, Setting]]:
    """Every setting with its dotted name, in the order of settings.py; NAME and [N] stand for any."""
    for name, node in (table or root()).inside.items():
        path = f"{before}{name}" if name == ROW or not before else f"{before}.{name}"
        if isinstance(node, Setting):
            yield path, node
        else:
            yield from all_settings(node, path)


def did_you_mean(word: str, known: Iterable[str], before: str = "") -> str:
    """The end of a sentence that names the nearest word, if there is one that is near."""
    from rapidfuzz import fuzz, process

    near = process.extractOne(word, known, scorer=fuzz.ratio, score_cutoff=60)
    return f": did you mean {before}{near[0]}?" if near else ""


def _table(info: types.Type) -> Table:
    match info:
        case types.DataclassType(fields=fields):
            nodes = {field.name: node for field in fields if (node := _node(field.type, field)) is not None}
            return Table(nodes)
        case types.VarTupleType(item_type=row):
            return Table({ROW: _table(row)})
        case types.DictType(key_type=key, value_type=table):
            return Table({NAME: _table(table)}, _choices(key))
    raise TypeError(info)


def _node(info: types.Type, field: types.Field) -> Setting | Table | None:
    """None for a field that is no setting: about() does not describe it."""
    match info:
        case types.UnionType(types=(value, types.NoneType())):
            return _node(value, field)
        case types.Metadata(
            type=value,
            extra_json_schema={"description": text},
            extra={"secret": secret, "check": check, "choices": choices},
        ):
            default = None if field.default in (NODEFAULT, (), "") else field.default
            setting = Setting(_KINDS[type(value)], text, secret, check, default)
            match value:
                case types.IntType(ge=low, le=high) | types.FloatType(ge=low, le=high):
                    return replace(setting, low=low, high=high)
            return replace(setting, choices=choices or _choices(value))
        case types.DataclassType() | types.VarTupleType() | types.DictType():
            return _table(info)
    return None


def _choices(info: types.Type) -> tuple[str, ...]:
    return tuple(map(str, info.values)) if isinstance(info, types.LiteralType) else ()
