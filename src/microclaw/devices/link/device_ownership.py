"""The host of each device in the cluster: the devices of this host, and the devices that others took over.

A device has one connection over all hosts, and a newer connection wins: its host enters itself in the shared store, and
the host of the older one closes it (4409) as soon as it reads that, also after it was cut off for a while.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from microclaw.errors import StoreError
from microclaw.host.store.links import LinkHolder, LinkHolderTable

_log = logging.getLogger(__name__)


class DeviceOwnership:
    """This host's view of the holders. `is_live` returns False only for a host that has surely ended."""

    def __init__(self, table: LinkHolderTable, host: str, is_live: Callable[[str], bool]) -> None:
        self._table = table
        self._host = host
        self._is_live = is_live
        self._holders: dict[str, LinkHolder] = {}
        self._seen = 0
        self._dead_hosts = frozenset[str]()
        # Called with the id of a device that moved from this host to another one.
        self.replaced: Callable[[str], None] = lambda _link_id: None
        # Called with the id of each device whose host changed.
        self.moved: list[Callable[[str], None]] = []

    def host_of(self, link_id: str) -> str | None:
        """Return the other live host that has the device's connection, or None."""
        place = self.place_of(link_id)
        return None if place == self._host else place

    def place_of(self, link_id: str) -> str | None:
        """Return the live host that has the device's connection, which may be this host, or None."""
        holder = self._holders.get(link_id)
        if holder is None or holder.host is None:
            return None
        if holder.host == self._host or self._is_live(holder.host):
            return holder.host
        return None

    def is_here(self, link_id: str) -> bool:
        """Return True if this host has the device's connection."""
        return self.place_of(link_id) == self._host

    @property
    def here(self) -> int:
        """The number of devices that are connected to this host."""
        return sum(holder.host == self._host for holder in self._holders.values())

    async def take(self, link_id: str) -> int:
        """Enter this host as the device's holder, and return the fence. Raises StoreError if the cluster is away."""
        fence = await self._table.take(link_id, self._host)
        if not self.has_newer(link_id, fence):
            self._holders[link_id] = LinkHolder(link_id, self._host, fence)
        return fence

    def has_newer(self, link_id: str, fence: int) -> bool:
        """Return True if the device has, or had, a newer connection than the one with that fence."""
        holder = self._holders.get(link_id)
        return holder is not None and holder.fence > fence

    async def leave(self, link_id: str, fence: int) -> None:
        """Note that the connection with that fence has ended.

        Other hosts are not notified while the cluster is away; the device's next connection notifies them.
        """
        if not self.has_newer(link_id, fence):
            self._holders[link_id] = LinkHolder(link_id, None, fence)
        try:
            await self._table.leave(link_id, fence)
        except StoreError as exc:
            _log.info("the other hosts were not notified that %s left: %s", link_id, exc.message)

    async def clear_gone(self) -> None:
        """Remove the rows of devices whose host has ended and that never came back.

        Only of hosts that were dead at the last call too: just after a host's death the others have much to write.
        """
        dead_hosts = frozenset(host for host in await self._table.hosts() if not self._is_live(host))
        long_dead_hosts = dead_hosts & self._dead_hosts
        self._dead_hosts = dead_hosts
        device_count = 0
        for host in sorted(long_dead_hosts):
            device_count += await self._table.leave_host(host)
        if device_count:
            _log.info("%d devices of hosts that have ended are connected nowhere", device_count)

    async def refresh(self) -> None:
        """Read the devices that other hosts took over. Call it when the table changed."""
        for holder in await self._table.since(self._seen):
            self._seen = holder.fence
            previous = self._holders.get(holder.device_id)
            # The same connection: it left here while the cluster was away.
            if previous is not None and previous.fence >= holder.fence:
                continue
            self._holders[holder.device_id] = holder
            self._report_move(previous, holder)

    def _report_move(self, previous: LinkHolder | None, holder: LinkHolder) -> None:
        # The new host may be None: the device was connected to another host and has left it.
        if previous is not None and previous.host == self._host and holder.host != self._host:
            self.replaced(holder.device_id)
        if previous is None or previous.host != holder.host:
            for on_moved in self.moved:
                on_moved(holder.device_id)
