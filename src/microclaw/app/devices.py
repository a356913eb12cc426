"""Builds the device side: registry, links, the link server, updates, telemetry. Opens no device."""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from functools import partial
from typing import TYPE_CHECKING

from msgspec import Struct

from microclaw import __version__
from microclaw.agent.turn.outbox import Outbox
from microclaw.clock import now_ms
from microclaw.devices.link.limits import LinkLimits
from microclaw.devices.link.link_parts import LinkParts
from microclaw.devices.link.links import LinkRegistry
from microclaw.devices.link.server import LinkServer
from microclaw.devices.link.tasks import DeviceTasks
from microclaw.devices.ota.offers import Offers
from microclaw.devices.ota.payloads import OfferedPayloads, Payloads
from microclaw.devices.ota.publisher import Publisher
from microclaw.devices.ota.rollouts import Rollouts
from microclaw.devices.registry.port_machine import ONLY_MACHINE
from microclaw.devices.registry.registry import Registry
from microclaw.devices.telemetry.history import TelemetryHistory
from microclaw.devices.telemetry.reported import ReportedEvents
from microclaw.devices.transports.discovery import SERVICE, announce, announcement_of, link_facts
from microclaw.devices.transports.open import open_transport
from microclaw.errors import UnknownName
from microclaw.events import Alarm, AppDeployed, AppEnded, LiveEvent
from microclaw.host.audit.log import AuditLog
from microclaw.host.auth.admission import Admission
from microclaw.host.auth.approved_act import current_approval_id
from microclaw.host.auth.authority import RENEWAL_CHECK_S, Authority
from microclaw.host.auth.certificates import lan_names
from microclaw.host.cluster.live_hosts import ALONE, Fleet
from microclaw.host.config.settings import Settings
from microclaw.host.store.apps import ChangeState
from microclaw.host.store.crashes import CrashTable
from microclaw.host.store.database import Database
from microclaw.host.store.devices import DeviceTable
from microclaw.host.store.downsampling import Downsampling
from microclaw.host.store.firmware import FirmwareTable
from microclaw.host.store.identity import IdentityTable
from microclaw.host.store.link_events import LinkEventTable, LinkTaskTable
from microclaw.host.store.links import LinkTable
from microclaw.host.store.rollouts import RolloutTable
from microclaw.host.store.telemetry import TelemetryTable
from microclaw.interfaces.api.server import tcp_listener
from microclaw.programs.changes.change_log import Change, OnEnd, PutApp, RemoveApp, StartApp, StopApp, change_event
from microclaw.programs.changes.deferring import Tell
from microclaw.programs.changes.deployment import Place
from microclaw.programs.changes.services import local_zone
from microclaw.programs.changes.source_log import SourceLog
from microclaw.programs.wasm.pin_program import build_pin_program
from microclaw.supervision import SupervisedTasks
from microclaw.virtual.link_client.state import SystemClock, new_message_id

if TYPE_CHECKING:
    from microclaw.app.cluster import HostCluster

_log = logging.getLogger(__name__)


class Base(Struct, frozen=True):
    """The parts that every part of the host works with."""

    settings: Settings
    database: Database
    admission: Admission
    publish: Callable[[LiveEvent], None]
    audit: AuditLog
    cluster: HostCluster | None = None

    @property
    def index(self) -> Database:
        """Has what is made of this host's own files: in a cluster it is no part of the shared store."""
        return self.database if self.cluster is None else self.cluster.index

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
        if cluster is None:
            return work
        return lambda: cluster.duties.hold(name, lambda _fence: work())

    def looks_after(self, registry: Registry) -> Callable[[str], bool]:
        """The devices, by id, that this host keeps as they should be."""
        if self.cluster is None:
            return lambda _device_id: True
        return self.cluster.looks_after(registry)


class DeviceServices(Struct, frozen=True):
    """The known devices and their links."""

    registry: Registry
    links: LinkRegistry


def news_of_changes(base: Base, devices: Registry) -> OnEnd:
    """Each change that ended is a line of the security log; deployed and removed apps are live events."""
    people = base.admission.people

    def on_end(change: Change, state: ChangeState, person_id: str | None) -> None:
        try:
            device = devices.get(change.device_id).name
        except UnknownName:  # the device was removed during the change
            device = change.device_id
        if person_id is None:
            person = None
        else:
            person = people.get(person_id)
        by = person_id if person is None else person.name
        base.audit.record(change_event(change, state, device, by, current_approval_id()))
        match change.forward:
            case _ if state != "done":
                return
            case PutApp(name=name) | StartApp(name=name):
                base.publish(AppDeployed(device, now_ms(), name))
            case RemoveApp(name=name):
                base.publish(AppEnded(device, now_ms(), name, "removed"))
            case StopApp(name=name):
                base.publish(AppEnded(device, now_ms(), name, "stopped"))

    return on_end


def notes_to_chats(outbox: Outbox, publish: Callable[[LiveEvent], None]) -> Tell:
    """Puts a note about a device into the chat that asked for the act."""

    async def tell(place: Place | None, device: str, note: str, alarm: str | None) -> None:
        if place is not None:
            await outbox.push(place.channel, place.chat_id, note, person=place.person_id)
        if alarm is not None:
            publish(Alarm(device, now_ms(), alarm, note))
        _log.info("%s", note)

    return tell


