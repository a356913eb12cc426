"""Builds what works on devices: the apps' parts, the device plane's listener and its announcement. Opens no device."""

from __future__ import annotations

import asyncio
import logging
import secrets
import socket
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from dataclasses import dataclass
from functools import partial

from microclaw import __version__
from microclaw.api.server import tcp_listener
from microclaw.apps.catalogue import Catalogue
from microclaw.apps.changes import ChangeLog
from microclaw.apps.deploy import Deployer
from microclaw.apps.direct_io import DirectIo
from microclaw.apps.installer import Installer
from microclaw.apps.reconciler import Reconciler
from microclaw.apps.trial import Compile, cached_compiler, try_image
from microclaw.apps.undo import Undo
from microclaw.auth.certificates import lan_names
from microclaw.auth.gate import Gate
from microclaw.boards import load_board
from microclaw.bus import Bus
from microclaw.clock import now_ms
from microclaw.config import Settings
from microclaw.devices.registry import Registry
from microclaw.errors import ConfigError
from microclaw.events import Step
from microclaw.link_server.device_link import LinkParts
from microclaw.link_server.limits import LinkLimits
from microclaw.link_server.links import LinkRegistry, SystemClock, new_message_id
from microclaw.link_server.meter import LinkMeter
from microclaw.link_server.server import LinkServer
from microclaw.link_server.tasks import DeviceTasks
from microclaw.store.database import Database
from microclaw.store.link_events import LinkEventTable
from microclaw.store.links import LinkTable
from microclaw.transports.discovery import announced, announcement_of
from microclaw.virtual_boards.trial_pool import TrialPool
from microclaw.wasm import BuildCache, build_glue, find_toolchain

TRIAL_BOARD = "virtual"
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Apps:
    """The parts of the apps room."""

    change_log: ChangeLog
    compile: Compile
    trial_pool: TrialPool
    deployer: Deployer
    direct_io: DirectIo
    undo: Undo
    catalogue: Catalogue
    reconciler: Reconciler
    gate: Gate


def build_apps(settings: Settings, devices: Registry, change_log: ChangeLog, gate: Gate) -> Apps:
    installer = Installer(change_log)
    trial_pool = TrialPool(load_board(TRIAL_BOARD))
    compile_source = cached_compiler(BuildCache(settings.cache))
    deployer = Deployer(
        devices=devices,
        change_log=change_log,
        installer=installer,
        compile=compile_source,
        try_image=partial(try_image, trial_pool=trial_pool),
    )
    direct_io = DirectIo(devices=devices, change_log=change_log)
    return Apps(
        change_log=change_log,
        compile=compile_source,
        trial_pool=trial_pool,
        deployer=deployer,
        direct_io=direct_io,
        undo=Undo(devices=devices, change_log=change_log, deployer=deployer, direct_io=direct_io),
        catalogue=Catalogue(devices=devices, change_log=change_log),
        reconciler=Reconciler(devices=devices, change_log=change_log, installer=installer, report=_log_step),
        gate=gate,
    )


async def warm_compiler(settings: Settings) -> None:
    """Build what every program links with in advance. When this fails, the first compile reports why."""
    try:
        await build_glue(find_toolchain(), settings.cache)
    except ConfigError as exc:
        _log.warning("the C library is not built: %s", exc.message)


def _log_step(step: Step) -> None:
    _log.info("%s: %s", step.stage, step.text)


def device_listener(settings: Settings, stack: AsyncExitStack) -> socket.socket | None:
    """The device plane's socket; None when the settings want none."""
    if settings.link is None:
        return None
    host, port = settings.link.host, settings.link.port
    return stack.enter_context(tcp_listener(host, port, next_step=f"microclaw up --link {host}:0, or --link off"))


def link_parts(database: Database, devices: Registry, bus: Bus, tasks: DeviceTasks) -> LinkParts:
    return LinkParts(
        links=LinkTable(database, now_ms=now_ms, random_bytes=secrets.token_bytes),
        events=LinkEventTable(database),
        clock=SystemClock(),
        new_id=new_message_id,
        publish=bus.publish,
        owner_of=devices.owner_of,
        tasks=tasks,
    )


def device_plane(
    settings: Settings,
    links: LinkRegistry,
    devices: Registry,
    database: Database,
    listener: socket.socket,
    meter: LinkMeter,
    bus: Bus,
) -> AbstractAsyncContextManager[LinkServer]:
    assert settings.link is not None
    return LinkServer.opened(
        links,
        devices,
        database,
        folder=settings.identity,
        listening=listener,
        plain=settings.link.plain,
        limits=LinkLimits(),
        meter=meter,
        now_ms=now_ms,
        publish=bus.publish,
    )


async def announce(listener: socket.socket, link: LinkServer, stack: AsyncExitStack, group: asyncio.TaskGroup) -> None:
    """Announce the device plane on the LAN, if the LAN can reach it."""
    host, port = listener.getsockname()[:2]
    names = await asyncio.to_thread(lan_names)
    fingerprint = link.identity.authority.fingerprint
    announcement = announcement_of(host, port, names, ca_sha256=fingerprint, version=__version__)
    if announcement is not None:
        await stack.enter_async_context(announced(announcement, group))
