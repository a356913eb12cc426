"""The virtual clock: it jumps to the next timer when every app is idle.

Exactly one task runs at a time, in the order in which they were woken, so that the same inputs give the same edges to
the bit. Board time moves in `advance`, with what a program computes, and a little with each reading of the clock or of
a pin, so that `while (millis() - start < 500);` ends.
"""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from typing import Final

from microclaw.virtual.clock import Clock, ClockTimer, Task, TaskState
from microclaw.wire.board_replies import AdvanceResult

READ_COST_MS: Final = 0.005
"""Board time that one reading of the clock costs on the virtual clock."""
CHEAP_READS: Final = 200
"""Readings at READ_COST_MS since the task last rested, or something came from outside; then it is waiting.

Each further one costs more by _GROWTH, which is 2 % of the wait until then, and BUSY_READ_COST_MS at most.
"""
BUSY_READ_COST_MS: Final = 1.0
_GROWTH: Final = 1.02
_MOST_GROWN: Final = 300  # readings: they cost BUSY_READ_COST_MS long before
SHORT_PAUSE_MS: Final = 2.0
"""A task that was waiting and then idle for no longer goes on waiting: the pause is part of the loop."""
SHORT_SLEEP_MS: Final = 1.0
"""Shorter sleeps are no rest: a loop that reads a pin and waits for some microseconds is a busy wait all the same."""
ASKED_MS: Final = 20.0
"""Board time that a question to a busy task may cost: MicroPython's event loop comes round after 4 ms."""
STUCK_CPU_S: Final = 2.0
_POLL_S: Final = 0.25
_ALARM: Final = Task("alarm")
"""Has its turn while `advance` rings an alarm."""


