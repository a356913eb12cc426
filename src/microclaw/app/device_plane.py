"""Joins the device plane: its listener, the links' store, its door, its announcement. Opens no device."""

from __future__ import annotations

import asyncio
import secrets
import socket
from contextlib import AbstractAsyncContextManager, AsyncExitStack

from microclaw import __version__
from microclaw.app.clock import now_ms
from microclaw.bus.bus import Bus
from microclaw.config import Settings
from microclaw.devices.identity.host_names import lan_names
from microclaw.devices.link_meter import LinkMetrics
from microclaw.devices.registry import Registry
from microclaw.faces.discovery import announced, announcement_of
from microclaw.faces.link.device_link import LinkParts
from microclaw.faces.link.hub import LinkHub, LinkNames
from microclaw.faces.link.limits import LinkLimits
from microclaw.faces.link.message_ids import new_message_id
from microclaw.faces.link.plane import DevicePlane, SystemClock
from microclaw.faces.link.tasks import DeviceTasks
from microclaw.metrics import Metrics
from microclaw.store.database import Database
from microclaw.store.link_events import LinkEventTable
from microclaw.store.links import LinkTable
from microclaw.web.server import tcp_listener


def device_listener(settings: Settings, stack: AsyncExitStack) -> socket.socket | None:
    """The device plane's socket, where one is wanted."""
    if settings.link is None:
        return None
    host, port = settings.link.host, settings.link.port
    return stack.enter_context(tcp_listener(host, port, next_step=f"microclaw up --link {host}:0, or --link off"))


def link_parts(database: Database, names: LinkNames, bus: Bus, tasks: DeviceTasks) -> LinkParts:
    return LinkParts(
        links=LinkTable(database, now_ms=now_ms, random_bytes=secrets.token_bytes),
        events=LinkEventTable(database),
        clock=SystemClock(),
        new_id=new_message_id,
        publish=bus.publish,
        name_of=names.name_of,
        tasks=tasks,
    )


def device_plane(
    settings: Settings,
    hub: LinkHub,
    devices: Registry,
    database: Database,
    listener: socket.socket,
    metrics: Metrics,
    bus: Bus,
) -> AbstractAsyncContextManager[DevicePlane]:
    assert settings.link is not None
    return DevicePlane.opened(
        hub,
        devices,
        database,
        folder=settings.identity,
        listener=listener,
        plain=settings.link.plain,
        limits=LinkLimits(),
        meter=LinkMetrics(metrics, hub.depths),
        now_ms=now_ms,
        publish=bus.publish,
    )


async def announce(listener: socket.socket, link: DevicePlane, stack: AsyncExitStack, group: asyncio.TaskGroup) -> None:
    """Tell the LAN of a link that it can reach."""
    host, port = listener.getsockname()[:2]
    names = await asyncio.to_thread(lan_names)
    fingerprint = link.identity.authority.fingerprint
    announcement = announcement_of(host, port, names, ca_sha256=fingerprint, version=__version__)
    if announcement is not None:
        await stack.enter_async_context(announced(announcement, group))
