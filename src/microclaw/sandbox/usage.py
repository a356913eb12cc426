"""The use of a job of any backend, and what a backend offers while one runs. It starts and kills nothing."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import Callable
from typing import Protocol

from msgspec import Struct


class Usage(Struct, frozen=True):
    """Of all its processes together; None where the backend holds the job to that limit itself."""

    processes: int | None = None
    memory_bytes: int | None = None
    cpu_s: float | None = None
    out_of_memory: bool = False
    """Whether the kernel killed one of them for that."""


class DiskUse(Struct, frozen=True):
    is_full: bool
    files: int


class Started(Protocol):
    """A job that runs. Its output and errors are one pipe of `process`."""

    @property
    def process(self) -> subprocess.Popen[bytes]: ...
    @property
    def folder(self) -> int:
        """Its folder, open."""

    @property
    def must_not_be_full(self) -> bool:
        """True if nothing but killing it keeps its files within their limit."""

    def on_death(self, loop: asyncio.AbstractEventLoop, then: Callable[[], None]) -> Callable[[], None]:
        """Have `then` called on the loop, once, when no process of it lives; what it returns takes that back."""

    def usage(self, memory_limit: int) -> Usage:
        """Exact from `memory_limit` on."""

    def disk(self) -> DiskUse: ...
    def ran_out_of_memory(self) -> bool:
        """True if the backend killed it for that; to be asked when it is dead."""

    def kill(self) -> None:
        """Every process of it; does not wait, and may be called again."""

    def close(self) -> None:
        """Kill it if it lives, wait until it is dead, and free what it had. Blocks."""
