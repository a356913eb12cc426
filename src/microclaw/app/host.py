"""Builds and joins every part of the host and takes them down again in order. It holds no logic of its own."""

from __future__ import annotations

import asyncio
import logging
import secrets
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial

from microclaw.addresses import is_loopback
from microclaw.agent.attempts import latest_attempts
from microclaw.agent.background.device_tasks import AgentTasks
from microclaw.agent.conversation import Conversations
from microclaw.api.apis import control_app, host_api, people_app
from microclaw.api.event_routes import LiveFeed
from microclaw.api.jobs import Jobs
from microclaw.api.metrics import MetricSources
from microclaw.api.parts import HostParts
from microclaw.api.server import Door, serving, tcp_listener, unix_listener
from microclaw.api.status import HostStatus
from microclaw.app.agent import build_conversations, build_inbox, build_model, outward_tools
from microclaw.app.channels import Channels, open_channels
from microclaw.app.devices import Apps, announce, build_apps, device_listener, device_plane, link_parts, warm_compiler
from microclaw.app.schedules import build_later, running_later
from microclaw.apps.changes import ChangeLog, change_publisher
from microclaw.auth.admission import open_admission
from microclaw.auth.egress import Egress
from microclaw.boards import load_board
from microclaw.bus import Bus
from microclaw.clock import now_ms
from microclaw.config import Settings
from microclaw.devices.registry import Registry
from microclaw.errors import ConfigError
from microclaw.knowledge.knowledge_base import open_knowledge
from microclaw.link_server.device_link import DeviceLink
from microclaw.link_server.links import LinkRegistry
from microclaw.link_server.meter import LinkMeter
from microclaw.link_server.tasks import DeviceTasks
from microclaw.mcp.client.servers import McpServers
from microclaw.models.protocol import Model
from microclaw.store.apps import AppTable
from microclaw.store.database import Database
from microclaw.store.devices import DeviceTable
from microclaw.store.journal import Journal
from microclaw.store.link_tasks import LinkTaskTable
from microclaw.tools.build import build_toolbox
from microclaw.transports.open import open_transport
from microclaw.virtual_boards.host_boards import VirtualBoards

TRIAL_BOARD = "virtual"
KEEPER_PAUSE_S = 5.0
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Host:
    """A running host. `http` is the people plane's address, `link` the device plane's, None without one; `boards` are
    its virtual ones, none until they are started.
    """

    settings: Settings
    devices: Registry
    model: Model
    http: str | None
    link: str | None
    channels: Channels
    boards: VirtualBoards