class VirtualClock(Clock):
    """Time that stands still until `advance`; tasks take turns. A task is stuck after `stuck_cpu_s` without a pause."""

    is_virtual = True

    def __init__(self, stuck_cpu_s: float = STUCK_CPU_S) -> None:
        self._stuck_cpu_s = stuck_cpu_s
        self._poll_s = min(_POLL_S, stuck_cpu_s / 2)
        super().__init__()
        self._advancing = threading.Lock()
        self._quiet = threading.Semaphore(0)
        self._awaiting_quiet = False
        self._now_ms = 0.0
        self._limit_ms = 0.0
        self._cpu_end_s = math.inf
        self._advances = False
        self._running: Task | None = None
        self._has_overslept = False  # a task whose sleep is over waits for the one that runs
        self._tasks: set[Task] = set()
        self._ready: deque[Task] = deque()
        self._paused: list[Task] = []

    def now_ms(self) -> float:
        return self._now_ms

    def read_ms(self, task: Task) -> float:
        self._give_way(task, is_reading=True)
        with self._lock:
            alarm = self._alarms.next()
            end_ms = self._now_ms + _read_cost_ms(task)
            is_overdue = alarm is not None and alarm.t_ms <= self._now_ms  # and the task did not give way for it
            if not is_overdue:
                # A wait ends exactly at what it may wait for.
                if alarm is not None:
                    end_ms = min(end_ms, alarm.t_ms)
                self._now_ms = end_ms
                return end_ms
        self._pass_to(end_ms)
        return end_ms

    def work(self, task: Task, ms: float) -> None:
        self._give_way(task)
        self.compute(ms)

    def compute(self, ms: float) -> None:
        self._pass_to(self._now_ms + ms)

    def restart(self) -> None:
        with self._lock:
            self._alarms.clear()
            self._earlier_ms += self._now_ms
            self._now_ms = self._limit_ms = 0.0

    def settle(self) -> str | None:
        """Wait until every task is idle at the present time; the name of the task that spins instead, or None."""
        with self._advancing:
            return self._settle()

    def advance(self, ms: float, most_cpu_s: float = 600.0) -> AdvanceResult:
        """Run board time forward by `ms`.

        Time arrives there even when nothing happens, unless an app is stuck or `most_cpu_s` of CPU time is used up.
        """
        with self._advancing:
            began_s = time.process_time()
            self._cpu_end_s = began_s + most_cpu_s
            with self._lock:
                target_ms = self._limit_ms = self._now_ms + ms
                self._advances = True
                self._resume_paused()
            while (stuck := self._settle()) is None and not self._is_out_of_cpu:
                with self._lock:
                    if self._running is not None:
                        # Another thread woke it just now: time stands still until it is idle again.
                        continue
                    alarm = self._alarms.take_due(min(self._now_ms, target_ms) if self._paused else target_ms)
                    if alarm is None:
                        if self._paused and self._now_ms < target_ms:
                            self._resume_paused()
                            continue
                        break
                    self._now_ms = max(self._now_ms, alarm.t_ms)
                    self._running = _ALARM
                self._ring_alone(alarm)
            with self._lock:
                self._advances = False
                if stuck is None and not self._is_out_of_cpu:
                    self._now_ms = max(self._now_ms, target_ms)
                self._limit_ms = self._now_ms
                idle = stuck is None and self._alarms.next() is None and not self._paused
                return AdvanceResult(round(self._now_ms, 3), idle, stuck, time.process_time() - began_s)

    @property
    def _is_out_of_cpu(self) -> bool:
        return time.process_time() >= self._cpu_end_s

    def add(self, task: Task) -> None:
        with self._lock:
            self._tasks.add(task)
            self._make_ready(task)

    def begin(self, task: Task) -> None:
        task.thread_id = threading.get_ident()
        task.wake.acquire()

    def idle(self, task: Task) -> None:
        with self._lock:
            if task.pending or task.interrupted:
                task.pending = False
                return
            since_ms = self._now_ms
        if not self._is_woken_by_a_timer(task):
            with self._lock:
                idles = not (task.pending or task.interrupted)
                task.pending = False
                if idles:
                    task.state = TaskState.IDLE
                    self._hand_on()
            if idles:
                task.wake.acquire()
        if task.reads <= CHEAP_READS or self._now_ms - since_ms > SHORT_PAUSE_MS:
            task.reads = 0

    def ask(self, task: Task) -> None:
        """Somebody waits for its answer: a task that is busy goes on for ASKED_MS, until it looks who asks."""
        with self._lock:
            task.asked_until_ms = self._now_ms + ASKED_MS
            if task.state is TaskState.PAUSED:
                self._make_ready(task)
            elif task.state is TaskState.SLEEPING and task.alarm is not None and self._is_short(task.alarm):
                task.alarm.cancel()
                self._now_ms = task.alarm.t_ms
                self._make_ready(task)

    def _is_short(self, alarm: ClockTimer) -> bool:
        """Return True if a sleep is so short that it belongs to a busy loop, and nothing else comes before its end."""
        first = self._alarms.next()
        return alarm.t_ms - self._now_ms < SHORT_SLEEP_MS and (first is None or first.t_ms >= alarm.t_ms)

    def wake(self, task: Task) -> None:
        with self._lock:
            if task.state is TaskState.IDLE or (task.state is TaskState.PAUSED and task.is_ending):
                self._make_ready(task)
            else:
                task.pending = True

    def sleep(self, task: Task, ms: float) -> None:
        with self._lock:
            task.check()
            is_short = ms < SHORT_SLEEP_MS
            is_reading = ms < READ_COST_MS  # `while (1) usleep(0);` must not stop board time
            if not is_short:
                task.reads = 0
            elif is_reading:
                task.reads += 1
                ms = _read_cost_ms(task)
        self._wait(task, ms, is_short=is_short)

    def spend(self, task: Task, ms: float) -> None:
        task.check()
        self._wait(task, ms, is_short=ms < SHORT_SLEEP_MS)

    def _wait(self, task: Task, ms: float, *, is_short: bool) -> None:
        """Let `ms` pass for a task that does nothing meanwhile; a short wait needs no change of threads if it may."""
        with self._lock:
            end_ms = self._now_ms + ms
            must_go_on = is_short and self._must_go_on(task)
            if is_short and self._may_run_until(end_ms):
                task.cpu_mark_s = 0.0
                self._now_ms = end_ms
                return
            if not must_go_on:
                task.state = TaskState.SLEEPING
                alarm = task.alarm = ClockTimer(end_ms, lambda: self._awake(task, alarm))
                self._alarms.push(alarm)
                self._hand_on()
        if must_go_on:
            task.cpu_mark_s = 0.0
            self._pass_to(end_ms)
        else:
            task.wake.acquire()
            task.check()

    def _pass_to(self, end_ms: float) -> None:
        """Move the time while a task runs: each alarm on the way rings at its own time, before time passes it."""
        while True:
            with self._lock:
                alarm = self._alarms.take_due(end_ms)
                if alarm is None:
                    self._now_ms = max(self._now_ms, end_ms)
                    return
                self._now_ms = max(self._now_ms, alarm.t_ms)
            self._ring(alarm)

    def _ring_alone(self, alarm: ClockTimer) -> None:
        """Ring as a task of its own: what it wakes goes on after all of it, also after the alarms that it sets."""
        try:
            self._ring(alarm)
        finally:
            with self._lock:
                self._hand_on()

    def _ring(self, alarm: ClockTimer) -> None:
        alarm.fn()
        if not alarm.is_timer:  # from outside: what a task measures from here on it measures exactly
            with self._lock:
                for task in self._tasks:
                    task.reads = 0

    def interrupt(self, task: Task) -> None:
        with self._lock:
            task.interrupted = True
            if task.state in (TaskState.IDLE, TaskState.SLEEPING, TaskState.PAUSED):
                self._make_ready(task)

    def end(self, task: Task) -> None:
        with self._lock:
            self._tasks.discard(task)
            self._hand_on()

    def _give_way(self, task: Task, *, is_reading: bool = False) -> None:
        """Pause where something else is due, or the time that was granted is used up; not a task that must go on."""
        with self._lock:
            task.check()
            if is_reading:
                task.reads += 1
                task.cpu_mark_s = 0.0
            is_cheap = is_reading and task.reads <= CHEAP_READS and self._now_ms >= self._limit_ms
            first = self._alarms.next()
            is_due = self._now_ms >= self._limit_ms or (first is not None and first.t_ms <= self._now_ms)
            waits = (is_due or self._has_overslept) and not is_cheap and not self._must_go_on(task)
            if waits:
                task.state = TaskState.PAUSED
                self._paused.append(task)
                self._hand_on()
        if waits:
            task.wake.acquire()
            task.check()

    def _must_go_on(self, task: Task) -> bool:
        return task.is_ending or self._now_ms < task.asked_until_ms

    def _awake(self, task: Task, alarm: ClockTimer) -> None:
        with self._lock:
            if task.state is TaskState.SLEEPING and not alarm.cancelled:
                self._has_overslept = self._running is not None
                self._make_ready(task)

    def _make_ready(self, task: Task) -> None:
        if task in self._paused:
            self._paused.remove(task)
        task.state = TaskState.ACTIVE
        self._ready.append(task)
        if self._running is None:
            self._dispatch()

    def _hand_on(self) -> None:
        self._running = None
        self._dispatch()

    def _dispatch(self) -> None:
        self._has_overslept = False
        if self._ready:
            task = self._running = self._ready.popleft()
            task.cpu_mark_s = 0.0
            task.wake.release()
        elif self._awaiting_quiet:
            self._awaiting_quiet = False
            self._quiet.release()

    def _is_woken_by_a_timer(self, task: Task) -> bool:
        """Go on to the next timers here, where no one else has anything to do: it saves two changes of threads."""
        while True:
            with self._lock:
                first = self._alarms.next()
                is_alone = not self._ready and not self._paused
                if not self._advances or not is_alone or task.interrupted:
                    return False
                if first is None or not first.is_timer:
                    return False
                alarm = self._alarms.take_due(self._limit_ms)
                if alarm is None:
                    return False
                self._now_ms = max(self._now_ms, alarm.t_ms)
                task.cpu_mark_s = 0.0
            alarm.fn()
            with self._lock:
                if task.pending:
                    task.pending = False
                    return True

    def _resume_paused(self) -> None:
        paused = self._paused
        self._paused = []
        for task in paused:
            self._make_ready(task)

    def _may_run_until(self, t_ms: float) -> bool:
        """Return True if no other task has anything to do before: then a short sleep needs no change of threads."""
        first = self._alarms.next()
        is_next = t_ms <= self._limit_ms and (first is None or t_ms < first.t_ms)
        return is_next and not self._ready and not self._paused

    def _settle(self) -> str | None:
        while True:
            with self._lock:
                if self._running is None:
                    return None
                running = self._running
                self._awaiting_quiet = True
            if self._quiet.acquire(timeout=self._poll_s):
                continue
            with self._lock:
                if not self._awaiting_quiet:
                    self._quiet.acquire()
                    continue
                self._awaiting_quiet = False
                if self._running is running and running.spun(self._stuck_cpu_s):
                    return running.name
                if self._is_out_of_cpu:
                    return None


def _read_cost_ms(task: Task) -> float:
    grown = min(max(task.reads - CHEAP_READS, 0), _MOST_GROWN)
    return min(BUSY_READ_COST_MS, READ_COST_MS * _GROWTH**grown)
