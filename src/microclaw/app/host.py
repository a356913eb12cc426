"""Runs a host: opens its parts and rooms, serves, and takes everything down in order. It holds no logic of its own."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from importlib import import_module
from pathlib import Path

from microclaw.agent.turn.background.subagents import Subagents
from microclaw.agent.turn.conversation import Conversations
from microclaw.app.opening import HostOptions, OpenHost, open_host
from microclaw.app.rooms import ROOMS
from microclaw.app.services import McpClients, serve_acts
from microclaw.devices.link.server import LinkServer
from microclaw.devices.registry.registry import Registry
from microclaw.devices.virtual_boards.host_boards import VirtualBoards
from microclaw.host.backup.scheduled import CHECK_S, ScheduledBackups
from microclaw.host.builder.builder import HostBuilder
from microclaw.host.config.settings import Settings
from microclaw.host.egress.masking import SecretMask
from microclaw.interfaces.api.asgi_apps import api_app, control_socket_app, host_api
from microclaw.interfaces.api.event_routes import LiveFeed
from microclaw.interfaces.api.host import HostInfo
from microclaw.interfaces.api.ingress import SUPERVISOR, AnyHost, ingress_app
from microclaw.interfaces.api.operation_routes import RouteParts
from microclaw.interfaces.api.server import AppListener, serving
from microclaw.interfaces.mcp.server.service import McpService
from microclaw.programs.changes.reconciler import INTERVAL_S
from microclaw.programs.changes.services import AppServices
from microclaw.programs.wasm.libraries import build_glue
from microclaw.programs.wasm.toolchain import find_toolchain, has_compiler
from microclaw.supervision import SupervisedTasks

_log = logging.getLogger(__name__)


@asynccontextmanager
async def running_host(
    settings: Settings,
    *,
    virtual_boards: int = 0,
    new_store: bool = False,
    parts: Sequence[object] = (),
    mask: SecretMask | None = None,
    ingress_from: str = SUPERVISOR,
    when_unused: Callable[[], object] | None = None,
    rooms: Sequence[str] = tuple(ROOMS),
) -> AsyncIterator[HostInfo]:
    """Run a host inside, which answers on its control socket. Leaving it ends every part in order and loses nothing.

    `parts` are offered to the rooms in place of their own: engines of voice, or an Egress for servers of a test. `mask`
    is that of the log, which the host tells the secrets that it reads later. `ingress_from` replaces the Supervisor's
    address, for tests. `when_unused` is called once no `microclaw mcp` has used it for a while. `rooms` are the rooms
    that it has, in the order of app/rooms.py.

    Raises StoreError if another host owns this home, StoreMissing unless `new_store` is what a person wants there,
    ConfigError if a port is taken.
    """
    options = HostOptions(rooms=rooms, parts=parts, mask=mask, new_store=new_store)
    async with AsyncExitStack() as stack:
        opened = await open_host(settings, options, stack)
        host = opened.host
        await _open_mcp_clients(host, stack)
        for room in rooms:
            import_module(ROOMS[room]).setup(host)
        await host.open(stack)
        info = _host_info(opened)
        routes = await serve_acts(opened, info, stack, when_unused)
        await _serve(opened, info, routes, ingress_from=ingress_from, virtual_boards=virtual_boards, stack=stack)
        yield info


async def _serve(
    opened: OpenHost,
    info: HostInfo,
    routes: RouteParts,
    *,
    ingress_from: str,
    virtual_boards: int,
    stack: AsyncExitStack,
) -> None:
    """Answer requests, connect devices and start the work in the background.

    What is put on `stack` last ends first: work that begins turns, open turns, requests, tasks, then the listeners.
    """
    host = opened.host
    tasks = host.need(SupervisedTasks)
    conversations = info.conversations
    await stack.enter_async_context(serving(_listeners(opened, routes, ingress_from), host.need(asyncio.TaskGroup)))
    # The readers of live events end before the listeners do.
    stack.callback(host.need(LiveFeed).end)
    if info.link is not None:
        info.link.start()
    if opened.cluster is not None:
        opened.cluster.addresses.update({"api": info.http, "link": None if info.link is None else info.link.address})
    await stack.enter_async_context(info.boards.running(virtual_boards))
    await stack.enter_async_context(host.need(McpService).serving())
    host.start(tasks, stack)
    _start_own_tasks(opened, tasks, conversations)
    # Jobs that have started may end.
    stack.push_async_callback(routes.jobs.drain)
    # Chats have let go of their questions by then; the question of a request would hold up the end.
    stack.callback(host.admission.approvals.close)
    # The chats' streams end with it.
    stack.push_async_callback(conversations.drain)
    await stack.enter_async_context(host.need(Subagents).working())
    host.start_turns(tasks, stack)


async def _open_mcp_clients(host: HostBuilder, stack: AsyncExitStack) -> None:
    """Connect to the MCP servers of the settings, whose tools come and go."""
    settings = host.settings
    clients = McpClients()
    if settings.mcp_servers:
        # Only a host with such servers needs the library.
        module = await asyncio.to_thread(import_module, "microclaw.interfaces.mcp.client.connection")
        servers = await stack.enter_async_context(module.mcp_servers(settings.mcp_servers, proxy=settings.proxy))
        clients.states = servers.states
        host.add_tools(servers.tools)
    host.offer(clients)


def _host_info(opened: OpenHost) -> HostInfo:
    host = opened.host
    settings = host.settings
    registry = host.need(Registry)
    apps = host.need(AppServices)
    prefix = ""
    if opened.cluster is not None:
        prefix = f"{opened.cluster.name[:20].rstrip('-')}-"
    ingress_port = None
    if opened.ingress is not None:
        ingress_port = int(opened.ingress.getsockname()[1])
    board_ids = settings.home / "virtual-boards.json"
    return HostInfo(
        settings=settings,
        admission=host.admission,
        plane=opened.plane,
        ingress=ingress_port,
        link=host.find(LinkServer),
        devices=registry,
        boards=VirtualBoards(registry, apps.reconciler.check, ids=board_ids, prefix=prefix),
        apps=apps,
        conversations=host.need(Conversations),
        hooks=host.hooks,
    )


def _listeners(opened: OpenHost, routes: RouteParts, ingress_from: str) -> list[AppListener]:
    limits = opened.host.settings.limits
    api = host_api(routes)
    people_app = partial(api_app, api, opened.host.admission, limits)
    listeners = [AppListener("control", control_socket_app(api, limits), opened.control)]
    plane = opened.plane
    if plane is not None:
        app = people_app(plane.allowed_hosts, on_network=plane.on_network)
        listeners.append(AppListener("api", app, plane.socket, tls=plane.tls))
    if opened.ingress is not None:
        app = ingress_app(people_app(AnyHost(), on_network=True), ingress_from)
        listeners.append(AppListener("ingress", app, opened.ingress))
    return listeners


def _start_own_tasks(opened: OpenHost, tasks: SupervisedTasks, conversations: Conversations) -> None:
    """Start the tasks that belong to no room; those that change devices wait for the end of the last run."""
    host = opened.host
    settings = host.settings
    recovered = asyncio.Event()
    tasks.start("close what the last run left open", partial(_recover, conversations, recovered))
    reconciler = host.need(AppServices).reconciler
    tasks.start("reconciler", reconciler.check_due, every_s=INTERVAL_S, after=recovered)
    if opened.cluster is not None:
        opened.cluster.start_work(tasks, host.left_work, after=recovered)
    if has_compiler():
        tasks.start("build the C library", partial(_prepare_c, settings.cache))
    if settings.backup is not None:
        tasks.start("backup", host.need(ScheduledBackups).run_due, every_s=CHECK_S, after=recovered)


async def _prepare_c(cache: Path) -> None:
    """Load the compiling of C, and build the C library unless the cache has it: the first program waits for neither."""
    await asyncio.to_thread(import_module, "microclaw.programs.wasm.compile")
    await build_glue(find_toolchain(), cache)


async def _recover(conversations: Conversations, recovered: asyncio.Event) -> None:
    """Close what a crash left open; the reconciler does so for each device, before it redeploys a program there."""
    for sentence in await conversations.recover():
        _log.warning("left open by the last run: %s", sentence)
    recovered.set()
