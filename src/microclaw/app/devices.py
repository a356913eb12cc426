"""Joins the device plane: its listener, the links' store, its door, its announcement. Opens no device."""

from __future__ import annotations

import asyncio
import logging
import secrets
import socket
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from dataclasses import dataclass
from functools import partial

from microclaw import __version__
from microclaw.api.server import tcp_listener
from microclaw.apps.catalogue import Catalogue
from microclaw.apps.changes import Ledger
from microclaw.apps.deploy import Deployer
from microclaw.apps.direct_io import Explorer
from microclaw.apps.installer import Installer
from microclaw.apps.reconciler import Reconciler
from microclaw.apps.trial import Compile, try_image
from microclaw.apps.undo import Undo
from microclaw.auth.certificates import lan_names
from microclaw.auth.gate import Gate
from microclaw.boards import load_board
from microclaw.clock import now_ms
from microclaw.config import Settings
from microclaw.devices.registry import Registry
from microclaw.errors import ConfigError
from microclaw.events import LiveEvent, Step
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
from microclaw.wasm import BuildCache, build_glue, compile_module, find_toolchain, read_module

TRIAL_BOARD = "virtual"
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Apps:
    """The parts of the apps stage, joined."""

    ledger: Ledger
    compile: Compile
    trial_pool: TrialPool
    deployer: Deployer
    explorer: Explorer
    undo: Undo
    catalogue: Catalogue
    keeper: Reconciler
    gate: Gate


def build_apps(settings: Settings, devices: Registry, ledger: Ledger, gate: Gate) -> Apps:
    placement = Installer(ledger)
    trial_pool = TrialPool(load_board(TRIAL_BOARD))
    compile_source = partial(compile_module, cache=BuildCache(settings.cache))
    deployer = Deployer(
        devices=devices,
        ledger=ledger,
        placement=placement,
        compile=compile_source,
        read_module=read_module,
        try_image=partial(try_image, trial_pool=trial_pool),
    )
    explorer = Explorer(devices=devices, ledger=ledger)
    return Apps(
        ledger=ledger,
        compile=compile_source,
        trial_pool=trial_pool,
        deployer=deployer,
        explorer=explorer,
        undo=Undo(devices=devices, ledger=ledger, deployer=deployer, explorer=explorer),
        catalogue=Catalogue(devices=devices, ledger=ledger),
        keeper=Reconciler(devices=devices, ledger=ledger, placement=placement, report=_log_step),
        gate=gate,
    )


async def warm_compiler(settings: Settings) -> None:
    """What every program links with, built before the first one asks; a compile reports what is wrong with it."""
    try:
        await build_glue(find_toolchain(), settings.cache)
    except ConfigError as exc:
        _log.warning("the C library is not built: %s", exc.message)


def _log_step(step: Step) -> None:
    _log.info("%s: %s", step.stage, step.text)


def device_listener(settings: Settings, stack: AsyncExitStack) -> socket.socket | None:
    """The device plane's socket, where one is wanted."""
    if settings.link is None:
        return None
    host, port = settings.link.host, settings.link.port
    return stack.enter_context(tcp_listener(host, port, next_step=f"microclaw up --link {host}:0, or --link off"))


def link_parts(
    database: Database, devices: Registry, publish: Callable[[LiveEvent], None], tasks: DeviceTasks
) -> LinkParts:
    return LinkParts(
        links=LinkTable(database, now_ms=now_ms, random_bytes=secrets.token_bytes),
        events=LinkEventTable(database),
        clock=SystemClock(),
        new_id=new_message_id,
        publish=publish,
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
    publish: Callable[[LiveEvent], None],
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
        publish=publish,
    )


async def announce(listener: socket.socket, link: LinkServer, stack: AsyncExitStack, group: asyncio.TaskGroup) -> None:
    """Tell the LAN of a link that it can reach."""
    host, port = listener.getsockname()[:2]
    names = await asyncio.to_thread(lan_names)
    fingerprint = link.identity.authority.fingerprint
    announcement = announcement_of(host, port, names, ca_sha256=fingerprint, version=__version__)
    if announcement is not None:
        await stack.enter_async_context(announced(announcement, group))
