"""The host of each device in the cluster: what this host takes, and what others took since.

One connection a device over all hosts, the newer one wins: its host takes the device in the shared store, and the host
of the older one closes it (4409) as soon as it sees that, also after it was cut off for a while.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from microclaw.errors import StoreError
from microclaw.store.links import LinkHolder, LinkHolderTable

_log = logging.getLogger(__name__)


class LinkHolding:
    """This host's view of the holders. `is_live` is false only for a host that is surely gone."""

    def __init__(self, table: LinkHolderTable, host: str, is_live: Callable[[str], bool]) -> None:
        self._table = table
        self._host = host
        self._is_live = is_live
        self._holders: dict[str, LinkHolder] = {}
        self._seen = 0
        self._gone = frozenset[str]()
        self.replaced: Callable[[str], None] = lambda _link_id: None  # a device that was here is at another host now
        self.moved: list[Callable[[str], None]] = []  # called with the id of each device whose place changed

    def host_of(self, link_id: str) -> str | None:
        """The other live host that has the device's connection."""
        place = self.place_of(link_id)
        return None if place == self._host else place

    def place_of(self, link_id: str) -> str | None:
        """The live host that has the device's connection, this one too; None: nobody has."""
        holder = self._holders.get(link_id)
        if holder is None or holder.host is None:
            return None
        return holder.host if holder.host == self._host or self._is_live(holder.host) else None

    @property
    def here(self) -> int:
        """The number of devices that are connected to this host."""
        return sum(holder.host == self._host for holder in self._holders.values())

    async def take(self, link_id: str) -> int:
        """The device is connected here; its fence. StoreError while the cluster cannot be reached."""
        fence = await self._table.take(link_id, self._host)
        if not self.has_newer(link_id, fence):
            self._holders[link_id] = LinkHolder(link_id, self._host, fence)
        return fence

    def has_newer(self, link_id: str, fence: int) -> bool:
        """True if the device has, or had, a newer connection than the one with that fence."""
        known = self._holders.get(link_id)
        return known is not None and known.fence > fence

    async def leave(self, link_id: str, fence: int) -> None:
        """The connection with that fence is gone. Not told while the cluster cannot be reached: the next one tells."""
        if not self.has_newer(link_id, fence):
            self._holders[link_id] = LinkHolder(link_id, None, fence)
        try:
            await self._table.leave(link_id, fence)
        except StoreError as exc:
            _log.info("that %s left is not told to the other hosts: %s", link_id, exc.message)

    async def clear_gone(self) -> None:
        """End what the store says of devices' connections to hosts that are gone: of devices that never came back.

        Of hosts that were gone at the last call, too: just after a host's death the others have much to write.
        """
        gone = frozenset(host for host in await self._table.hosts() if not self._is_live(host))
        twice = gone & self._gone
        self._gone = gone
        cleared = sum([await self._table.leave_host(host) for host in sorted(twice)])
        if cleared:
            _log.info("%d devices of hosts that are gone are connected nowhere", cleared)

    async def refresh(self) -> None:
        """Look what other hosts took; to be called when the table changed."""
        for holder in await self._table.since(self._seen):
            self._seen = holder.fence
            before = self._holders.get(holder.device_id)
            if before is not None and before.fence >= holder.fence:  # the same one: it left here, which was not told
                continue
            self._holders[holder.device_id] = holder
            if before is not None and before.host == self._host != holder.host:  # None: it came elsewhere, and left
                self.replaced(holder.device_id)
            if before is None or before.host != holder.host:
                for moved in self.moved:
                    moved(holder.device_id)
