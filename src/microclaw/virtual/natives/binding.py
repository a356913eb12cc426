"""Makes a host function of a native's Python function: checks its pointers as WAMR does. Implements no native."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from microclaw.virtual.filesystem import PosixError
from microclaw.virtual.runtime.app import App

Handler: TypeAlias = Callable[..., int | float | None]
"""Called with the app and the arguments: pointers unsigned and checked, integers signed, floats as they are."""


def bind(app: App, signature: str, handler: Handler) -> Callable[..., int | float | None]:
    """A host function of the signature's wasm type."""
    letters, _, result = signature[1:].partition(")")
    unsigned = [i for i, letter in enumerate(letters) if letter in "*$~"]
    checks = [(i, letter, letters[i + 1 : i + 2] == "~") for i, letter in enumerate(letters) if letter in "*$"]

    def call(*raw: int | float) -> int | float | None:
        arguments = list(raw)
        for i in unsigned:
            arguments[i] = int(arguments[i]) & 0xFFFFFFFF
        for i, letter, has_length in checks:
            if letter == "$":
                app.memory.string(int(arguments[i]))
            else:
                app.memory.check(int(arguments[i]), int(arguments[i + 1]) if has_length else 1)
        try:
            value = handler(app, *arguments)
        except PosixError as exc:
            app.set_errno(exc.errno)
            value = -1
        return _as_wasm(value, result)

    return call


def _as_wasm(value: int | float | None, result: str) -> int | float | None:
    if not result:
        return None
    if result in "fF":
        return float(value or 0)
    bits = 64 if result == "I" else 32
    number = int(value or 0) & ((1 << bits) - 1)
    if number >> (bits - 1):
        return number - (1 << bits)
    return number
