"""The host's device links by id. Opens no socket."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol, Self

from microclaw.auth.credentials import Revoked
from microclaw.devices.device import Device
from microclaw.devices.link_meter import LANES, LaneName
from microclaw.link_server.device_link import DeviceLink, LinkParts
from microclaw.link_server.renewal import Renewals
from microclaw.store.link_events import Presence
from microclaw.wire.link.frame import CloseCode


class Owners(Protocol):
    """devices.Registry."""

    def owner_of(self, endpoint: str) -> Device | None: ...


class LinkNames:
    """Names of links' devices, for parts that are made before the registry is."""

    def __init__(self) -> None:
        self.devices: Owners | None = None

    def name_of(self, link_id: str) -> str:
        owner = self.devices.owner_of(f"link:{link_id}") if self.devices is not None else None
        return owner.name if owner is not None else link_id


class LinkHub:
    """`await LinkHub.open(parts)` knows every device that ever said hello."""

    def __init__(self, parts: LinkParts) -> None:
        self.parts = parts
        self.renewals: Renewals | None = None  # while the device plane is open
        self._links: dict[str, DeviceLink] = {}

    @classmethod
    async def open(cls, parts: LinkParts) -> Self:
        hub = cls(parts)
        for presence in await parts.events.presence():
            hub._links[presence.device_id] = hub._new(presence.device_id, presence)
        return hub

    def link(self, link_id: str) -> DeviceLink:
        """The device's link, whether it is connected or not."""
        if link_id not in self._links:
            self._links[link_id] = self._new(link_id)
        return self._links[link_id]

    def _new(self, link_id: str, presence: Presence | None = None) -> DeviceLink:
        return DeviceLink(link_id, self.parts, presence, lambda: self.renewals)

    @property
    def online(self) -> tuple[DeviceLink, ...]:
        return tuple(link for link in self._links.values() if link.online)

    def revoked(self, revoked: Revoked) -> None:
        """End the live connection of a device whose credentials ended."""
        link = self._links.get(revoked.device_id)
        if link is not None and link.wire is not None:
            link.wire.close(CloseCode.REVOKED, f"revoked: {revoked.cause}")

    async def forget(self, link_id: str) -> None:
        """The device was removed: nothing is kept of it."""
        link = self._links.pop(link_id, None)
        if link is not None:
            if link.wire is not None:
                link.wire.close(CloseCode.REVOKED, "removed")
            link.forget()
        await self.parts.links.forget(link_id)
        await self.parts.events.forget(link_id)

    def depths(self) -> Mapping[LaneName, int]:
        """Messages that wait on all connections, by lane."""
        found: dict[LaneName, int] = dict.fromkeys(LANES, 0)
        for link in self._links.values():
            if link.wire is not None:
                for lane, count in link.wire.depths().items():
                    found[lane] += count
        return found
