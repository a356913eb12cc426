"""Handles Ctrl-C during a part of a command: a handler of SIGINT, and after it the one from before again."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def on_interrupt(act: Callable[[], object], *, once: bool = False) -> Iterator[None]:
    """While inside, SIGINT calls `act`; with `once` the first one does, and the handler from before gets the next ones.

    Only in the main thread.
    """

    def handle(*_: object) -> None:
        if once:
            signal.signal(signal.SIGINT, before)
        act()

    before = signal.signal(signal.SIGINT, handle)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def break_off() -> None:
    raise KeyboardInterrupt
