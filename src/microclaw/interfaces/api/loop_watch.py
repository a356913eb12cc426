"""Notices when the event loop was blocked, and logs for how long and where."""

from __future__ import annotations

import asyncio
import logging
import sys
import threading
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

_BEAT_S: Final = 0.25
_FRAMES: Final = 6

_log = logging.getLogger(__name__)


class LoopWatch:
    """The watch of one loop. `stalls` counts blocks of `stall_s` or more, `longest_s` is the longest of them.

    The loop sets a time by which it will be back. A thread notes the loop's frames if that time has passed. It cannot
    do that while one call into C holds the interpreter; then only the duration is logged.
    """

    def __init__(self, stall_s: float = 1.0) -> None:
        self.stalls = 0
        self.longest_s = 0.0
        self.place: str | None = None
        self._stall_s = stall_s
        self._due_s = 0.0
        self._ended = threading.Event()

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Watch the running loop inside the block. Call it in the loop's thread."""
        loop_thread = threading.get_ident()
        thread = threading.Thread(target=self._look, args=(loop_thread,), name="watch of the event loop", daemon=True)
        self._expect(asyncio.get_running_loop())
        thread.start()
        try:
            yield
        finally:
            self._timer.cancel()
            self._ended.set()
            thread.join()

    def _expect(self, loop: asyncio.AbstractEventLoop) -> None:
        self.place = None
        self._due_s = time.monotonic() + _BEAT_S
        self._timer = loop.call_later(_BEAT_S, self._beat, loop)

    def _beat(self, loop: asyncio.AbstractEventLoop) -> None:
        late_s = time.monotonic() - self._due_s
        if late_s >= self._stall_s:
            self.stalls += 1
            self.longest_s = max(self.longest_s, late_s)
            _log.warning("the event loop stood still for %.1f s: %s", late_s, self.place or "in one call")
        self._expect(loop)

    def _look(self, loop_thread: int) -> None:
        while not self._ended.wait(_BEAT_S):
            is_late = time.monotonic() - self._due_s >= self._stall_s / 2
            frame = sys._current_frames().get(loop_thread)
            if is_late and self.place is None and frame is not None:
                frames = [f"{outer.f_code.co_name}:{line}" for outer, line in traceback.walk_stack(frame)]
                self.place = " < ".join(frames[:_FRAMES])
