"""The services of the host's own acts and routes: those of no room in app/rooms.py."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from functools import partial

from msgspec import Struct, field

from microclaw.agent.knowledge.knowledge_base import Knowledge
from microclaw.agent.models.usage import UsageLog
from microclaw.agent.turn.conversation import Conversations
from microclaw.agent.turn.inbox import Inbox
from microclaw.app.opening import OpenHost
from microclaw.clock import now_ms
from microclaw.devices.link.device_facts import LastValues
from microclaw.devices.link.server import LinkServer
from microclaw.devices.registry.registry import Registry
from microclaw.host.auth.operations import PeopleService, list_people
from microclaw.host.auth.questions import Questions, list_approvals
from microclaw.host.backup.scheduled import ScheduledBackups
from microclaw.host.builder.builder import HostBuilder
from microclaw.host.cluster.operations import status as cluster_status
from microclaw.host.store.crashes import CrashTable
from microclaw.interfaces.api import (
    chat_routes,
    event_routes,
    host_routes,
    job_routes,
    openai,
    sign_in_routes,
    tool_routes,
)
from microclaw.interfaces.api.compile_routes import compile_wasm
from microclaw.interfaces.api.event_routes import LiveFeed
from microclaw.interfaces.api.host import HostInfo
from microclaw.interfaces.api.jobs import Jobs
from microclaw.interfaces.api.live_pins import LivePins
from microclaw.interfaces.api.loop_watch import LoopWatch
from microclaw.interfaces.api.operation_routes import RouteParts
from microclaw.interfaces.api.operations import read_status
from microclaw.interfaces.api.pending_requests import WaitingRequests
from microclaw.interfaces.api.program_pages import ProgramPages
from microclaw.interfaces.api.results import HostStatus
from microclaw.interfaces.api.status import StatusReader, costs_and_copies
from microclaw.interfaces.mcp.server.service import McpService
from microclaw.programs.bench import recording_operations
from microclaw.programs.bench.board_bench import BoardBench
from microclaw.programs.bench.draft_bench import draft_bench
from microclaw.programs.bench.recording import Recordings
from microclaw.programs.bench.records import HostRecords
from microclaw.programs.bench.trial_play import play_of
from microclaw.programs.changes import (
    crash_operations,
    device_operations,
    fleet_operations,
    part_operations,
    program_operations,
)
from microclaw.programs.changes.claims import free_output_pins
from microclaw.programs.changes.page_boards import PageBoards
from microclaw.programs.changes.page_operations import PageService, give_page
from microclaw.programs.changes.queues import CompileQueue, trial_turns
from microclaw.programs.changes.services import AppServices
from microclaw.supervision import SupervisedTasks


class McpClients(Struct):
    """The MCP servers that this host is a client of: the state of each, by name."""

    states: Callable[[], Mapping[str, str]] = field(default_factory=lambda: dict)


async def serve_acts(
    opened: OpenHost, info: HostInfo, stack: AsyncExitStack, when_unused: Callable[[], object] | None
) -> RouteParts:
    """Serve the host's own acts, and return what the routes of all acts work with."""
    host = opened.host
    jobs = Jobs(host.need(asyncio.TaskGroup), host.settings.limits)
    waiting = WaitingRequests()
    await _serve_requests(opened, jobs, waiting, stack)
    _serve_devices(host)
    _serve_tools(host, jobs, when_unused)
    _serve_talk(host, jobs)
    _serve_people(host)
    _serve_host(opened, info)
    registry = host.need(Registry)
    pages = ProgramPages(_page_boards(host), host.admission.sign_ins)
    return RouteParts(host.services, host.admission, registry, jobs, waiting, pages)


def _page_boards(host: HostBuilder) -> PageBoards:
    return PageBoards(host.need(Registry), host.need(AppServices).change_log)


async def _serve_requests(opened: OpenHost, jobs: Jobs, waiting: WaitingRequests, stack: AsyncExitStack) -> None:
    """Serve requests that wait, and the questions that they wait for: in a cluster also those of other hosts."""
    host = opened.host
    admission = host.admission
    cluster = opened.cluster
    questions = Questions(admission.approvals, admission.people)
    job_service = job_routes.JobService(jobs, waiting)
    view = None
    if cluster is not None and opened.authority is not None:
        job_service = job_routes.JobService(jobs, waiting, cluster.requests, cluster.ended_names)
        questions = await cluster.join(opened.authority, admission, host.need(Inbox), stack)
        view = cluster.view
    host.serves(job_routes.cancel_job, job_service)
    host.serves(list_approvals, questions)
    host.serves(cluster_status, view)


