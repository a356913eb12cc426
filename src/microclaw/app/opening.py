"""Opens what every room of a host needs: store, sockets, people, devices, programs. It answers nobody yet."""

from __future__ import annotations

import asyncio
import os
import secrets
import socket
from collections.abc import Sequence
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

from msgspec import Struct

from microclaw.agent.turn.setup import build_inbox
from microclaw.app.devices import build_apps, open_authority, open_devices, open_link_server
from microclaw.clock import now_ms
from microclaw.errors import ConfigError, StoreMissing
from microclaw.host.audit.log import AuditLog
from microclaw.host.auth.admission import open_admission
from microclaw.host.auth.approvals import approval_event
from microclaw.host.auth.authority import AUTHORITY_FILE, Authority
from microclaw.host.builder.builder import HostBuilder
from microclaw.host.config.settings import Settings
from microclaw.host.config.show import secret_texts
from microclaw.host.egress.allowlist import FILE_NAME, allowlist_problem
from microclaw.host.egress.destinations import Egress
from microclaw.host.egress.masking import SecretMask
from microclaw.host.egress.proxy import EgressProxy
from microclaw.host.egress.secret_values import SecretValues
from microclaw.host.store.database import Database
from microclaw.host.store.session_files import move_files
from microclaw.interfaces.api.event_routes import LiveFeed
from microclaw.interfaces.api.loop_watch import LoopWatch
from microclaw.interfaces.api.people_plane import ingress_socket, open_people_plane, people_socket
from microclaw.interfaces.api.server import PeoplePlane, unix_listener
from microclaw.supervision import SupervisedTasks

if TYPE_CHECKING:
    from microclaw.app.cluster import HostCluster


class HostOptions(Struct, frozen=True, kw_only=True):
    """What the caller of a host chooses, besides its settings.

    `parts` are offered to the rooms. `mask` is that of the log, which the host tells the secrets that it reads later.
    """

    rooms: Sequence[str]
    parts: Sequence[object]
    mask: SecretMask | None
    new_store: bool


class OpenHost(Struct, frozen=True, kw_only=True):
    """A host that is open and answers nobody yet. `control` is its socket for this machine's owner."""

    host: HostBuilder
    cluster: HostCluster | None
    authority: Authority | None
    control: socket.socket
    plane: PeoplePlane | None
    ingress: socket.socket | None


async def open_host(settings: Settings, options: HostOptions, stack: AsyncExitStack) -> OpenHost:
    """Open the parts that rooms need, as long as `stack`.

    Raises StoreError if another host owns this home, StoreMissing if there is no store, ConfigError if a port is taken.
    """
    database, cluster = await _open_store(settings, stack, new_store=options.new_store)
    control = stack.enter_context(unix_listener(settings.control_socket))
    api_socket = people_socket(settings, stack)
    ingress = ingress_socket(settings, stack)
    host = await _open_builder(settings, options, database, cluster, stack)
    devices = await open_devices(host, cluster, stack)
    group = await stack.enter_async_context(asyncio.TaskGroup())
    tasks = SupervisedTasks(group, now_ms=now_ms)
    host.offer(group)
    host.offer(tasks)
    if cluster is not None:
        cluster.follow(devices.registry, devices.links, tasks)
    authority = await open_authority(host, cluster)
    if authority is not None:
        host.hooks.problems.append(lambda: filter(None, [authority.problem]))
        link = await open_link_server(host, devices, authority, stack)
        if link is not None and cluster is not None:
            cluster.share_codes(link.identity)
    plane = None
    if api_socket is not None:
        plane = await open_people_plane(settings.host, api_socket, authority, tasks)
    inbox = build_inbox(host)
    host.offer(inbox)
    build_apps(host, cluster, inbox.outbox)
    return OpenHost(
        host=host,
        cluster=cluster,
        authority=authority,
        control=control,
        plane=plane,
        ingress=ingress,
    )


async def _open_builder(
    settings: Settings,
    options: HostOptions,
    database: Database,
    cluster: HostCluster | None,
    stack: AsyncExitStack,
) -> HostBuilder:
    """Open the security log, the people and the feed of live events, and return the builder with them."""
    loop_watch = LoopWatch()
    stack.enter_context(loop_watch.watching())
    mask = options.mask or SecretMask(await asyncio.to_thread(secret_texts, settings))
    audit = await stack.enter_async_context(AuditLog.open(settings.home, mask=mask.masked))
    admission = await open_admission(settings, database, audit.record)
    live = LiveFeed(secrets.token_hex(4), origin="" if cluster is None else cluster.origin)
    if cluster is not None:
        await cluster.share(live, stack)
    admission.approvals.listen(lambda news: live.put(approval_event(news, admission.people, now_ms())))
    host = HostBuilder(
        settings=settings,
        database=database,
        index=database,
        admission=admission,
        audit=audit,
        publish=live.put,
        rooms=options.rooms,
    )
    if cluster is not None:
        cluster.join_builder(host)
    for part in options.parts:
        host.offer(part)
    egress = host.find(Egress) or Egress()
    secret_values = SecretValues(settings.home, os.environ, mask=mask)
    await asyncio.to_thread(secret_values.names)
    proxy = EgressProxy(settings.home, egress, secret_values, record=audit.record)
    for part in (loop_watch, live, egress, proxy):
        host.offer(part)
    allowlist = settings.home / FILE_NAME
    host.hooks.problems.append(lambda: filter(None, [audit.problem, allowlist_problem(allowlist)]))
    return host


async def _open_store(
    settings: Settings, stack: AsyncExitStack, *, new_store: bool
) -> tuple[Database, HostCluster | None]:
    """Open the host's own store, or the store that it shares with other hosts, with its part of the cluster."""
    url = settings.cluster.database
    if url is not None:
        # Only a host of a cluster needs it.
        from microclaw.app.cluster import open_cluster

        cluster = await open_cluster(settings, url, stack)
        return cluster.database, cluster
    await asyncio.to_thread(_check_store, settings, new_store=new_store)
    database = await stack.enter_async_context(Database.open(settings.database))
    await move_files(settings.sessions, database)
    return database, None


def _check_store(settings: Settings, *, new_store: bool) -> None:
    """Raise an error if an empty store would be made by accident: devices may trust this host's authority."""
    store = settings.database
    authority = settings.identity / AUTHORITY_FILE
    if new_store and store.exists():
        raise ConfigError(f"there is a store already: {store}", next_step="leave --new-store out")
    if not new_store and authority.exists() and not store.exists():
        raise StoreMissing(
            f"the store {store} is missing, and paired devices trust the authority in {authority}",
            next_step="microclaw backup restore FILE --replace; or begin with an empty one, and pair every device "
            "again: microclaw up --new-store",
        )
