"""CBOR values of a message's body to fields and back, by the annotation of each field. Knows no message. No IO."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Final, TypeAlias, get_args

from microclaw.errors import LinkViolation
from microclaw.wire.link import messages

MAX_UINT: Final = 2**63 - 1
MAX_ITEMS: Final = 256
MAX_DEPTH: Final = 8
_VALUE_DEPTH: Final = MAX_DEPTH - 2  # inside envelope and body

Reader: TypeAlias = Callable[[str, object], object]


def read_uint(name: str, value: object) -> int:
    if type(value) is not int or not 0 <= value <= MAX_UINT:
        raise LinkViolation(f"{name} must be an unsigned integer below 2^63")
    return value


def read_int(name: str, value: object) -> int:
    if type(value) is not int or not -MAX_UINT <= value <= MAX_UINT:
        raise LinkViolation(f"{name} must be an integer of at most 63 bits")
    return value


def read_float(name: str, value: object) -> float:
    if type(value) is int:
        return float(read_int(name, value))
    if type(value) is not float or not math.isfinite(value):
        raise LinkViolation(f"{name} must be a finite number")
    return value


def read_text(name: str, value: object) -> str:
    if type(value) is not str:
        raise LinkViolation(f"{name} must be text")
    return value


def read_bytes(name: str, value: object) -> bytes:
    if type(value) is not bytes:
        raise LinkViolation(f"{name} must be bytes")
    return value


def read_bool(name: str, value: object) -> bool:
    if type(value) is not bool:
        raise LinkViolation(f"{name} must be true or false")
    return value


def read_id(name: str, value: object) -> bytes:
    if type(value) is not bytes or len(value) != 16:
        raise LinkViolation(f"{name} must be 16 bytes")
    return value


def read_map(name: str, value: object) -> dict[str, Any]:
    """A map that holds nothing but what the link allows at any depth."""
    if type(value) is not dict:
        raise LinkViolation(f"{name} must be a map")
    check_value(value, name, _VALUE_DEPTH)
    return value


def read_value(name: str, value: object) -> object:
    check_value(value, name, _VALUE_DEPTH)
    return value


def check_value(value: object, name: str, depth: int = MAX_DEPTH) -> None:
    """LinkViolation unless `value` is plain data: text keys, finite numbers, at most 256 items a container."""
    kind = type(value)
    if kind in _SCALARS:
        return
    if kind is float:
        if not math.isfinite(value):  # type: ignore[arg-type]
            raise LinkViolation(f"{name} has a number that is not finite")
        return
    if kind is int:
        if not -MAX_UINT <= value <= MAX_UINT:  # type: ignore[operator]
            raise LinkViolation(f"{name} has an integer of more than 63 bits")
        return
    if kind is not dict and kind is not list:
        raise LinkViolation(f"{name} has a value of a kind the link does not carry: {kind.__name__}")
    if depth == 0:
        raise LinkViolation(f"{name} is nested deeper than {MAX_DEPTH} levels")
    if len(value) > MAX_ITEMS:  # type: ignore[arg-type]
        raise LinkViolation(f"{name} has a container of more than {MAX_ITEMS} items")
    if isinstance(value, dict):
        for key in value:
            if type(key) is not str:
                raise LinkViolation(f"{name} has a key that is not text")
        for item in value.values():
            check_value(item, name, depth - 1)
    elif isinstance(value, list):
        for item in value:
            check_value(item, name, depth - 1)


def sized(size: int) -> Reader:
    def read(name: str, value: object) -> bytes:
        if type(value) is not bytes or len(value) != size:
            raise LinkViolation(f"{name} must be {size} bytes")
        return value

    return read


def up_to(limit: int) -> Reader:
    def read(name: str, value: object) -> int:
        if type(value) is not int or not 0 <= value <= limit:
            raise LinkViolation(f"{name} must be between 0 and {limit}")
        return value

    return read


def one_of(choices: tuple[str, ...]) -> Reader:
    def read(name: str, value: object) -> object:
        if value not in choices or type(value) is not str:
            raise LinkViolation(f"{name} must be one of: {', '.join(choices)}")
        return value

    return read


def list_of(read: Reader) -> Reader:
    def read_list(name: str, value: object) -> tuple[object, ...]:
        if type(value) is not list or len(value) > MAX_ITEMS:
            raise LinkViolation(f"{name} must be a list of at most {MAX_ITEMS}")
        return tuple([read(name, item) for item in value])

    return read_list


def read_share(name: str, value: object) -> float:
    share = read_float(name, value)
    if not 0 <= share <= 1:
        raise LinkViolation(f"{name} must be between 0 and 1")
    return share


def read_rate(name: str, value: object) -> int:
    if type(value) is not int or not 1 <= value <= 192_000:
        raise LinkViolation(f"{name} must be between 1 and 192000")
    return value


def read_pairing_code(name: str, value: object) -> str:
    if type(value) is not str or len(value) != 6 or not (value.isascii() and value.isdigit()):
        raise LinkViolation(f"{name} must be 6 digits")
    return value


_SCALARS: Final = frozenset({str, bytes, bool, type(None)})
READERS: Final[dict[str, Reader]] = {
    "Uint": read_uint,
    "int": read_int,
    "float": read_float,
    "Share": read_share,
    "Level": up_to(100),
    "Rate": read_rate,
    "str": read_text,
    "PairingCode": read_pairing_code,
    "bytes": read_bytes,
    "bool": read_bool,
    "Id": read_id,
    "Epoch": sized(8),
    "ValueMap": read_map,
    "Value": read_value,
    "tuple[str, ...]": list_of(read_text),
    **{
        name: one_of(get_args(getattr(messages, name)))
        for name in ("Trigger", "StreamEnd", "TaskKind", "TaskState", "LogLevel", "OtaState")
    },
}
