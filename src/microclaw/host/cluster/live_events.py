"""Spreads events: each host follows the live events of the others. They are not durable.

A host that publishes never waits. A host that reads too slowly loses the oldest events, which are counted.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from typing import Final

import msgspec

from microclaw.conversion import decode_msgpack
from microclaw.errors import MicroclawError
from microclaw.events import LIVE_EVENTS, LiveEvent, LiveKind
from microclaw.host.cluster.hosts import Hosts
from microclaw.host.cluster.requests import HostGone, HostRequests

# As many as a page's stream keeps.
MAX_WAITING: Final = 1_024
RETRY_S: Final = 0.5
_KINDS: Final[dict[str, LiveKind]] = {kind.kind: kind for kind in LIVE_EVENTS}

_log = logging.getLogger(__name__)


class LiveEvents:
    """The live events of all hosts. `deliver` gets the events of other hosts; a publisher delivers its own itself.

    In `counts` (status.COUNTS) events_refused are events that could not be read: of a newer host, or invalid.
    """

    def __init__(
        self, requests: HostRequests, hosts: Hosts, deliver: Callable[[LiveEvent], None], counts: Counter[str]
    ) -> None:
        self._requests = requests
        self._hosts = hosts
        self._deliver = deliver
        self._readers: set[asyncio.Queue[LiveEvent]] = set()
        self._following: dict[str, asyncio.Task[None]] = {}
        self._counts = counts
        requests.answer("live", type(None), self._send, is_stream=True)

    def share(self, event: LiveEvent) -> None:
        """Send an event to the other hosts, soon; if too many wait, the oldest are dropped."""
        for reader in self._readers:
            if reader.full():
                reader.get_nowait()
                self._counts["events_dropped"] += 1
            reader.put_nowait(event)
        self._counts["events_sent"] += 1

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[None]:
        """Receive the other hosts' events inside the block."""
        self._hosts.listeners.append(self._hosts_changed)
        self._hosts_changed()
        try:
            yield
        finally:
            self._hosts.listeners.remove(self._hosts_changed)
            for task in self._following.values():
                task.cancel()
            await asyncio.gather(*self._following.values(), return_exceptions=True)

    def _hosts_changed(self) -> None:
        others = set(self._hosts.others())
        for host_id in self._following.keys() - others:
            self._following.pop(host_id).cancel()
        for host_id in others - self._following.keys():
            self._following[host_id] = asyncio.create_task(self._follow(host_id), name=f"cluster: news of {host_id}")

    async def _follow(self, host_id: str) -> None:
        while True:
            try:
                async with aclosing(self._requests.ask(host_id, "live", None, tuple[str, msgspec.Raw])) as answers:
                    async for kind, payload in answers:
                        self._take(kind, payload)
            except (HostGone, MicroclawError) as exc:
                _log.debug("no live events of %s: %s", host_id, exc)
            await asyncio.sleep(RETRY_S)

    async def _send(self, _: None) -> AsyncGenerator[object, None]:
        reader: asyncio.Queue[LiveEvent] = asyncio.Queue(MAX_WAITING)
        self._readers.add(reader)
        try:
            while True:
                event = await reader.get()
                yield event.kind, event
        finally:
            self._readers.discard(reader)

    def _take(self, kind: str, payload: msgspec.Raw) -> None:
        try:
            event = decode_msgpack(payload, _KINDS[kind])
        except (KeyError, msgspec.DecodeError, RecursionError) as exc:
            _log.debug("a live event of another host that cannot be read: %s", exc)
            self._counts["events_refused"] += 1
            return
        self._counts["events_taken"] += 1
        self._deliver(event)
