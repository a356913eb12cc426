"""Board time: alarms, tasks, and the real clock; virtual_clock.py has the other. Runs no app.

An app's thread is a `Task`. On the real clock tasks run as they please.
"""

from __future__ import annotations

import heapq
import itertools
import threading
import time
from collections.abc import Callable
from enum import Enum, auto
from typing import Final

_COMPACT_AT: Final = 1024
LEAST_SLEEP_MS: Final = 1.0
"""The real clock sleeps no shorter for a bus: a system's timer is late by some 0.1 ms."""


class Interrupted(Exception):
    """The task was ended while it waited. The virtual board catches it."""


class ClockTimer:
    """A call that the clock will make once; `cancel` makes it never happen if it has not begun."""

    __slots__ = ("cancelled", "fn", "is_timer", "t_ms")

    def __init__(self, t_ms: float, fn: Callable[[], None], *, is_timer: bool = False) -> None:
        self.t_ms = t_ms
        self.fn = fn
        self.is_timer = is_timer
        self.cancelled = False

    def cancel(self) -> None:
        self.cancelled = True


class Alarms:
    """Alarms by time, then by order of setting; the clock's lock guards it. Cancelled ones go before they pile up."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, ClockTimer]] = []
        self._order = itertools.count()
        self._compact_at = _COMPACT_AT

    def push(self, alarm: ClockTimer) -> None:
        heapq.heappush(self._heap, (alarm.t_ms, next(self._order), alarm))
        if len(self._heap) >= self._compact_at:
            self._heap = [entry for entry in self._heap if not entry[2].cancelled]
            heapq.heapify(self._heap)
            self._compact_at = max(_COMPACT_AT, 2 * len(self._heap))

    def next(self) -> ClockTimer | None:
        """Return the next alarm that was not cancelled; it stays."""
        while self._heap and self._heap[0][2].cancelled:
            heapq.heappop(self._heap)
        if self._heap:
            return self._heap[0][2]
        return None

    def take_due(self, until_ms: float) -> ClockTimer | None:
        """Take the next alarm out if its time has come by then."""
        alarm = self.next()
        if alarm is not None and alarm.t_ms <= until_ms:
            return heapq.heappop(self._heap)[2]
        return None

    def clear(self) -> None:
        self._heap.clear()


class TaskState(Enum):
    ACTIVE = auto()  # it runs, or waits for its turn
    IDLE = auto()
    SLEEPING = auto()
    PAUSED = auto()


class Task:
    """One app's thread as the clock sees it. All but `name`, `interrupted` and `is_ending` is the clock's."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.interrupted = False
        self.state = TaskState.ACTIVE
        self.pending = False
        self.is_ending = False  # it is to return from what it does; on the virtual clock its readings cost time then
        self.alarm: ClockTimer | None = None  # of its sleep
        self.asked_until_ms = 0.0  # until then it goes on without being granted time
        self.owed_ms = 0.0  # bus time on the real clock that is still to be slept
        self.wake = threading.Semaphore(0)
        self.reads = 0
        self.thread_id: int | None = None
        self.cpu_mark_s = 0.0

    def check(self) -> None:
        """Raise Interrupted if it was interrupted."""
        if self.interrupted:
            raise Interrupted(self.name)

    def spun(self, limit_s: float) -> bool:
        """Return True if it used that much CPU since it last got its turn or read the clock.

        The first call only marks.
        """
        # pthread_getcpuclockid is missing on macOS; wall time then has to do.
        clock_of = getattr(time, "pthread_getcpuclockid", None)
        if clock_of is None or self.thread_id is None:
            cpu_s = time.monotonic()
        else:
            cpu_s = time.clock_gettime(clock_of(self.thread_id))
        if self.cpu_mark_s == 0.0:
            self.cpu_mark_s = cpu_s
            return False
        return cpu_s - self.cpu_mark_s >= limit_s


