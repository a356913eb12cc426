"""Carries a turn's events from its task to one listener, in order and bounded. Knows nothing of turns."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator

from microclaw.events import Answer, TurnEvent

MAX_WAITING_EVENTS = 1024


class TurnStream:
    """One writer, one reader. When full, the oldest waiting event is dropped; the answer never is."""

    def __init__(self, max_waiting: int = MAX_WAITING_EVENTS) -> None:
        self._waiting: deque[TurnEvent] = deque(maxlen=max_waiting)
        self._news = asyncio.Event()
        self.listening = False
        self._left = False
        self.answer: Answer | None = None

    def leave(self) -> None:
        """The listener has gone: nothing more is kept for it."""
        self._left = True
        self.listening = False
        self._waiting.clear()

    def put(self, event: TurnEvent) -> None:
        """Never waits; belongs to the event loop's thread. The answer is the last, whatever comes after it."""
        if self.answer is not None:
            return
        if isinstance(event, Answer):
            self.answer = event
        if not self._left:
            self._waiting.append(event)
            self._news.set()

    async def events(self) -> AsyncIterator[TurnEvent]:
        """Every event up to the answer, which is the last."""
        self.listening = not self._left
        while True:
            while self._waiting:
                event = self._waiting.popleft()
                yield event
                if isinstance(event, Answer):
                    return
            self._news.clear()
            await self._news.wait()
