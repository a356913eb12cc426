"""What Ctrl-C does during a part of a command: a handler of SIGINT, and after it the one from before again."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def on_interrupt(act: Callable[[], object], *, once: bool = False, passed_on: bool = False) -> Iterator[None]:
    """While inside, SIGINT calls `act`; with `once` the first one does, and the handler from before gets the next ones.

    `passed_on`: a handler that the caller had set hears of it too, before `act`. Only in the main thread.
    """

    def handle(number: int, frame: FrameType | None) -> None:
        if once:
            signal.signal(signal.SIGINT, before)
        if passed_on and callable(before) and before is not signal.default_int_handler:
            before(number, frame)
        act()

    before = signal.signal(signal.SIGINT, handle)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def break_off() -> None:
    raise KeyboardInterrupt
