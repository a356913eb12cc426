"""Builds the device side: registry, links, the link server and its announcement, the apps stage. Opens no device."""

from __future__ import annotations

import asyncio
import logging
import secrets
import socket
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import tzinfo
from functools import partial

from microclaw import __version__
from microclaw.agent.outbox import Outbox
from microclaw.api.server import tcp_listener
from microclaw.app.cluster import HostCluster
from microclaw.apps.building import Compile, cached_compiler
from microclaw.apps.catalogue import Catalogue
from microclaw.apps.change_audit import change_event
from microclaw.apps.changes import Change, ChangeLog, ChangeState, PutApp, RemoveApp, StartApp, StopApp
from microclaw.apps.deferred import DeferredAct
from microclaw.apps.deferring import Deferrals, TellDeferred
from microclaw.apps.deploy import Deployer
from microclaw.apps.direct_io import DirectIo
from microclaw.apps.explorer import Explorer
from microclaw.apps.installer import Installer
from microclaw.apps.late_proof import LateCheck, Tell
from microclaw.apps.lifecycle import Lifecycle
from microclaw.apps.reconciler import Reconciler
from microclaw.apps.silence import SilenceExplainer
from microclaw.apps.source_log import SourceLog
from microclaw.apps.timed_runs import TimedRuns
from microclaw.apps.trial import Try, try_image
from microclaw.apps.undo import Undo
from microclaw.apps.upgrade import Upgrader
from microclaw.audit import AuditLog, Record
from microclaw.auth.admission import Admission
from microclaw.auth.approved_acts import approval_now
from microclaw.auth.certificates import lan_names
from microclaw.auth.gate import Gate
from microclaw.auth.people import People
from microclaw.boards import load_board
from microclaw.bus import Bus
from microclaw.clock import find_zone, machine_zone, now_ms
from microclaw.config.settings import Settings
from microclaw.devices.device import Device
from microclaw.devices.machine import ONLY_MACHINE
from microclaw.devices.registry import Registry
from microclaw.errors import UnknownName
from microclaw.events import Alarm, AppDeployed, AppEnded, LiveEvent, Step
from microclaw.link_server.audio import DeviceAudio
from microclaw.link_server.device_link import DeviceLink, LinkParts
from microclaw.link_server.effects import DeviceReports
from microclaw.link_server.limits import LinkLimits
from microclaw.link_server.links import LinkRegistry, SystemClock, new_message_id
from microclaw.link_server.meter import LinkMeter
from microclaw.link_server.server import LinkServer
from microclaw.link_server.tasks import DeviceTasks
from microclaw.live_hosts import ALONE, Fleet
from microclaw.store.apps import AppTable
from microclaw.store.database import Database
from microclaw.store.devices import DeviceTable
from microclaw.store.journal import Journal
from microclaw.store.link_events import LinkEventTable
from microclaw.store.link_tasks import LinkTaskTable
from microclaw.store.links import LinkTable
from microclaw.supervision import SupervisedTasks
from microclaw.transports.discovery import announced, announcement_of
from microclaw.transports.open import open_transport
from microclaw.virtual_boards.trial_pool import TrialPool
from microclaw.wasm import BuildCache, build_glue, find_toolchain

TRIAL_BOARD = "virtual"
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Base:
    """What every part of the host works with. `index` has what is made of this host's own files: in a cluster it is
    no part of the shared store.
    """

    settings: Settings
    database: Database
    index: Database
    bus: Bus
    admission: Admission
    app_table: AppTable
    journal: Journal
    publish: Callable[[LiveEvent], None]
    audit: AuditLog
    cluster: HostCluster | None = None

    @property
    def fleet(self) -> Fleet:
        return ALONE if self.cluster is None else self.cluster.hosts

    @property
    def now_ms(self) -> Callable[[], int]:
        """The clock that schedules go by."""
        return now_ms if self.cluster is None else self.cluster.hosts.now_ms

    def duty(self, name: str, work: Callable[[], Awaitable[None]]) -> Callable[[], Awaitable[None]]:
        """`work` as one host of a cluster does it at a time."""
        cluster = self.cluster
        return work if cluster is None else lambda: cluster.duties.hold(name, lambda _fence: work())

    def looks_after(self, registry: Registry) -> Callable[[str], bool]:
        """Which devices, by id, are this host's to keep as they should be."""
        return _all_devices if self.cluster is None else self.cluster.looks_after(registry)


