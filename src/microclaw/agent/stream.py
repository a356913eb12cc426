"""Carries a turn's events from its task to whoever listens, in order and bounded. Knows nothing of turns."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable

from microclaw.agent.events import Answer, TurnEvent
from microclaw.bus.events import Step

MAX_WAITING_EVENTS = 256


class TurnStream:
    """One writer, one reader. When full, the oldest waiting step is dropped; the answer never is."""

    def __init__(self, max_waiting: int = MAX_WAITING_EVENTS) -> None:
        self._waiting: deque[TurnEvent] = deque(maxlen=max_waiting)
        self._news = asyncio.Event()
        self._abandoned = False
        self._when_abandoned: Callable[[], None] | None = None

    def abandon(self) -> None:
        """The listener has gone: what is half done is finished, nothing more is started."""
        self._abandoned = True
        if self._when_abandoned is not None:
            self._when_abandoned()

    def when_abandoned(self, act: Callable[[], None]) -> None:
        """Call `act` when the listener goes; at once when it has gone already."""
        self._when_abandoned = act
        if self._abandoned:
            act()

    def put(self, event: TurnEvent) -> None:
        """Never waits; belongs to the event loop's thread."""
        self._waiting.append(event)
        self._news.set()

    def report(self, step: Step) -> None:
        """`put` as a Report."""
        self.put(step)

    async def events(self) -> AsyncIterator[TurnEvent]:
        """Every event up to the answer, which is the last."""
        while True:
            while self._waiting:
                event = self._waiting.popleft()
                yield event
                if isinstance(event, Answer):
                    return
            self._news.clear()
            await self._news.wait()
