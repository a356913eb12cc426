"""Reads plain values, JSON and MessagePack as values of a type, from any thread.

msgspec learns the fields of a struct when it first reads one. Two threads that do so at once crash the process: one
uses what the other has not finished. So here a type is learned under a lock, before it is used.
"""

from __future__ import annotations

from threading import Lock
from typing import Any, TypeVar, overload

import msgspec

_T = TypeVar("_T")
_LOCK = Lock()
_learned = set[Any]()


@overload
def convert(value: Any, kind: type[_T], **options: Any) -> _T: ...
@overload
def convert(value: Any, kind: Any, **options: Any) -> Any: ...
def convert(value: Any, kind: Any, **options: Any) -> Any:
    """Return a plain value, or an object with the same attributes, as a `kind`. Options are those of msgspec.convert.

    Raises msgspec.ValidationError if the value does not fit.
    """
    _learn(kind)
    return msgspec.convert(value, kind, **options)


@overload
def decode_json(data: bytes | str, kind: type[_T], **options: Any) -> _T: ...
@overload
def decode_json(data: bytes | str, kind: Any, **options: Any) -> Any: ...
def decode_json(data: bytes | str, kind: Any, **options: Any) -> Any:
    """Return a JSON text as a `kind`. Options are those of msgspec.json.decode.

    Raises msgspec.DecodeError for what is no JSON, RecursionError for what is nested too deep, and
    msgspec.ValidationError if it does not fit.
    """
    _learn(kind)
    return msgspec.json.decode(data, type=kind, **options)


@overload
def decode_msgpack(data: bytes, kind: type[_T]) -> _T: ...
@overload
def decode_msgpack(data: bytes, kind: Any) -> Any: ...
def decode_msgpack(data: bytes, kind: Any) -> Any:
    """Return a MessagePack message as a `kind`. Raises the same errors as `decode_json`."""
    _learn(kind)
    return msgspec.msgpack.decode(data, type=kind)


def _learn(kind: Any) -> None:
    """Let msgspec read the fields of a type, and of all types in it, if no call did so before."""
    if kind in _learned:
        return
    with _LOCK:
        msgspec.msgpack.Decoder(kind)
        _learned.add(kind)
