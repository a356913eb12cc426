"""The timers of one app as WAMR has them (runtime_timer.c), with their race. Queues callbacks, never calls them."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from typing import Final

from msgspec import Struct

from microclaw.virtual.clock import Clock, ClockTimer

NO_TIMER: Final = 0xFFFFFFFF
MAX_TIMERS: Final = 30
LOST_RESTART_SHARE: Final = 0.01
"""How often, with the stock firmware's race, an app restarts a one-shot timer before the timer thread has filed it."""


class _Timer(Struct):
    number: int
    interval_ms: int
    periodic: bool
    alarm: ClockTimer | None = None
    in_limbo: bool = False


class Timers:
    """`post(id)` queues the app's on_timer_callback. Numbers start at 1 and are never used again.

    The race: the timer thread first posts the callback of a one-shot timer, then puts the timer on the idle list; an
    app that is quicker restarts a timer that is on neither list, which does nothing. A share of
    one-shots, the same for the same name, is on neither list until their callback returned (`callback_returned`).
    """

    def __init__(self, clock: Clock, limit: int, post: Callable[[int], object], name: str) -> None:
        self._clock = clock
        self._limit = min(limit, MAX_TIMERS)
        self._post = post
        self._chance = random.Random(f"0/{name}")  # noqa: S311  a repeatable simulation
        self._lock = threading.Lock()
        self._timers: dict[int, _Timer] = {}
        self._last_number = 0

    def create(self, interval_ms: int, periodic: bool, start: bool) -> int:
        """Make a timer; return its number, NO_TIMER if all are in use."""
        with self._lock:
            if len(self._timers) >= self._limit:
                return NO_TIMER
            self._last_number += 1
            timer = self._timers[self._last_number] = _Timer(self._last_number, interval_ms, periodic)
            if start:
                self._schedule(timer)
            return timer.number

    def destroy(self, number: int) -> None:
        with self._lock:
            timer = self._timers.get(number)
            if timer is not None and not timer.in_limbo:
                self._stop(timer)
                del self._timers[number]

    def cancel(self, number: int) -> None:
        with self._lock:
            timer = self._timers.get(number)
            if timer is not None:
                self._stop(timer)

    def restart(self, number: int, interval_ms: int) -> None:
        with self._lock:
            timer = self._timers.get(number)
            if timer is not None and not timer.in_limbo:
                self._stop(timer)
                timer.interval_ms = interval_ms
                self._schedule(timer)

    def callback_returned(self, number: int) -> None:
        """Note that the callback of that timer returned: by now the timer thread has put it on the idle list."""
        with self._lock:
            timer = self._timers.get(number)
            if timer is not None:
                timer.in_limbo = False

    def is_one_shot(self, number: int) -> bool:
        with self._lock:
            return number in self._timers and not self._timers[number].periodic

    def close(self) -> None:
        """Stop all timers for good."""
        with self._lock:
            for timer in self._timers.values():
                self._stop(timer)
            self._timers.clear()

    def _schedule(self, timer: _Timer) -> None:
        # The timer thread works in whole ms; an interval of 0 would make it fire without end.
        due_ms = self._clock.now_ms() + max(1, timer.interval_ms)
        timer.alarm = self._clock.call_at(due_ms, lambda: self._fire(timer, due_ms), is_timer=True)

    def _stop(self, timer: _Timer) -> None:
        if timer.alarm is not None:
            timer.alarm.cancel()
            timer.alarm = None

    def _fire(self, timer: _Timer, due_ms: float) -> None:
        with self._lock:
            if timer.alarm is None or timer.alarm.t_ms != due_ms or timer.alarm.cancelled:
                return
            timer.alarm = None
            if timer.periodic:
                self._schedule(timer)
            else:
                timer.in_limbo = self._chance.random() < LOST_RESTART_SHARE
        self._post(timer.number)
