"""The host's last live events, numbered, for readers that may come back for what they missed. No HTTP here.

One ring holds them for all: a slow reader costs no memory, it is told how many events it lost.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AbstractContextManager, asynccontextmanager
from dataclasses import dataclass, fields
from itertools import islice
from typing import Protocol

from microclaw.bus.bus import Subscription
from microclaw.bus.live import Alarm, DeviceLog, LiveEvent
from microclaw.errors import Overloaded

RING_EVENTS = 1_024
MAX_LISTENERS = 16  # a quarter of the connections that the door takes
_NOT_LOGGED = frozenset({"at_ms", "text"})
_FACTS = {"name": "what"}  # as a log line has it: a record's own name is its logger's
_log = logging.getLogger("microclaw.live")


class EventBus(Protocol):
    """bus.Bus."""

    def subscribe(
        self, event_type: type[LiveEvent], *, depth: int = ...
    ) -> AbstractContextManager[Subscription[LiveEvent]]: ...


@dataclass(frozen=True, slots=True)
class Numbered:
    number: int
    event: LiveEvent


@dataclass(frozen=True, slots=True)
class Lost:
    """That many events before the next one are gone."""

    count: int


class LiveFeed:
    """`async with feed.collecting(bus, group)`: inside, it fills. `run` tells this host run from an earlier one."""

    def __init__(self, run: str, *, ring_events: int = RING_EVENTS, max_listeners: int = MAX_LISTENERS) -> None:
        self.run = run
        self.listeners = 0
        self._ring: deque[LiveEvent] = deque(maxlen=ring_events)
        self._count = 0  # of all events ever: the last one's number
        self._max_listeners = max_listeners
        self._news: set[asyncio.Event] = set()
        self._ended = False

    @asynccontextmanager
    async def collecting(self, bus: EventBus, group: asyncio.TaskGroup) -> AsyncIterator[None]:
        """Leaving ends every reader."""
        with bus.subscribe(LiveEvent, depth=RING_EVENTS) as subscription:
            task = group.create_task(self._collect(subscription), name="live events")
            try:
                yield
            finally:
                subscription.close()
                await asyncio.wait([task])

    def put(self, event: LiveEvent) -> None:
        _log_event(event)
        self._ring.append(event)
        self._count += 1
        self._wake()

    def end(self) -> None:
        """Every reader's iteration ends, now and from now on."""
        self._ended = True
        self._wake()

    def check_room(self) -> None:
        """Raise Overloaded when too many are reading."""
        if self.listeners >= self._max_listeners:
            raise Overloaded(f"{self.listeners} streams of live events are open already", next_step="close one of them")

    @property
    def last(self) -> int:
        return self._count

    async def read(self, after: int, keepalive_s: float) -> AsyncGenerator[Numbered | Lost | None, None]:
        """Events after this number, Lost where the ring was too short, None when there was nothing for a while."""
        self.listeners += 1
        news = asyncio.Event()
        self._news.add(news)
        try:
            while True:
                news.clear()
                oldest = self._count - len(self._ring)
                if after < oldest:
                    yield Lost(oldest - after)
                    after = oldest
                for event in tuple(islice(self._ring, after - oldest, None)):
                    after += 1
                    yield Numbered(after, event)
                if after < self._count:
                    continue
                if self._ended:
                    return
                if not await _within(news, keepalive_s):
                    yield None
        finally:
            self.listeners -= 1
            self._news.discard(news)

    async def _collect(self, subscription: Subscription[LiveEvent]) -> None:
        try:
            async for event in subscription:
                self.put(event)
        finally:
            self.end()

    def _wake(self) -> None:
        for news in self._news:
            news.set()


def _log_event(event: LiveEvent) -> None:
    """One line with the facts that are fit for a log: no text that a device or its program wrote."""
    if isinstance(event, DeviceLog):
        return
    level = logging.WARNING if isinstance(event, Alarm) else logging.INFO
    names = (field.name for field in fields(event) if field.name not in _NOT_LOGGED)
    _log.log(level, event.kind, extra={_FACTS.get(name, name): getattr(event, name) for name in names})


async def _within(news: asyncio.Event, timeout_s: float) -> bool:
    try:
        await asyncio.wait_for(news.wait(), timeout_s)
    except TimeoutError:
        return False
    return True
