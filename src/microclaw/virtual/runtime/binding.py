"""Makes a host function of a native's Python function: checks its pointers as WAMR does. Implements no native."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from microclaw.virtual.filesystem import PosixError
from microclaw.virtual.runtime.exec_env import ExecEnv

Handler: TypeAlias = Callable[..., int | float | None]
"""Called with the app's ExecEnv and the arguments: pointers unsigned and checked, integers signed, floats as is."""


def bind(
    env: ExecEnv, signature: str, handler: Handler, set_errno: Callable[[int], None]
) -> Callable[..., int | float | None]:
    """Return a host function of the signature's wasm type; `set_errno` gets the error of a call that answers -1."""
    letters, _, result = signature[1:].partition(")")
    unsigned = [index for index, letter in enumerate(letters) if letter in "*$~"]
    checks = []
    for index, letter in enumerate(letters):
        if letter in "*$":
            has_length = letters[index + 1 : index + 2] == "~"
            checks.append((index, letter, has_length))
    memory = env.memory

    def call(*raw: int | float) -> int | float | None:
        arguments = list(raw)
        for index in unsigned:
            arguments[index] = int(arguments[index]) & 0xFFFFFFFF
        for index, letter, has_length in checks:
            if letter == "$":
                memory.string(int(arguments[index]))
            elif has_length:
                memory.check(int(arguments[index]), int(arguments[index + 1]))
            else:
                memory.check(int(arguments[index]), 1)
        try:
            value = handler(env, *arguments)
        except PosixError as exc:
            set_errno(exc.errno)
            value = -1
        return _as_wasm(value, result)

    return call


def _as_wasm(value: int | float | None, result: str) -> int | float | None:
    if not result:
        return None
    if result in "fF":
        return float(value or 0)
    if result == "I":
        bits = 64
    else:
        bits = 32
    number = int(value or 0) & ((1 << bits) - 1)
    if number >> (bits - 1):
        return number - (1 << bits)
    return number
