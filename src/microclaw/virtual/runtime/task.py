"""An app's thread as a clock sees it, and how much CPU it used. Waits for nothing."""

from __future__ import annotations

import threading
import time
from enum import Enum, auto
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from microclaw.virtual.alarms import Alarm


class Interrupted(Exception):
    """The task was ended while it waited. The virtual board catches it."""


class TaskState(Enum):
    READY = auto()
    RUNNING = auto()
    IDLE = auto()
    SLEEPING = auto()
    PAUSED = auto()
    ENDED = auto()


class Task:
    """One app's thread as the clock sees it. All but `name`, `interrupted` and `is_ending` is the clock's."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.interrupted = False
        self.state = TaskState.READY
        self.pending = False
        self.is_ending = False  # it is to return from what it does; on the virtual clock its readings cost time then
        self.alarm: Alarm | None = None  # of its sleep
        self.asked_until_ms = 0.0  # until then it goes on without being granted time
        self.wake = threading.Semaphore(0)
        self.reads = 0
        self.thread_id: int | None = None
        self.cpu_mark_s = 0.0

    def spun(self, limit_s: float) -> bool:
        """True if it used that much CPU since it last got its turn or read the clock; the first call only marks."""
        cpu_s = self._cpu_s()
        if self.cpu_mark_s == 0.0:
            self.cpu_mark_s = cpu_s
            return False
        return cpu_s - self.cpu_mark_s >= limit_s

    def _cpu_s(self) -> float:
        # pthread_getcpuclockid is missing on macOS; wall time then has to do.
        clock_of = getattr(time, "pthread_getcpuclockid", None)
        if clock_of is None or self.thread_id is None:
            return time.monotonic()
        return time.clock_gettime(clock_of(self.thread_id))