class Clock:
    """Board time in ms since power on, and the waiting that depends on it; this one's is monotonic time.

    A daemon thread that starts with the first alarm makes the calls that are due.
    """

    is_virtual = False

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._changed = threading.Condition(self._lock)
        self._alarms = Alarms()
        self._zero_s = time.monotonic()
        self._earlier_ms = 0.0
        self._thread: threading.Thread | None = None
        self._closed = False

    def now_ms(self) -> float:
        """Return the time for an observer: it costs nothing."""
        return (time.monotonic() - self._zero_s) * 1000.0

    def total_ms(self) -> float:
        """Return the time since the clock was made, which no `restart` begins again."""
        with self._lock:
            return self._earlier_ms + self.now_ms()

    def read_ms(self, task: Task) -> float:
        """Read the time as a program does; on the virtual clock it costs board time and may wait for `advance`."""
        task.check()
        return self.now_ms()

    def compute(self, ms: float) -> None:
        """Let the time pass that the present task computed; on the real clock it has passed by itself."""

    def work(self, task: Task, ms: float) -> None:
        """Let the time pass that a task's calls of the firmware took; a virtual clock may wait for `advance` first."""

    def call_at(self, t_ms: float, fn: Callable[[], None], *, is_timer: bool = False) -> ClockTimer:
        """Run `fn` at board time `t_ms` (at once when past), on the clock's thread; it must not block.

        With `is_timer` it only gives an app an event, and may run on any thread.
        """
        alarm = ClockTimer(t_ms, fn, is_timer=is_timer)
        with self._lock:
            self._alarms.push(alarm)
            if self._thread is None and not self.is_virtual:
                self._thread = threading.Thread(target=self._run, name="board-clock", daemon=True)
                self._thread.start()
            self._changed.notify()
        return alarm

    def restart(self) -> None:
        """Begin again at 0, as at power on, and forget every alarm."""
        with self._lock:
            self._alarms.clear()
            self._earlier_ms += self.now_ms()
            self._zero_s = time.monotonic()
            self._changed.notify()

    def close(self) -> None:
        """End the clock: the process ends."""
        with self._lock:
            self._closed = True
            self._changed.notify()

    # What tasks (app threads) and those who wake them use.
    def add(self, task: Task) -> None:
        """Queue the task for its first turn, just before its thread starts."""

    def begin(self, task: Task) -> None:
        """Wait for the task's first turn; its own thread calls this first."""

    def idle(self, task: Task) -> None:
        """Wait until `wake` was called since the last `idle`, or `interrupt`."""
        if not task.interrupted:
            task.wake.acquire()
        while task.wake.acquire(blocking=False):
            pass

    def wake(self, task: Task) -> None:
        """Wake the task: there is work for it."""
        task.wake.release()

    def sleep(self, task: Task, ms: float) -> None:
        """Wait for `ms` of board time; raises Interrupted. A wake-up meanwhile is kept for the task's next `idle`."""
        end_s = time.monotonic() + ms / 1000.0
        kept = False
        while not task.interrupted and (left_s := end_s - time.monotonic()) > 0 and task.wake.acquire(timeout=left_s):
            kept = True
        if kept:
            task.wake.release()
        task.check()

    def spend(self, task: Task, ms: float) -> None:
        """Let exactly the time pass that a transfer on a bus takes; raises Interrupted.

        On the real clock short transfers are slept together, so that all of them take no longer than the bus would.
        """
        task.owed_ms += ms
        if task.owed_ms >= LEAST_SLEEP_MS:
            began_ms = self.now_ms()
            self.sleep(task, task.owed_ms)
            task.owed_ms -= self.now_ms() - began_ms

    def interrupt(self, task: Task) -> None:
        """End every present and coming wait of the task."""
        task.interrupted = True
        task.wake.release()

    def end(self, task: Task) -> None:
        """Give the turn on; the task's thread calls this as its last act."""

    def _run(self) -> None:
        while (alarm := self._next_due()) is not None:
            if not alarm.cancelled:
                alarm.fn()

    def _next_due(self) -> ClockTimer | None:
        """Wait for the next alarm; None once the process ends."""
        with self._lock:
            while not self._closed:
                alarm = self._alarms.take_due(self.now_ms())
                if alarm is not None:
                    return alarm
                first = self._alarms.next()
                self._changed.wait(None if first is None else (first.t_ms - self.now_ms()) / 1000.0)
        return None
