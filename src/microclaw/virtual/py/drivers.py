"""The common part of the simulated chip's drivers: how a call is named, what it may answer, and how it refuses."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final, TypeAlias

from msgspec import Struct

Json: TypeAlias = bool | int | float | str | Sequence["Json"] | Mapping[str, "Json"] | None
Driver: TypeAlias = Callable[..., Json]
"""Called with the arguments of `_board.call`, which come out of JSON."""

ENODEV: Final = 19
EINVAL: Final = 22
ETIMEDOUT: Final = 116
"""MicroPython's on the chips (newlib's)."""
MAX_TRANSFER_BYTES: Final = 4096


class Calls:
    """Drivers: the method `call_NAME` performs the call NAME."""

    def drivers(self) -> dict[str, Driver]:
        return {name.removeprefix("call_"): getattr(self, name) for name in dir(self) if name.startswith("call_")}


class DriverError(Exception):
    """A call that the chip's driver refuses: `kind` is OSError, ValueError or RuntimeError, raised in the program."""

    def __init__(self, kind: str, *values: int | str) -> None:
        super().__init__(f"{kind}{values}")
        self.row: list[Json] = [kind, *values]


class Hooks(Struct, frozen=True):
    """The drivers' way to the interpreter that calls them. `wake`: an event waits; from any thread, must not block.

    `wait_ms` is called in the interpreter's thread, `reset` too; `bite` by the clock when the watchdog is not fed.
    """

    wake: Callable[[], None]
    wait_ms: Callable[[float], None]
    reset: Callable[[int], None]
    bite: Callable[[], None]


def hex_bytes(text: str) -> bytes:
    """A buffer of a program; ValueError when it is no hex or too long."""
    if len(text) > 2 * MAX_TRANSFER_BYTES:
        raise DriverError("ValueError", f"at most {MAX_TRANSFER_BYTES} bytes at a time here")
    return bytes.fromhex(text)


def size_of(value: int) -> int:
    if type(value) is not int or not 0 <= value <= MAX_TRANSFER_BYTES:
        raise DriverError("ValueError", f"at most {MAX_TRANSFER_BYTES} bytes at a time here")
    return value
