"""The time of the parts on a virtual board, and their alarms. It goes on when the board begins its own time again.

A reset of the board does not reach the parts: what they do goes on. A cut of the power ends it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Final

from microclaw.virtual.clock import Clock, ClockTimer

_NO_TIMER: Final = ClockTimer(0.0, lambda: None)


class _PartAlarm:
    """A call that a part asked for, at its time in ms, and the timer of the board's clock for it."""

    def __init__(self, t_ms: float, fn: Callable[[], None]) -> None:
        self.t_ms = t_ms
        self.fn = fn
        self.timer = _NO_TIMER


class PartsClock:
    """Milliseconds since the board was made. All but `_ring` is called under the board's lock."""

    def __init__(self, clock: Clock, lock: threading.RLock) -> None:
        self._clock = clock
        self._lock = lock
        self._boot_ms = 0.0  # the parts' time at the board's last boot
        self._alarms: set[_PartAlarm] = set()

    def now_ms(self) -> float:
        return self._boot_ms + self._clock.now_ms()

    def call_at(self, t_ms: float, fn: Callable[[], None]) -> None:
        """Call `fn` under the board's lock at that time, unless `forget_alarms` comes before."""
        alarm = _PartAlarm(t_ms, fn)
        self._alarms.add(alarm)
        self._set_timer(alarm)

    def forget_alarms(self) -> None:
        """Drop all alarms: the power is cut."""
        for alarm in self._alarms:
            alarm.timer.cancel()
        self._alarms.clear()

    def go_on(self, uptime_ms: float) -> None:
        """Go on after the board's clock, which had this time, began again at 0 and forgot its alarms."""
        self._boot_ms += uptime_ms
        for alarm in sorted(self._alarms, key=lambda alarm: alarm.t_ms):
            self._set_timer(alarm)

    def _set_timer(self, alarm: _PartAlarm) -> None:
        alarm.timer = self._clock.call_at(alarm.t_ms - self._boot_ms, lambda: self._ring(alarm))

    def _ring(self, alarm: _PartAlarm) -> None:
        with self._lock:
            if alarm in self._alarms:
                self._alarms.remove(alarm)
                alarm.fn()
