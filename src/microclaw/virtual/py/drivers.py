"""What every driver of the simulated chip shares: how a call is named, what it may answer, and how it refuses."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final, Protocol, TypeAlias

Json: TypeAlias = bool | int | float | str | Sequence["Json"] | Mapping[str, "Json"] | None
Driver: TypeAlias = Callable[..., Json]
"""Called with the arguments of `_board.call`, which come out of JSON."""

ENODEV: Final = 19
EINVAL: Final = 22
ETIMEDOUT: Final = 116
"""MicroPython's on the chips (newlib's)."""
MAX_TRANSFER_BYTES: Final = 4096


class DriverError(Exception):
    """A call that the chip's driver refuses: `kind` is OSError, ValueError or RuntimeError, raised in the program."""

    def __init__(self, kind: str, *values: int | str) -> None:
        super().__init__(f"{kind}{values}")
        self.row: list[Json] = [kind, *values]


class Host(Protocol):
    """What the drivers need of the machine around them."""

    def owner_of(self, pin: int) -> str | None:
        """The program that has the pin; None: nobody, or the firmware itself."""

    def post(self, event: list[Json]) -> None:
        """Have the event handled between two bytecodes. From any thread; must not block."""

    def wait_ms(self, ms: float) -> None:
        """Let board time pass for a driver that waits."""

    def reset(self, cause: int) -> None:
        """Reset the chip; may raise to unwind the caller."""

    def bite(self) -> None:
        """The watchdog was not fed. From any thread; must not block."""


def hex_bytes(text: str) -> bytes:
    """A buffer of a program; ValueError when it is no hex or too long."""
    if len(text) > 2 * MAX_TRANSFER_BYTES:
        raise DriverError("ValueError", f"at most {MAX_TRANSFER_BYTES} bytes at a time here")
    return bytes.fromhex(text)


def size_of(value: int) -> int:
    if type(value) is not int or not 0 <= value <= MAX_TRANSFER_BYTES:
        raise DriverError("ValueError", f"at most {MAX_TRANSFER_BYTES} bytes at a time here")
    return value
