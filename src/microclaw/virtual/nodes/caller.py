"""What a device node needs to know of the app that uses it."""

from __future__ import annotations

from typing import Protocol

from microclaw.virtual.memory import LinearMemory


class Caller(Protocol):
    """The app behind a descriptor: see microclaw.virtual.process.Process."""

    @property
    def name(self) -> str: ...
    @property
    def memory(self) -> LinearMemory: ...
    @property
    def pins(self) -> set[int]:
        """GPIOs that it opened or drives; a node adds those that it takes."""
        ...

    def sleep(self, ms: float) -> None:
        """Wait in board time; raises Interrupted."""
        ...