async def open_devices(base: Base, stack: AsyncExitStack) -> DeviceServices:
    """The registry is open as long as `stack`."""
    registry: Registry
    links: LinkRegistry
    remote = None
    machine = ONLY_MACHINE
    if base.cluster is not None:
        remote, machine = base.cluster.remote_devices(lambda endpoint: registry.owner_of(endpoint))
    registry = Registry(
        store=DeviceTable(base.database),
        open_transport=partial(
            open_transport,
            lock_folder=base.settings.cache / "locks",
            links=lambda link_id: links.link(link_id),
            zone=local_zone(base.settings),
            build_pin_program=build_pin_program,
        ),
        record=base.audit.record,
        machine=machine,
    )
    parts = LinkParts(
        links=LinkTable(base.database, now_ms=now_ms, random_bytes=secrets.token_bytes),
        events=LinkEventTable(base.database),
        clock=SystemClock(),
        new_id=new_message_id,
        publish=base.publish,
        owner_of=registry.owner_of,
        tasks=DeviceTasks(LinkTaskTable(base.database), base.fleet),
        holding=None if base.cluster is None else base.cluster.holding,
        remote=remote,
    )
    links = await LinkRegistry.open(parts)
    await stack.enter_async_context(registry)
    return DeviceServices(registry, links)


async def open_authority(base: Base, tasks: SupervisedTasks) -> Authority | None:
    """Open the authority of this host's certificates; None where nobody asks. StoreError: it is not whole."""
    host = base.settings.host
    is_for_people = base.settings.http_port is not None and host.http_tls == "own"
    if base.settings.link is None and not is_for_people and base.cluster is None:
        return None
    extra = (host.http_host, *host.http_names) if is_for_people else ()  # 127.0.0.2 is no address of an interface
    table = IdentityTable(base.database)
    look = partial(lan_names, *extra)
    authority = await Authority.open(base.settings.identity, table, look, now_ms=now_ms, record=base.audit.record)
    tasks.start("renew the host's certificate", authority.renew_if_due, every_s=RENEWAL_CHECK_S)
    return authority


async def open_link_server(
    base: Base, devices: DeviceServices, authority: Authority | None, stack: AsyncExitStack, group: asyncio.TaskGroup
) -> LinkServer | None:
    """The server that devices connect to, announced on the LAN; None without a link. ConfigError: the port is taken."""
    link = base.settings.link
    if link is None or authority is None:
        return None
    hint = f"microclaw up --link {link.host}:0, or --link off"
    listening = stack.enter_context(tcp_listener(link.host, link.port, next_step=hint))
    server = LinkServer(
        devices.links,
        devices.registry,
        base.database,
        authority=authority,
        listening=listening,
        limits=LinkLimits(),
        now_ms=now_ms,
        record=base.audit.record,
    )
    await stack.enter_async_context(server.serving())
    if base.cluster is not None:
        base.cluster.share_codes(server.identity)
    host, port = listening.getsockname()[:2]
    names = await asyncio.to_thread(lan_names)
    announcement = announcement_of(SERVICE, host, port, names, link_facts(authority.fingerprint, __version__))
    if announcement is not None:  # only where the LAN can reach it
        await stack.enter_async_context(announce(announcement, group))
    return server


async def open_rollouts(base: Base, devices: DeviceServices) -> tuple[Publisher, Rollouts]:
    """Updates of devices' firmware (docs/updates.md): devices get theirs from then on."""
    shared = None if base.cluster is None else base.cluster.files
    table = FirmwareTable(base.database)
    payloads = Payloads(base.settings.home / "firmware", shared)
    publisher = Publisher(table, payloads, now_ms=now_ms, record=base.audit.record)
    await publisher.open()
    offers = Offers(table, devices.registry, now_ms=now_ms, record=base.audit.record)
    rollouts = Rollouts(
        RolloutTable(base.database),
        offers,
        now_ms=now_ms,
        crashes=CrashTable(base.database).new_since,
        publish=base.publish,
    )
    updates = devices.links.parts.updates
    updates.source = OfferedPayloads(table, payloads)
    updates.changed = rollouts.note_offer
    offers.heard = rollouts.note_offer
    table.follow(rollouts.look_at_offers)
    await rollouts.refresh()
    return publisher, rollouts


def open_telemetry(
    base: Base, devices: DeviceServices, source_log: SourceLog
) -> tuple[TelemetryHistory, ReportedEvents]:
    """Keep devices' measurements and faults from now on; `flush` writes them."""
    history = TelemetryHistory(
        TelemetryTable(base.database),
        Downsampling(base.database),
        devices.registry,
        now_ms=now_ms,
        monotonic_s=time.monotonic,
    )
    reported = ReportedEvents(
        base.database, devices.registry, devices.links, history, in_source=source_log.in_source, publish=base.publish
    )
    reports = devices.links.parts.reports
    reports.telemetry = history.add_message
    reports.impossible = history.count_impossible
    reports.event = reported.news
    return history, reported
