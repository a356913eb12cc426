"""A frozen dataclass from the members of a JSON object, each checked against its declared type. No IO.

Small on purpose: the virtual board must start in a fraction of a second, which rules out a validation library there.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import MISSING, Field, fields
from typing import Any, TypeAlias, TypeVar

from microclaw.errors import ProtocolError

T = TypeVar("T")
Reader: TypeAlias = Callable[[str, object], object]


def build(cls: type[T], members: Mapping[str, Any], readers: Mapping[str, Reader], *, closed: bool = False) -> T:
    """A `cls` whose fields were read by the reader of their annotation; `closed` refuses members it does not know."""
    known: dict[str, Field[Any]] = {f.name: f for f in fields(cls)}  # type: ignore[arg-type]
    if closed and (unknown := [name for name in members if name not in known]):
        raise ProtocolError(f"unknown member {unknown[0]!r}", next_step=f"members: {', '.join(known) or 'none'}")
    values: dict[str, Any] = {}
    for name, field in known.items():
        if name in members:
            values[name] = readers[str(field.type)](name, members[name])
        elif field.default is MISSING:
            raise ProtocolError(f"{name} is missing")
    return cls(**values)


def shallow(message: object) -> dict[str, Any]:
    """The fields of a dataclass by name, nested values untouched: `asdict` copies every row of a page."""
    return {f.name: getattr(message, f.name) for f in fields(message)}  # type: ignore[arg-type]


def read_int(name: str, value: object) -> int:
    if type(value) is not int or not -(2**53) < value < 2**53:
        raise ProtocolError(f"{name} must be a whole number")
    return value


def read_float(name: str, value: object) -> float:
    if type(value) is int and -(2**53) < value < 2**53:
        return float(value)
    if type(value) is not float or not math.isfinite(value):
        raise ProtocolError(f"{name} must be a number")
    return value


def read_str(name: str, value: object) -> str:
    if not isinstance(value, str):
        raise ProtocolError(f"{name} must be a string")
    return value


def read_bool(name: str, value: object) -> bool:
    if not isinstance(value, bool):
        raise ProtocolError(f"{name} must be true or false")
    return value


def optional(read: Callable[[str, object], T]) -> Callable[[str, object], T | None]:
    return lambda name, value: None if value is None else read(name, value)


def rows_of(read: Callable[[str, object], T]) -> Callable[[str, object], tuple[T, ...]]:
    def read_rows(name: str, value: object) -> tuple[T, ...]:
        if not isinstance(value, list):
            raise ProtocolError(f"{name} must be a list")
        return tuple(read(name, row) for row in value)

    return read_rows


def tuple_of(make: Callable[..., T], *readers: Callable[[str, object], object]) -> Callable[[str, object], T]:
    def read(name: str, value: object) -> T:
        if not isinstance(value, list) or len(value) != len(readers):
            raise ProtocolError(f"a row of {name} must be a list of {len(readers)}")
        return make(*(reader(name, item) for reader, item in zip(readers, value, strict=True)))

    return read


def object_of(cls: type[T], readers: Mapping[str, Reader]) -> Callable[[str, object], T]:
    def read(name: str, value: object) -> T:
        if not isinstance(value, dict):
            raise ProtocolError(f"a row of {name} must be an object")
        return build(cls, value, readers)

    return read


def read_numbers(name: str, value: object) -> dict[str, float]:
    if not isinstance(value, dict) or not value:
        raise ProtocolError(f"{name} must be an object of numbers")
    return {key: read_float(f"{name}.{key}", number) for key, number in value.items()}


PLAIN_READERS: Mapping[str, Reader] = {
    "int": read_int,
    "int | None": optional(read_int),
    "float": read_float,
    "float | None": optional(read_float),
    "str": read_str,
    "str | None": optional(read_str),
    "bool": read_bool,
    "tuple[int, ...]": rows_of(read_int),
    "Mapping[str, float]": read_numbers,
}
