"""Calls that a clock will make, in order of time. Neither waits nor calls; the clock's lock guards it."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable
from typing import Final

_COMPACT_AT: Final = 1024


class Alarm:
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
    """Alarms by time, then by order of setting. Cancelled ones are thrown out before they pile up."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Alarm]] = []
        self._order = itertools.count()
        self._compact_at = _COMPACT_AT

    def push(self, alarm: Alarm) -> None:
        heapq.heappush(self._heap, (alarm.t_ms, next(self._order), alarm))
        if len(self._heap) >= self._compact_at:
            self._heap = [entry for entry in self._heap if not entry[2].cancelled]
            heapq.heapify(self._heap)
            self._compact_at = max(_COMPACT_AT, 2 * len(self._heap))

    def next_ms(self) -> float | None:
        """The time of the next alarm that was not cancelled."""
        while self._heap and self._heap[0][2].cancelled:
            heapq.heappop(self._heap)
        return self._heap[0][0] if self._heap else None

    def is_timer_next(self) -> bool:
        """Of the alarm that `next_ms` told last."""
        return self._heap[0][2].is_timer

    def pop(self) -> Alarm:
        return heapq.heappop(self._heap)[2]

    def clear(self) -> None:
        self._heap.clear()