def _serve_devices(host: HostBuilder) -> None:
    registry = host.need(Registry)
    apps = host.need(AppServices)
    devices = device_operations.DeviceService(
        registry=registry,
        gate=host.admission.gate,
        link=host.find(LinkServer),
        free_pins=partial(free_output_pins, apps.change_log),
        apps=apps,
        last=host.need(LastValues),
    )
    host.offer(devices)
    bench = program_operations.TrialBench(draft_bench, play_of)
    programs = program_operations.BuildContext(apps, CompileQueue(apps.compile), trial_turns(), bench)
    host.serves(device_operations.list_devices, devices)
    host.serves(part_operations.list_parts, None)
    host.serves(crash_operations.list_crashes, crash_operations.CrashService(registry, CrashTable(host.database)))
    recordings = Recordings(host.need(asyncio.TaskGroup), apps)
    host.at_end(recordings.close)
    host.serves(recording_operations.show, recordings)
    host.serves(fleet_operations.diff, apps)
    host.serves(program_operations.check, programs)
    host.serves(compile_wasm, programs.compiling)


def _serve_tools(host: HostBuilder, jobs: Jobs, when_unused: Callable[[], object] | None) -> None:
    """Serve tools; `when_unused` is called once no `microclaw mcp` has used them for a while."""
    settings = host.settings
    tools = tool_routes.ToolService(
        host.need(Conversations), host.admission, host.need(Registry), jobs, settings.limits.keepalive_s
    )
    devices = host.need(device_operations.DeviceService)
    mcp = McpService(tools, devices, control_socket=settings.control_socket, when_unused=when_unused)
    host.offer(mcp)
    host.serves(tool_routes.list_tools, tools)
    host.serves(tool_routes.ask_mcp, mcp)


def _serve_talk(host: HostBuilder, jobs: Jobs) -> None:
    keepalive_s = host.settings.limits.keepalive_s
    registry = host.need(Registry)
    sessions = host.need(Knowledge).sessions
    apps = host.need(AppServices)
    records = HostRecords(apps.change_log, apps.direct_io, host.need(LastValues))
    pins = LivePins(host.need(asyncio.TaskGroup), registry, partial(BoardBench, records=records))
    events = event_routes.EventService(host.need(LiveFeed), host.admission.people, pins, keepalive_s)
    chats = chat_routes.ChatService(host.need(Inbox), sessions, registry, keepalive_s)
    host.serves(chat_routes.say, chats)
    host.serves(event_routes.events, events)
    host.serves(openai.models, openai.OpenAiService(host.need(Conversations), jobs, keepalive_s))


def _serve_people(host: HostBuilder) -> None:
    admission = host.admission
    host.serves(list_people, PeopleService(admission, host.need(Inbox).outbox.push))
    host.serves(sign_in_routes.by_code, admission.sign_ins)
    host.serves(sign_in_routes.me, admission)


def _serve_host(opened: OpenHost, info: HostInfo) -> None:
    """Serve the host's state, its document and its backup."""
    host = opened.host
    settings = host.settings
    tasks = host.need(SupervisedTasks)
    view = None
    if opened.cluster is not None:
        view = opened.cluster.view
    backups = ScheduledBackups(settings.home, settings.backup, record=host.audit.record, now_ms=now_ms)
    host.offer(backups)
    costs = partial(costs_and_copies, host.need(UsageLog), settings.budget, host.need(McpClients).states, backups)
    form = HostStatus.form_with(host.hooks.fields)
    pages = PageService(_page_boards(host), host.admission.tokens, info.http)
    host.serves(give_page, pages)
    page = partial(
        host_routes.read_metrics,
        host=info,
        live=host.need(LiveFeed),
        cluster=view,
        loop_watch=host.need(LoopWatch),
    )
    host.serves(read_status, StatusReader(info, tasks, host.audit, host.database, costs, form))
    host.serves(host_routes.healthz, host_routes.HealthService(host.database, tasks))
    host.serves(host_routes.metrics, page)
    host.serves(host_routes.backup, backups)
    host.serves(host_routes.page_file, None)
    # It is written when it is first read, with the nouns that are served then.
    host.serves(host_routes.document, host_routes.ApiDocument(host.services.keys(), {read_status.name: form}))
