"""All device links of the host, by id. Opens no socket."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Self

from microclaw.devices.link.device_link import DeviceLink
from microclaw.devices.link.link_parts import LinkParts
from microclaw.devices.link.meter import LANES, LaneName
from microclaw.wire.link.frame import CloseCode
from microclaw.wire.link.lanes import Lane

PATH: Final = "/link"


class LinkRegistry:
    """The device links. `await LinkRegistry.open(parts)` has every device that ever sent a hello."""

    def __init__(self, parts: LinkParts) -> None:
        self.parts = parts
        self._links: dict[str, DeviceLink] = {}

    @classmethod
    async def open(cls, parts: LinkParts) -> Self:
        """Read the devices of the store."""
        links = cls(parts)
        for presence in await parts.events.list():
            links._links[presence.device_id] = DeviceLink(presence.device_id, parts, presence)
        if parts.holding is not None:
            parts.holding.moved.append(links.moved)
        return links

    def link(self, link_id: str) -> DeviceLink:
        """Return the device's link, whether it is connected or not."""
        if link_id not in self._links:
            self._links[link_id] = DeviceLink(link_id, self.parts)
        return self._links[link_id]

    @property
    def online(self) -> tuple[DeviceLink, ...]:
        return tuple(link for link in self._links.values() if link.online)

    def revoked(self, link_id: str) -> None:
        """End the live connection of a device whose credentials were revoked, and its waiting calls."""
        link = self._links.get(link_id)
        if link is not None:
            link.revoke()
            link.close(CloseCode.REVOKED, "revoked")

    def replaced(self, link_id: str) -> None:
        """Close the connection of a device that has a newer one to another host."""
        link = self._links.get(link_id)
        if link is not None:
            link.close(CloseCode.REPLACED, "a newer connection of this device, to another host")

    def moved(self, link_id: str) -> None:
        """Note that the device is connected to another host than before."""
        link = self._links.get(link_id)
        if link is not None:
            link.moved()

    def all(self) -> tuple[DeviceLink, ...]:
        return tuple(self._links.values())

    def drop(self, link_id: str) -> None:
        """End the connection of a removed device, and drop it from memory."""
        link = self._links.pop(link_id, None)
        if link is not None:
            link.close(CloseCode.REVOKED, "removed")
            link.forget()
            self.parts.tasks.forget(link_id)

    async def forget(self, link_id: str) -> None:
        """Delete everything of a removed device, in memory and in the store."""
        self.drop(link_id)
        await self.parts.links.forget(link_id)

    def depths(self) -> Mapping[LaneName, int]:
        """Count the waiting messages of all connections, by lane."""
        counts = dict.fromkeys(LANES, 0)
        for link in self._links.values():
            if link.connection is not None:
                for name, lane in zip(LANES, Lane, strict=True):
                    counts[name] += link.connection.session.lanes.depth(lane)
        return counts
