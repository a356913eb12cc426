"""A check that goes with what one request writes: it runs in the transaction of its first write. It knows no table.

Where hosts share a store, a write may wait for the others, and what the request was let in by may end meanwhile. The
transaction sees all that was before it, over all hosts; so what it finds is good at that very place.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Final, TypeVar

T = TypeVar("T")
AFTERWARDS_S: Final = 60.0
"""How long the check still counts for what goes on after its request, and has written nothing by then."""


class WriteCheck:
    """`check` raises where nothing may be written. What has begun is not stopped: after the first write it is over."""

    def __init__(self, check: Callable[[sqlite3.Connection], None]) -> None:
        self._check = check
        self._ends_s: float | None = None
        self._is_passed = False

    def end_soon(self) -> None:
        self._ends_s = time.monotonic() + AFTERWARDS_S

    @property
    def is_over(self) -> bool:
        return self._is_passed or (self._ends_s is not None and time.monotonic() > self._ends_s)

    def before(self, work: Callable[[sqlite3.Connection], T]) -> Callable[[sqlite3.Connection], T]:
        """`work`, with the check in the same transaction."""

        def checked(connection: sqlite3.Connection) -> T:
            self._check(connection)
            return work(connection)

        return checked

    def passed(self) -> None:
        """What was checked is written."""
        self._is_passed = True


_CHECK: ContextVar[WriteCheck | None] = ContextVar("microclaw_write_check", default=None)


def check_now() -> WriteCheck | None:
    """The check of the request that is under way here; None where there is none, or it is over."""
    check = _CHECK.get()
    return None if check is None or check.is_over else check


@contextmanager
def checking(check: Callable[[sqlite3.Connection], None]) -> Iterator[None]:
    """Inside, and in tasks that are started inside, the first write to a shared store is checked."""
    one = WriteCheck(check)
    before = _CHECK.set(one)
    try:
        yield
    finally:
        one.end_soon()
        _CHECK.reset(before)