@dataclass(frozen=True, slots=True)
class Devices:
    """The known devices and their links. `socket` is where devices connect, None without a link; `audio` where their
    speech goes,
    `reports` where their telemetry and events do."""

    registry: Registry
    links: LinkRegistry
    tasks: DeviceTasks
    meter: LinkMeter
    socket: socket.socket | None
    audio: DeviceAudio
    reports: DeviceReports


@dataclass(frozen=True, slots=True)
class Apps:
    """The parts of the apps room."""

    change_log: ChangeLog
    compile: Compile
    trial_pool: TrialPool
    try_image: Try
    deployer: Deployer
    lifecycle: Lifecycle
    deferrals: Deferrals
    upgrader: Upgrader
    direct_io: DirectIo
    undo: Undo
    catalogue: Catalogue
    source_log: SourceLog
    reconciler: Reconciler
    timed_runs: TimedRuns
    gate: Gate
    explorer: Explorer


def local_zone(settings: Settings) -> tzinfo | None:
    """The zone whose time programs are told; None where this machine does not know it."""
    return find_zone(settings.agent.timezone or machine_zone())


def _all_devices(_device_id: str) -> bool:
    return True


def build_apps(
    settings: Settings,
    devices: Registry,
    change_log: ChangeLog,
    gate: Gate,
    publish: Callable[[LiveEvent], None],
    *,
    looks_after: Callable[[str], bool] = _all_devices,
) -> Apps:
    installer = Installer(change_log)
    devices.explain_silence = SilenceExplainer(change_log).explain
    trial_pool = TrialPool(load_board(TRIAL_BOARD), zone=local_zone(settings))
    cache = BuildCache(settings.cache)
    compile_source = cached_compiler(cache)
    trying = partial(try_image, trial_pool=trial_pool, cache=cache)
    deployer = Deployer(
        devices=devices,
        change_log=change_log,
        installer=installer,
        compile=compile_source,
        try_image=trying,
    )
    lifecycle = Lifecycle(devices=devices, change_log=change_log, installer=installer)
    direct_io = DirectIo(devices=devices, change_log=change_log, installer=installer)
    deferrals = Deferrals(devices=devices, change_log=change_log, deployer=deployer, lifecycle=lifecycle, gate=gate)
    reconciler = Reconciler(
        devices=devices,
        change_log=change_log,
        installer=installer,
        report=_log_step,
        alarm=lambda name, text: publish(Alarm(name, now_ms(), "lost_again", text)),
        looks_after=looks_after,
    )
    reconciler.do_deferred = deferrals.do_waiting
    timed_runs = TimedRuns(devices=devices, change_log=change_log, installer=installer, looks_after=looks_after)
    reconciler.listed = timed_runs.listed
    return Apps(
        change_log=change_log,
        compile=compile_source,
        trial_pool=trial_pool,
        try_image=trying,
        deployer=deployer,
        lifecycle=lifecycle,
        deferrals=deferrals,
        upgrader=Upgrader(devices=devices, change_log=change_log, deployer=deployer),
        direct_io=direct_io,
        undo=Undo(
            devices=devices,
            change_log=change_log,
            deployer=deployer,
            lifecycle=lifecycle,
            direct_io=direct_io,
            gate=gate,
        ),
        catalogue=Catalogue(devices=devices, change_log=change_log, runs_of=timed_runs.report),
        source_log=SourceLog(change_log),
        reconciler=reconciler,
        timed_runs=timed_runs,
        gate=gate,
        explorer=Explorer(devices=devices, change_log=change_log, installer=installer, compile=compile_source),
    )


def change_publisher(
    devices: Registry, publish: Callable[[LiveEvent], None], now_ms: Callable[[], int]
) -> Callable[[Change], None]:
    """A function for ChangeLog's `completed`: it publishes deployed and removed apps as events."""

    def completed(change: Change) -> None:
        match change.forward:
            case PutApp(name=name) | StartApp(name=name):
                publish(AppDeployed(_name(devices, change.device_id), now_ms(), name))
            case RemoveApp(name=name):
                publish(AppEnded(_name(devices, change.device_id), now_ms(), name, "removed"))
            case StopApp(name=name):
                publish(AppEnded(_name(devices, change.device_id), now_ms(), name, "stopped"))

    return completed


def change_recorder(
    devices: Registry, people: People, record: Record
) -> Callable[[Change, ChangeState, str | None], None]:
    """A function for ChangeLog's `settled`: each change that ended is a line of the security log."""

    def settled(change: Change, state: ChangeState, person_id: str | None) -> None:
        person = None if person_id is None else people.get(person_id)
        by = person_id if person is None else person.name
        record(change_event(change, state, _name(devices, change.device_id), by, approval_now()))

    return settled


