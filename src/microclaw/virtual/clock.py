"""Board time: the Protocol of the board's clocks, and the real clock; virtual_clock.py has the other one. Runs no app.

An app's thread is a `Task`. On the real clock tasks run as they please.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Final, Protocol

from microclaw.virtual.alarms import Alarm, Alarms
from microclaw.virtual.runtime.task import Interrupted, Task, TaskState

GRACE_S: Final = 0.001


class Clock(Protocol):
    """Board time in ms since power on, and the waiting that depends on it."""

    @property
    def is_virtual(self) -> bool: ...
    def now_ms(self) -> float:
        """The time, for an observer: costs nothing."""

    def read_ms(self, task: Task) -> float:
        """The time as a program reads it; on the virtual clock it costs board time and may wait for `advance`."""

    def compute(self, ms: float) -> None:
        """The task whose turn it is computed for so long; on the real clock that time has passed by itself."""
        ...

    def work(self, task: Task, ms: float) -> None:
        """The task's calls of the firmware took so long; on the virtual clock it may wait for `advance` before."""

    def call_at(self, t_ms: float, fn: Callable[[], None], *, is_timer: bool = False) -> Alarm:
        """Run `fn` at board time `t_ms` (at once when past), on the clock's thread; it must not block.

        With `is_timer` it only gives an app an event, and may run on any thread.
        """

    def restart(self) -> None:
        """Power on: time is 0 again and every alarm is forgotten."""

    def close(self) -> None: ...

    # What tasks (app threads) and those who wake them use.
    def add(self, task: Task) -> None:
        """Whoever starts the task's thread, just before: the task queues for its first turn."""

    def begin(self, task: Task) -> None:
        """The task's own thread, first thing: wait for its turn."""

    def idle(self, task: Task) -> None:
        """Wait until `wake` was called since the last `idle`, or `interrupt`."""

    def wake(self, task: Task) -> None:
        """There is work for the task."""

    def sleep(self, task: Task, ms: float) -> None:
        """Wait for `ms` of board time; raises Interrupted."""

    def interrupt(self, task: Task) -> None:
        """End every present and coming wait of the task."""

    def end(self, task: Task) -> None:
        """Called by the task's thread as its last act."""


class RealClock:
    """Monotonic time. An idle task makes the calls that are due itself: waking one thread is sooner than waking two.

    A daemon thread that starts with the first alarm makes those that no idle task made within GRACE_S.
    """

    is_virtual = False

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._alarms = Alarms()
        self._zero_s = time.monotonic()
        self._thread: threading.Thread | None = None
        self._closed = False
        self._idle_tasks = 0

    def now_ms(self) -> float:
        return (time.monotonic() - self._zero_s) * 1000.0

    def read_ms(self, task: Task) -> float:
        if task.interrupted:
            raise Interrupted(task.name)
        return self.now_ms()

    def compute(self, ms: float) -> None:
        pass

    def work(self, task: Task, ms: float) -> None:
        pass

    def call_at(self, t_ms: float, fn: Callable[[], None], *, is_timer: bool = False) -> Alarm:
        alarm = Alarm(t_ms, fn, is_timer=is_timer)
        with self._changed:
            self._alarms.push(alarm)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="board-clock", daemon=True)
                self._thread.start()
            self._changed.notify()
        return alarm

    def restart(self) -> None:
        with self._changed:
            self._alarms.clear()
            self._zero_s = time.monotonic()
            self._changed.notify()

    def close(self) -> None:
        with self._changed:
            self._closed = True
            self._changed.notify()

    def add(self, task: Task) -> None:
        pass

    def begin(self, task: Task) -> None:
        pass

    def idle(self, task: Task) -> None:
        with self._changed:
            self._idle_tasks += 1
        while not task.interrupted and not task.wake.acquire(timeout=self._until_due_s()):
            self._call_due()
        with self._changed:
            self._idle_tasks -= 1
        while task.wake.acquire(blocking=False):
            pass

    def wake(self, task: Task) -> None:
        task.wake.release()

    def sleep(self, task: Task, ms: float) -> None:
        # A wake-up that arrives while the task sleeps is kept for its next idle().
        end_s = time.monotonic() + ms / 1000.0
        kept = 0
        while not task.interrupted:
            left_s = end_s - time.monotonic()
            if left_s <= 0 or not task.wake.acquire(timeout=left_s):
                break
            kept += 1
        if kept:
            task.wake.release()
        if task.interrupted:
            raise Interrupted(task.name)

    def interrupt(self, task: Task) -> None:
        task.interrupted = True
        task.wake.release()

    def end(self, task: Task) -> None:
        task.state = TaskState.ENDED

    def _until_due_s(self, grace_s: float = 0.0) -> float | None:
        """The seconds until the next alarm, and the grace, are over, 0 when they are; None without an alarm."""
        with self._changed:
            due_ms = self._alarms.next_ms()
            return None if due_ms is None else max(0.0, (due_ms - self.now_ms()) / 1000.0 + grace_s)

    def _call_due(self) -> None:
        """Make one call, if one is due."""
        with self._changed:
            due_ms = self._alarms.next_ms()
            if due_ms is None or due_ms > self.now_ms():
                return
            alarm = self._alarms.pop()
        if not alarm.cancelled:
            alarm.fn()

    def _run(self) -> None:
        while True:
            with self._changed:
                while not self._closed:
                    wait_s = self._until_due_s(GRACE_S if self._idle_tasks else 0.0)
                    if wait_s == 0:
                        break
                    self._changed.wait(wait_s)
                if self._closed:
                    return
            self._call_due()
