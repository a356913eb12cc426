"""Builds the device side: registry, links, the link server, programs. Opens no device."""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Callable
from contextlib import AsyncExitStack
from functools import partial
from typing import TYPE_CHECKING

from msgspec import Struct

from microclaw import __version__
from microclaw.agent.turn.outbox import Outbox
from microclaw.clock import now_ms
from microclaw.devices.link.device_facts import LastValues
from microclaw.devices.link.limits import LinkLimits
from microclaw.devices.link.link_parts import LinkParts
from microclaw.devices.link.links import LinkRegistry
from microclaw.devices.link.server import LinkServer
from microclaw.devices.link.tasks import DeviceTasks
from microclaw.devices.registry.port_machine import ONLY_MACHINE
from microclaw.devices.registry.registry import Registry
from microclaw.devices.transports.discovery import SERVICE, announce, announcement_of, link_facts
from microclaw.devices.transports.open import open_transport
from microclaw.errors import UnknownName
from microclaw.events import Alarm, AppDeployed, AppEnded
from microclaw.host.auth.approved_act import current_approval_id
from microclaw.host.auth.authority import RENEWAL_CHECK_S, Authority
from microclaw.host.auth.certificates import lan_names
from microclaw.host.builder.builder import HostBuilder
from microclaw.host.egress.destinations import Egress
from microclaw.host.egress.program_fetch import ProgramFetcher
from microclaw.host.store.apps import ChangeState
from microclaw.host.store.devices import DeviceTable
from microclaw.host.store.identity import IdentityTable
from microclaw.host.store.link_events import LinkEventTable, LinkTaskTable
from microclaw.host.store.links import LinkTable
from microclaw.interfaces.api.server import tcp_listener
from microclaw.programs.changes.allowed_network import allowed_network
from microclaw.programs.changes.change_log import (
    Change,
    ChangeLog,
    OnEnd,
    PutApp,
    RemoveApp,
    StartApp,
    StopApp,
    change_event,
)
from microclaw.programs.changes.deferring import Tell
from microclaw.programs.changes.deployment import Place
from microclaw.programs.changes.services import AppServices, local_zone
from microclaw.programs.wasm.pin_program import build_pin_program
from microclaw.supervision import SupervisedTasks
from microclaw.virtual.link_client.state import SystemClock, new_message_id

if TYPE_CHECKING:
    from microclaw.app.cluster import HostCluster

_log = logging.getLogger(__name__)


class DeviceServices(Struct, frozen=True):
    """The known devices and their links."""

    registry: Registry
    links: LinkRegistry


async def open_devices(host: HostBuilder, cluster: HostCluster | None, stack: AsyncExitStack) -> DeviceServices:
    """Open the registry, as long as `stack`."""
    registry: Registry
    links: LinkRegistry
    remote = None
    holding = None
    machine = ONLY_MACHINE
    if cluster is not None:
        remote, machine = cluster.remote_devices(lambda endpoint: registry.owner_of(endpoint))
        holding = cluster.holding
    registry = Registry(
        store=DeviceTable(host.database),
        open_transport=partial(
            open_transport,
            lock_folder=host.settings.cache / "locks",
            links=lambda link_id: links.link(link_id),
            zone=local_zone(host.settings),
            build_pin_program=build_pin_program,
        ),
        record=host.audit.record,
        machine=machine,
    )
    parts = LinkParts(
        links=LinkTable(host.database, now_ms=now_ms, random_bytes=secrets.token_bytes),
        events=LinkEventTable(host.database),
        clock=SystemClock(),
        new_id=new_message_id,
        publish=host.publish,
        owner_of=registry.owner_of,
        tasks=DeviceTasks(LinkTaskTable(host.database), host.fleet),
        holding=holding,
        remote=remote,
    )
    links = await LinkRegistry.open(parts)
    await stack.enter_async_context(registry)
    for part in (registry, links, LastValues()):
        host.offer(part)
    return DeviceServices(registry, links)