def _name(devices: Registry, device_id: str) -> str:
    try:
        return devices.get(device_id).name
    except UnknownName:  # the device was removed during the change
        return device_id


def late_notes(outbox: Outbox, devices: Registry, publish: Callable[[LiveEvent], None]) -> Tell:
    """Puts a later look's note into the chat that asked for the program; an alarm where it takes something back."""

    async def tell(check: LateCheck, note: str, agrees: bool) -> None:
        if check.place is not None:
            place = check.place
            await outbox.push(place.channel, place.chat_id, note, person=place.person_id)
        if not agrees:
            publish(Alarm(devices.get(check.device_id).name, now_ms(), "proof_taken_back", note))
        _log.info("%s", note)

    return tell


def deferred_notes(outbox: Outbox, publish: Callable[[LiveEvent], None]) -> TellDeferred:
    """Puts the outcome of a deferred act into the chat that ordered it; an alarm where it is not as ordered."""

    async def tell(act: DeferredAct, device: Device, note: str, is_well: bool) -> None:
        if act.place is not None:
            await outbox.push(act.place.channel, act.place.chat_id, note, person=act.place.person_id)
        if not is_well:
            publish(Alarm(device.name, now_ms(), "deferred_failed", note))
        _log.info("%s", note)

    return tell


async def warm_compiler(settings: Settings) -> None:
    """Build the C library that every program needs, before the first compile. ConfigError as `build_glue`."""
    await build_glue(find_toolchain(), settings.cache)


def _log_step(step: Step) -> None:
    _log.info("%s: %s", step.stage, step.text)


async def open_devices(base: Base, stack: AsyncExitStack) -> Devices:
    """The registry is open as long as `stack`. Raises ConfigError when the link's port is taken."""
    link = base.settings.link
    listener = None
    if link is not None:
        hint = f"microclaw up --link {link.host}:0, or --link off"
        listener = stack.enter_context(tcp_listener(link.host, link.port, next_step=hint))
    tasks, audio, reports = DeviceTasks(LinkTaskTable(base.database), base.fleet), DeviceAudio(), DeviceReports()

    def device_link(link_id: str) -> DeviceLink:
        return links.link(link_id)

    registry = Registry(
        bus=base.bus,
        store=DeviceTable(base.database),
        open_transport=partial(
            open_transport,
            lock_folder=base.settings.cache / "locks",
            links=device_link,
            zone=local_zone(base.settings),
        ),
        load_board=load_board,
        mint_id=lambda: f"d-{secrets.token_hex(4)}",
        now_ms=now_ms,
        record=base.audit.record,
        machine=ONLY_MACHINE if base.cluster is None else base.cluster.machine(lambda: remote),
    )
    remote = None if base.cluster is None else base.cluster.remote_devices(registry)
    parts = LinkParts(
        links=LinkTable(base.database, now_ms=now_ms, random_bytes=secrets.token_bytes),
        events=LinkEventTable(base.database),
        clock=SystemClock(),
        new_id=new_message_id,
        publish=base.publish,
        owner_of=registry.owner_of,
        tasks=tasks,
        audio=audio,
        reports=reports,
        holding=None if base.cluster is None else base.cluster.holding,
        remote=remote,
    )
    links = await LinkRegistry.open(parts)
    await stack.enter_async_context(registry)
    return Devices(registry, links, tasks, LinkMeter(), listener, audio, reports)


async def open_link_server(
    base: Base, devices: Devices, stack: AsyncExitStack, group: asyncio.TaskGroup, supervised: SupervisedTasks
) -> LinkServer | None:
    """The server that devices connect to, announced on the LAN; None without a link."""
    if devices.socket is None or base.settings.link is None:
        return None
    opened = LinkServer.opened(
        devices.links,
        devices.registry,
        base.database,
        folder=base.settings.identity,
        listening=devices.socket,
        plain=base.settings.link.plain,
        limits=LinkLimits(),
        meter=devices.meter,
        now_ms=now_ms,
        publish=base.publish,
        supervised=supervised,
        record=base.audit.record,
    )
    server = await stack.enter_async_context(opened)
    host, port = devices.socket.getsockname()[:2]
    names = await asyncio.to_thread(lan_names)
    fingerprint = server.identity.authority.fingerprint
    announcement = announcement_of(host, port, names, ca_sha256=fingerprint, version=__version__)
    if announcement is not None:  # only where the LAN can reach it
        await stack.enter_async_context(announced(announcement, group))
    return server