@asynccontextmanager
async def running_host(
    settings: Settings, *, boards_ready: asyncio.Event | None = None, egress: Egress | None = None
) -> AsyncIterator[Host]:
    """Inside, the host answers on its control socket; leaving ends what runs in order and loses nothing.

    Turns that the last run left unfinished go on once `boards_ready` is set, where one is given.
    `egress` replaces the rule that only public addresses are fetched, for tests with servers of their own.

    Raises StoreError when another host owns this home, ConfigError when a port is taken.
    """
    async with AsyncExitStack() as stack:
        database = await stack.enter_async_context(Database.open(settings.database))
        model, usage = build_model(settings, database)
        control = stack.enter_context(unix_listener(settings.control_socket))
        people, http = _people_listener(settings, stack)
        admission = await open_admission(settings, database)
        bus = await stack.enter_async_context(Bus())
        listener = device_listener(settings, stack)
        tasks = DeviceTasks(LinkTaskTable(database))
        devices = _registry(settings, bus, database, lambda link_id: links.link(link_id))
        links = await LinkRegistry.open(link_parts(database, devices, bus, tasks))
        await stack.enter_async_context(devices)
        group = await stack.enter_async_context(asyncio.TaskGroup())
        live = LiveFeed(secrets.token_hex(4))
        link, meter = None, LinkMeter()
        if listener is not None:
            plane = device_plane(settings, links, devices, database, listener, meter, bus)
            link = await stack.enter_async_context(plane)
            await announce(listener, link, stack, group)
        completed = change_publisher(devices, bus.publish, now_ms)
        apps = build_apps(settings, devices, ChangeLog(AppTable(database), completed=completed), admission.gate)
        inbox = build_inbox(settings, database)
        knowledge = open_knowledge(settings, database)
        servers = await stack.enter_async_context(McpServers(settings.mcp_servers, proxy=settings.proxy))
        tools = build_toolbox(
            devices=devices,
            deployer=apps.deployer,
            catalogue=apps.catalogue,
            direct_io=apps.direct_io,
            undo=apps.undo,
            gate=apps.gate,
            notifier=link,
            knowledge=knowledge,
            more=outward_tools(settings, devices, apps, admission, inbox.outbox, egress),
            coming=servers.tools,
        )
        later = build_later(settings, database, devices, admission, inbox, tools, model, knowledge)
        agent = build_conversations(settings, inbox, model, devices, later.tools, database, admission, knowledge)
        await stack.enter_async_context(agent)
        await stack.enter_async_context(tasks.serving(AgentTasks(agent), links.link))
        channels = await stack.enter_async_context(open_channels(settings, inbox, admission, group))
        jobs = Jobs(group, settings.limits)
        boards = VirtualBoards(devices, apps.reconciler.check)
        status = HostStatus(
            settings=settings,
            devices=devices,
            change_log=apps.change_log,
            reconciler=apps.reconciler,
            model=model,
            http=http,
            link=link,
            channels=channels,
            mcp_servers=servers.states,
            schedules=later.parts.scheduling.book,
            approvals=admission.approvals,
            people=admission.people,
            usage=usage,
            boards=boards.standing,
        )
        parts = HostParts(
            settings=settings,
            conversations=agent,
            devices=devices,
            deployer=apps.deployer,
            direct_io=apps.direct_io,
            undo=apps.undo,
            catalogue=apps.catalogue,
            compile=apps.compile,
            gate=admission.gate,
            approvals=admission.approvals,
            people=admission.people,
            tokens=admission.tokens,
            toolbox=later.tools,
            jobs=jobs,
            metrics=MetricSources(
                devices=lambda: len(devices.list()),
                kept=apps.reconciler.status,
                listeners=lambda: live.listeners,
                link=meter if link is not None else None,
                depths=links.depths,
            ),
            live=live,
            link=link,
            attempts=partial(latest_attempts, Journal(database, now_ms)),
            status=status.read,
            knowledge=knowledge,
            usage=usage,
            schedules=later.parts,
        )
        api = host_api(parts)
        doors = [Door("control", control_app(parts, api), control)]
        if people is not None:
            doors.append(Door("people", people_app(parts, api), people))
        await stack.enter_async_context(serving(doors, group))
        stack.callback(channels.close_doors)  # beside the other doors, not after them
        await stack.enter_async_context(live.collecting(bus, group))  # after the doors: its readers end before those do
        await stack.enter_async_context(apps.trial_pool)  # after the doors: its board's start must not delay them
        for name, work in (
            ("look after devices", _look_after(agent, apps, boards_ready)),
            ("build the C library", warm_compiler(settings)),
            ("index what is remembered", knowledge.search.warm_up()),
        ):
            stack.callback(group.create_task(work, name=name).cancel)
        stack.push_async_callback(jobs.drain)  # on the way out: what had started may end
        stack.push_async_callback(agent.drain)  # first of all: the chats' streams end before the doors close
        await stack.enter_async_context(running_later(later, group, boards_ready))  # ends before the agent does
        channels.open_doors()
        if link is not None:
            link.start()
        yield Host(settings, devices, model, http, link.address if link is not None else None, channels, boards)


def _people_listener(settings: Settings, stack: AsyncExitStack) -> tuple[socket.socket | None, str | None]:
    """The people plane's socket and address, where one is wanted."""
    if settings.http_port is None:
        return None, None
    if not is_loopback(settings.http_host):
        raise ConfigError(
            f"the API speaks HTTP without TLS: it is for loopback alone, not for {settings.http_host}",
            next_step="leave http_host at 127.0.0.1 and put a TLS proxy or an SSH tunnel in front",
        )
    listener = stack.enter_context(tcp_listener(settings.http_host, settings.http_port))
    return listener, f"http://{settings.http_host}:{listener.getsockname()[1]}"


def _registry(settings: Settings, bus: Bus, database: Database, links: Callable[[str], DeviceLink]) -> Registry:
    return Registry(
        bus=bus,
        store=DeviceTable(database),
        open_transport=partial(open_transport, lock_folder=settings.cache / "locks", links=links),
        load_board=load_board,
        mint_id=lambda: f"d-{secrets.token_hex(4)}",
        now_ms=now_ms,
    )


async def _look_after(agent: Conversations, apps: Apps, boards_ready: asyncio.Event | None) -> None:
    """Take up or settle what a crash left open, then keep the boards' programs where they are wanted."""
    if boards_ready is not None:
        await boards_ready.wait()
    for sentence in (*await agent.recover(), *await apps.deployer.recover()):
        _log.warning("left open by the last run: %s", sentence)
    while True:
        try:
            await apps.reconciler.run()
        except Exception:
            _log.exception("the reconciler failed and goes on")
        await asyncio.sleep(KEEPER_PAUSE_S)