async def open_authority(host: HostBuilder, cluster: HostCluster | None) -> Authority | None:
    """Open the authority of this host's certificates, or return None if nobody asks for one.

    Raises StoreError if it is not whole.
    """
    settings = host.settings
    is_for_people = settings.http_port is not None and settings.host.http_tls == "own"
    if settings.link is None and not is_for_people and cluster is None:
        return None
    extra_names: tuple[str, ...] = ()
    if is_for_people:
        # 127.0.0.2 is no address of an interface.
        extra_names = (settings.host.http_host, *settings.host.http_names)
    authority = await Authority.open(
        settings.identity,
        IdentityTable(host.database),
        partial(lan_names, *extra_names),
        now_ms=now_ms,
        record=host.audit.record,
    )
    tasks = host.need(SupervisedTasks)
    tasks.start("renew the host's certificate", authority.renew_if_due, every_s=RENEWAL_CHECK_S)
    return authority


async def open_link_server(
    host: HostBuilder, devices: DeviceServices, authority: Authority, stack: AsyncExitStack
) -> LinkServer | None:
    """Open the server that devices connect to, announced on the LAN. Return None if the settings have no link.

    Raises ConfigError if the port is taken.
    """
    link = host.settings.link
    if link is None:
        return None
    hint = f"microclaw up --link {link.host}:0, or --link off"
    listening = stack.enter_context(tcp_listener(link.host, link.port, next_step=hint))
    server = LinkServer(
        devices.links,
        devices.registry,
        host.database,
        authority=authority,
        listening=listening,
        limits=LinkLimits(),
        now_ms=now_ms,
        record=host.audit.record,
    )
    await stack.enter_async_context(server.serving())
    address, port = listening.getsockname()[:2]
    names = await asyncio.to_thread(lan_names)
    announcement = announcement_of(SERVICE, address, port, names, link_facts(authority.fingerprint, __version__))
    # None if the LAN cannot reach it.
    if announcement is not None:
        await stack.enter_async_context(announce(announcement, host.need(asyncio.TaskGroup)))
    host.offer(server)
    return server


def build_apps(host: HostBuilder, cluster: HostCluster | None, outbox: Outbox) -> AppServices:
    """Build the programs on devices."""
    registry = host.need(Registry)
    change_log = ChangeLog(host.database, fleet=host.fleet)
    change_log.report_to(_news_of_changes(host, registry))
    looks_after: Callable[[str], bool] = _looks_after_all
    if cluster is not None:
        looks_after = cluster.looks_after(registry)
    apps = AppServices(
        host.settings,
        registry,
        change_log,
        host.admission.gate,
        publish=host.publish,
        tell=_notes_to_chats(host, outbox),
        looks_after=looks_after,
    )
    host.offer(apps)
    link_parts = host.need(LinkRegistry).parts
    link_parts.reports.in_source = apps.source_log.in_source
    egress = host.need(Egress)
    link_parts.fetches.fetcher = ProgramFetcher(egress, proxy=host.settings.proxy, record=host.audit.record)
    link_parts.fetches.network_of = partial(allowed_network, change_log)
    return apps


def _looks_after_all(_device_id: str) -> bool:
    return True


def _news_of_changes(host: HostBuilder, devices: Registry) -> OnEnd:
    """Return a function that writes each ended change to the security log, and sends live events of programs."""
    people = host.admission.people

    def on_end(change: Change, state: ChangeState, person_id: str | None) -> None:
        device = change.device_id
        try:
            device = devices.get(change.device_id).name
        except UnknownName:
            _log.debug("%s was removed during the change", device)
        by = person_id
        if person_id is not None:
            person = people.get(person_id)
            if person is not None:
                by = person.name
        host.audit.record(change_event(change, state, device, by, current_approval_id()))
        match change.forward:
            case _ if state != "done":
                return
            case PutApp(name=name) | StartApp(name=name):
                host.publish(AppDeployed(device, now_ms(), name))
            case RemoveApp(name=name):
                host.publish(AppEnded(device, now_ms(), name, "removed"))
            case StopApp(name=name):
                host.publish(AppEnded(device, now_ms(), name, "stopped"))

    return on_end


def _notes_to_chats(host: HostBuilder, outbox: Outbox) -> Tell:
    """Return a function that puts a note about a device into the chat that asked for the act."""

    async def tell(place: Place | None, device: str, note: str, alarm: str | None) -> None:
        if place is not None:
            await outbox.push(place.channel, place.chat_id, note, person=place.person_id)
        if alarm is not None:
            host.publish(Alarm(device, now_ms(), alarm, note))
        _log.info("%s", note)

    return tell
