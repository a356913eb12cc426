"""The devices of a host, which tells them in pages."""

from __future__ import annotations

from microclaw.apps.device_operations import list_devices
from microclaw.link_server.device_facts import ListedDevice
from microclaw.operations.client import Client


def known_devices(host: Client) -> list[ListedDevice]:
    """All of them, by name."""
    found: list[ListedDevice] = []
    after: str | None = ""
    while after is not None:
        page = host.call(list_devices, after=after)
        found += page.devices
        after = page.next
    return found
