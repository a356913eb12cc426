"""Follows what other hosts of the cluster write about devices' links: where they are, messages for them, hellos.

It reads this host's copy of the store, and changes one thing: until when the devices of a dead host were seen.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from typing import Final

from microclaw.errors import StoreError
from microclaw.link_server.holding import LinkHolding
from microclaw.link_server.links import LinkRegistry

HOLDERS: Final = "link_holders"
OUTBOX: Final = "link_outbox"
PRESENCE: Final = "link_presence"
_TABLES: Final = frozenset({HOLDERS, OUTBOX, PRESENCE})
_HOSTS: Final = "hosts"  # no table: their leases
_GROUP_S: Final = 0.02  # what changes within it is looked at once: thousands of devices may come at a time
_AGAIN_S: Final = 1.0

_log = logging.getLogger(__name__)


class OtherHosts:
    """`changed` is told which tables another host changed; `run` looks at them, and first at all.

    `ended` gives the hosts whose leases ended, and when each was there last, in Unix ms.
    """

    def __init__(
        self, links: LinkRegistry, holding: LinkHolding, ended: Callable[[], Iterable[tuple[str, int]]] = tuple
    ) -> None:
        self._ended = ended
        self._links = links
        self._holding = holding
        self._tables = set(_TABLES)
        self._news = asyncio.Event()
        self._news.set()

    def changed(self, tables: frozenset[str]) -> None:
        found = tables & _TABLES
        if found:
            self._tables |= found
            self._news.set()

    def hosts_changed(self) -> None:
        """A host came, is back, or is gone: what waits for its devices need not wait here."""
        for link in self._links.all():
            link.moved()
        self._tables.add(_HOSTS)
        self._news.set()

    async def run(self) -> None:
        """Forever."""
        while True:
            await self._news.wait()
            self._news.clear()
            tables = self._tables
            self._tables = set()
            try:
                await self._look(tables)
            except StoreError as exc:
                _log.warning("what the other hosts do cannot be read, trying again: %s", exc.message)
                self._tables |= tables
                self._news.set()
                await asyncio.sleep(_AGAIN_S)
            await asyncio.sleep(_GROUP_S)

    async def _look(self, tables: set[str]) -> None:
        if HOLDERS in tables:
            await self._holding.refresh()
        if OUTBOX in tables:
            newest = await self._links.parts.links.newest()
            for link in self._links.all():
                connection = link.connection
                if connection is not None and newest.get(link.link_id, 0) > connection.session.outgoing.last:
                    await link.outbox_grew()
        if _HOSTS in tables:
            for host, last_ms in self._ended():
                if await self._links.parts.events.seen_with(host, last_ms):
                    tables = tables | {PRESENCE}
        if PRESENCE in tables:
            await self._look_at_presence()

    async def _look_at_presence(self) -> None:
        """A device that is not here said hello elsewhere: what it offers may be new."""
        events = self._links.parts.events
        seen = await events.seen_at()
        new = [
            link_id
            for link_id, seen_ms in seen.items()
            if not (link := self._links.link(link_id)).online
            and (link.presence is None or link.presence.seen_ms != seen_ms)
        ]
        for presence in await events.list(device_id=tuple(new)) if new else ():
            link = self._links.link(presence.device_id)
            if not link.online:
                link.presence = presence
