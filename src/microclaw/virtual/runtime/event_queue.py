"""The events that wait for one app: its timers' and what others deliver. Calls nothing."""

from __future__ import annotations

from collections import deque
from typing import Final, NamedTuple, TypeAlias

from microclaw.virtual.clock import Clock, Interrupted, Task

QUEUE_LENGTH: Final = 50
"""WAMR's DEFAULT_QUEUE_LENGTH; an event that comes while the queue is full is lost."""


class TimerFired(NamedTuple):
    """The timer of that number is due."""

    number: int


class Delivery(NamedTuple):
    """A call of `export` with `leading` and a copy of the data."""

    export: str
    data: bytes
    leading: tuple[int, ...] = ()


AppEvent: TypeAlias = TimerFired | Delivery


class EventQueue:
    """Any thread may post; only the app's own thread takes. It takes nothing before `open` and after `close`."""

    def __init__(self, clock: Clock, task: Task) -> None:
        self._clock = clock
        self._task = task
        self._events: deque[AppEvent | None] = deque()
        self._is_open = False

    def open(self) -> None:
        """Begin to take events."""
        self._is_open = True

    def close(self) -> None:
        """Forget the events that wait, and refuse all later ones."""
        self._is_open = False
        self._events.clear()

    def post(self, event: AppEvent) -> bool:
        """Queue an event; return False if the queue is full or closed."""
        if not self._is_open or len(self._events) >= QUEUE_LENGTH:
            return False
        self._events.append(event)
        self._clock.wake(self._task)
        return True

    def post_end(self) -> None:
        """Queue the end behind the events that wait, once."""
        if not self._task.is_ending:
            self._task.is_ending = True
            self._events.append(None)
            self._clock.wake(self._task)

    def take(self) -> AppEvent | None:
        """Wait for the next event; return None at the end. Raises Interrupted."""
        while not self._task.interrupted:
            if self._events:
                return self._events.popleft()
            self._clock.idle(self._task)
        raise Interrupted(self._task.name)
