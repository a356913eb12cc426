"""Follows the changes of other hosts of the cluster to devices' links: their host, their messages, their hellos.

It reads this host's copy of the store, and writes only the time when the devices of a dead host were last seen.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from typing import Final

from microclaw.devices.link.device_ownership import DeviceOwnership
from microclaw.devices.link.links import LinkRegistry
from microclaw.errors import StoreError

HOLDERS: Final = "link_holders"
OUTBOX: Final = "link_outbox"
PRESENCE: Final = "link_presence"
_TABLES: Final = frozenset({HOLDERS, OUTBOX, PRESENCE})
# Not a table: a change of the hosts' leases.
_HOSTS: Final = "hosts"
# Changes within this time are read together, because thousands of devices may connect at once.
_GROUP_S: Final = 0.02
_RETRY_S: Final = 1.0

_log = logging.getLogger(__name__)


class OtherHosts:
    """Reads the tables that another host changed, which `changed` reports; `run` reads all tables first.

    `ended` returns the hosts whose leases ended, and when each was last seen, in Unix ms.
    """

    def __init__(
        self, links: LinkRegistry, holding: DeviceOwnership, ended: Callable[[], Iterable[tuple[str, int]]] = tuple
    ) -> None:
        self._ended = ended
        self._links = links
        self._holding = holding
        self._tables = set(_TABLES)
        self._news = asyncio.Event()
        self._news.set()

    def changed(self, tables: frozenset[str]) -> None:
        """Note tables that another host changed."""
        followed_tables = tables & _TABLES
        if followed_tables:
            self._tables |= followed_tables
            self._news.set()

    def hosts_changed(self) -> None:
        """Note that a host joined, came back or ended. Calls to its devices need not wait here."""
        for link in self._links.all():
            link.moved()
        self._tables.add(_HOSTS)
        self._news.set()

    async def run(self) -> None:
        """Read the changed tables, forever."""
        while True:
            await self._news.wait()
            self._news.clear()
            tables = self._tables
            self._tables = set()
            try:
                await self._read(tables)
            except StoreError as exc:
                _log.warning("the changes of the other hosts cannot be read, trying again: %s", exc.message)
                self._tables |= tables
                self._news.set()
                await asyncio.sleep(_RETRY_S)
            await asyncio.sleep(_GROUP_S)

    async def _read(self, tables: set[str]) -> None:
        if HOLDERS in tables:
            await self._holding.refresh()
        if OUTBOX in tables:
            await self._read_outbox()
        has_new_presence = PRESENCE in tables
        if _HOSTS in tables:
            for host, last_ms in self._ended():
                if await self._links.parts.events.mark_seen_with(host, last_ms):
                    has_new_presence = True
        if has_new_presence:
            await self._read_presence()

    async def _read_outbox(self) -> None:
        newest = await self._links.parts.links.newest()
        for link in self._links.all():
            connection = link.connection
            if connection is not None and newest.get(link.link_id, 0) > connection.session.outgoing.last:
                await link.outbox.send_added()

    async def _read_presence(self) -> None:
        """Read the hellos of devices that are connected to other hosts, whose capabilities may be new."""
        events = self._links.parts.events
        new_ids = []
        for link_id, seen_ms in (await events.seen_at()).items():
            link = self._links.link(link_id)
            is_same = link.presence is not None and link.presence.seen_ms == seen_ms
            if not link.online and not is_same:
                new_ids.append(link_id)
        if not new_ids:
            return
        for presence in await events.list(device_id=tuple(new_ids)):
            link = self._links.link(presence.device_id)
            if not link.online:
                link.presence = presence
