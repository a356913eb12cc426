"""The agent as a part of the host: its model, tools, conversations, and work in the background. It starts no turn."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, Final

from msgspec import Struct

from microclaw.agent.knowledge.consolidate import consolidate
from microclaw.agent.knowledge.knowledge_base import Knowledge, open_knowledge
from microclaw.agent.knowledge.memory import HEARTBEAT
from microclaw.agent.knowledge.operations import KnowledgeService, list_sessions, list_skills, show_memory
from microclaw.agent.knowledge.texts import CONFIG
from microclaw.agent.knowledge.tools import memory_tools, skill_tool
from microclaw.agent.knowledge.wired_facts import forget_outdated
from microclaw.agent.models.operations import UsageService, usage
from microclaw.agent.models.protocol import Model
from microclaw.agent.models.router import choose_model, turn_limit_s
from microclaw.agent.models.usage import UsageLog
from microclaw.agent.offline.model import OfflineModel
from microclaw.agent.schedules.due import check_cron, get_zone
from microclaw.agent.schedules.runner import WallClock, run_at
from microclaw.agent.schedules.scheduling import ScheduleTools
from microclaw.agent.tasks.device_code import DeviceCode
from microclaw.agent.tasks.service import TaskService
from microclaw.agent.turn.background.operations import list_subagents, start_tool
from microclaw.agent.turn.background.subagents import SUBAGENT_S, SubagentLimits, Subagents
from microclaw.agent.turn.background.unattended import MAX_BYTES, AgentTasks, ScheduledWork, look_at_tasks
from microclaw.agent.turn.code_tool import CodeTool
from microclaw.agent.turn.context import TurnContext
from microclaw.agent.turn.conversation import Conversations, erase_conversation
from microclaw.agent.turn.history import ContextWindow
from microclaw.agent.turn.inbox import Inbox
from microclaw.agent.turn.look_tool import look_tool
from microclaw.agent.turn.model_requests import TurnLimits
from microclaw.agent.turn.outbox import Outbox
from microclaw.agent.turn.tool_selection import more_tools
from microclaw.agent.turn.toolbox import Toolbox
from microclaw.agent.turn.tools import clock_tool, say_tool
from microclaw.agent.turn.web import search_brave, web_tools
from microclaw.agent.turn.workspace import Workspace, workspace_tools
from microclaw.clock import local_clock, machine_zone, now_ms
from microclaw.devices.link.device_facts import LastValues
from microclaw.devices.link.links import LinkRegistry
from microclaw.devices.link.note_tool import notify_tool
from microclaw.devices.link.server import LinkServer
from microclaw.devices.registry.act_tool import act_tools
from microclaw.devices.telemetry.history import TelemetryHistory
from microclaw.host.auth.gate import Gate
from microclaw.host.builder.builder import HostBuilder
from microclaw.host.config.settings import Settings
from microclaw.host.egress.destinations import Egress
from microclaw.host.egress.fetching import Fetcher
from microclaw.host.operations.tool import Tool, context_of, declared_tools
from microclaw.host.store.database import Database
from microclaw.host.store.inbox import InboxTable
from microclaw.host.store.journal import Journal
from microclaw.host.store.outbox import OutboxTable
from microclaw.host.store.schedules import Every
from microclaw.host.store.sessions import Sessions
from microclaw.host.store.usage import UsageTable
from microclaw.programs.changes.claims import free_output_pins
from microclaw.programs.changes.device_operations import DeviceService
from microclaw.programs.changes.operations import ProgramContext, list_apps
from microclaw.programs.changes.services import AppServices
from microclaw.programs.changes.tools.correcting import correct_tool
from microclaw.programs.changes.tools.devices import direct_io_tools, inventory_tools
from microclaw.programs.changes.tools.looking import trying_tools
from microclaw.programs.changes.tools.many import many_tool
from microclaw.programs.patterns.operations import folders_of, search

# Each try of the consolidation may ask a model.
CONSOLIDATION_RETRY_S: Final = 3600.0


def build_inbox(host: HostBuilder) -> Inbox:
    """Build the inbox, with the outbox in it."""
    message_bytes = host.settings.limits.message_bytes
    return Inbox(
        InboxTable(host.database, now_ms),
        Outbox(OutboxTable(host.database, now_ms), text_bytes=message_bytes, fleet=host.fleet),
        settings=host.settings.agent,
        message_bytes=message_bytes,
        fleet=host.fleet,
        publish=host.publish,
    )


def build_model(settings: Settings, database: Database) -> tuple[Model, UsageLog]:
    """Build the model that answers turns, and the log of its costs. It imports no library of a provider yet."""
    usage_log = UsageLog(UsageTable(database), local_clock(settings.agent.timezone), settings.budget)
    model = choose_model(settings.model, OfflineModel(), proxy=settings.proxy, usage_log=usage_log)
    return model, usage_log


def build_toolbox(
    apps: AppServices,
    gate: Gate,
    link: LinkServer | None = None,
    more: Iterable[Tool[Any]] = (),
    coming: Callable[[], Iterable[Tool[Any]]] = tuple,
) -> Toolbox:
    """Build the tools that act on boards, and `more`. Without a link there is no notify.

    `coming` returns the tools that come and go.
    """
    devices = apps.registry
    # No tool of these shows the last values.
    device_service = DeviceService(
        registry=devices,
        gate=gate,
        link=link,
        free_pins=partial(free_output_pins, apps.change_log),
        apps=apps,
        last=LastValues(),
    )
    services = {
        "app": ProgramContext(apps, gate),
        "device": device_service,
        "pin": device_service,
    }
    tools: list[Tool[Any]] = [
        *act_tools(devices, services, apps.change_log.holds),
        *direct_io_tools(apps),
        *inventory_tools(apps),
    ]
    tools += [correct_tool(tools), many_tool(tools, devices=devices)]
    if link is not None:
        tools.append(notify_tool(notifier=link, devices=devices))
    return Toolbox((*tools, *more), gate, coming=coming)


def setup(host: HostBuilder) -> None:
    """Answer messages, and the tasks of devices."""
    parts = _AgentParts.build(host)
    conversations = parts.conversations
    for part in parts.offered(host):
        host.offer(part)
    _serve(host, parts)
    host.enter(_answering(host, parts))
    device_tasks = host.need(LinkRegistry).parts.tasks
    runner = AgentTasks(host.need(Inbox), host.admission.gate)
    host.enter(device_tasks.serving(runner, host.need(LinkRegistry).link, code=host.find(DeviceCode)))
    host.left_work["tasks of devices"] = device_tasks.recover_tasks
    host.left_work["turns"] = conversations.recover
    host.need(AppServices).registry.wiring_watchers.append(partial(forget_outdated, parts.knowledge.memory))
    host.task("warm up the model", parts.model.warm_up)
    host.task("index what is remembered", parts.knowledge.search.refresh)
    _add_background(host, parts)


class _AgentParts(Struct, frozen=True):
    """The parts of the agent. `base_tools` are for schedules and subagents, `tools` for conversations."""

    model: Model
    usage_log: UsageLog
    knowledge: Knowledge
    context: TurnContext
    base_tools: Toolbox
    tools: Toolbox
    subagents: Subagents
    conversations: Conversations

    @property
    def has_model(self) -> bool:
        """True if a paid model answers; the offline one writes no summaries."""
        return self.context.window is not None

    def offered(self, host: HostBuilder) -> tuple[object, ...]:
        """Return the parts for later rooms."""
        tools = _schedule_tools(host, self)
        return (self.usage_log, self.knowledge, self.tools, self.subagents, self.conversations, tools)

    @classmethod
    def build(cls, host: HostBuilder) -> _AgentParts:
        settings = host.settings
        apps = host.need(AppServices)
        model, usage_log = build_model(settings, host.database)
        knowledge = open_knowledge(settings, host.index, shared=host.shared_database)
        window = None
        if settings.model.main:
            window = ContextWindow(settings.agent.context_tokens)
        context = TurnContext(devices=apps.registry, apps=apps.change_log, knowledge=knowledge, window=window)
        more = (
            *memory_tools(
                memory=knowledge.memory,
                search=knowledge.search,
                devices=apps.registry,
                name_of=host.admission.gate.name_of,
            ),
            skill_tool(knowledge.skills),
            *_own_tools(host, apps),
        )
        base_tools = build_toolbox(apps, host.admission.gate, host.find(LinkServer), more, host.tools)
        tools = base_tools.with_more(())
        journal = Journal(host.database, now_ms)
        return cls(
            model=model,
            usage_log=usage_log,
            knowledge=knowledge,
            context=context,
            base_tools=base_tools,
            tools=tools,
            subagents=_build_subagents(host, model, base_tools, context, journal),
            conversations=_build_conversations(
                host,
                model=model,
                tools=tools,
                context=context,
                sessions=knowledge.sessions,
                journal=journal,
            ),
        )


def _own_tools(host: HostBuilder, apps: AppServices) -> tuple[Tool[Any], ...]:
    """Build the tools beyond acts on boards. Without a search engine in the settings there is no web-search."""
    settings = host.settings
    proxy = settings.proxy
    engine = None
    if settings.search is not None:
        engine = partial(search_brave, settings.search, proxy)
    workspace = Workspace(settings.workspace)
    tools = [
        *web_tools(fetcher=Fetcher(host.need(Egress), proxy=proxy), engine=engine),
        *workspace_tools(workspace),
        clock_tool(local_clock(settings.agent.timezone)),
        say_tool(outbox=host.need(Inbox).outbox, people=host.admission.people),
        *trying_tools(apps),
    ]
    code = host.find(TaskService)
    if code is not None:
        tools.append(CodeTool(code, workspace, apps.registry, host.find(TelemetryHistory)).tool())
    tools.append(look_tool(host.services, host.admission.gate, host.rooms))
    return tuple(tools)


def _build_subagents(
    host: HostBuilder, model: Model, tools: Toolbox, context: TurnContext, journal: Journal
) -> Subagents:
    settings = host.settings
    turn_s = turn_limit_s(settings.agent.turn_s, settings.model)
    limits = SubagentLimits(
        count=settings.agent.subagents,
        iterations=settings.agent.iterations,
        turn_s=max(SUBAGENT_S, turn_s),
    )
    return Subagents(
        model=model,
        tools=tools,
        context=context,
        journal=journal,
        outbox=host.need(Inbox).outbox,
        roles=host.admission.people,
        limits=limits,
    )


def _build_conversations(
    host: HostBuilder, *, model: Model, tools: Toolbox, context: TurnContext, sessions: Sessions, journal: Journal
) -> Conversations:
    settings = host.settings
    limits = TurnLimits(
        iterations=settings.agent.iterations,
        turn_s=turn_limit_s(settings.agent.turn_s, settings.model),
        answer_tokens=settings.agent.answer_tokens,
    )
    return Conversations(
        inbox=host.need(Inbox),
        model=model,
        tools=tools,
        context=context,
        sessions=sessions,
        journal=journal,
        approvals=host.admission.approvals,
        roles=host.admission.people,
        limits=limits,
    )


def _schedule_tools(host: HostBuilder, parts: _AgentParts) -> ScheduleTools:
    """Build what schedules call. They have no tool that makes schedules."""
    tools = parts.base_tools
    return ScheduleTools(
        perform=ScheduledWork(inbox=host.need(Inbox), tools=tools, gate=host.admission.gate),
        prepare=lambda name, arguments, call: tools.prepare(name, arguments, context_of(call)),
        try_planned=lambda name, arguments, call: tools.try_planned(name, arguments, context_of(call)),
        takes_device=tools.takes_device,
        reads_others=tools.reads_others,
        scene=parts.context.devices,
        is_offline=not parts.has_model,
    )


def _serve(host: HostBuilder, parts: _AgentParts) -> None:
    knowledge = parts.knowledge
    erase = partial(
        erase_conversation,
        sessions=knowledge.sessions,
        search=knowledge.search,
        history=host.settings.chat_history,
    )
    knowledge_service = KnowledgeService(gate=host.admission.gate, knowledge=knowledge, erase=erase)
    for act in (show_memory, list_sessions, list_skills):
        host.serves(act, knowledge_service)
    host.serves(list_apps, ProgramContext(host.need(AppServices), host.admission.gate))
    host.serves(list_subagents, parts.subagents)
    host.serves(search, folders_of(host.settings))
    host.serves(usage, UsageService(parts.usage_log, host.admission.people.get))


@asynccontextmanager
async def _answering(host: HostBuilder, parts: _AgentParts) -> AsyncIterator[None]:
    """Answer messages inside, with the tools of all acts that the rooms serve."""
    tools = parts.tools
    tools.add((*declared_tools(host.services), start_tool(parts.subagents), more_tools(lambda: tools.tools)))
    await parts.knowledge.memory.texts.refresh()
    async with parts.conversations.answering():
        yield


def _add_background(host: HostBuilder, parts: _AgentParts) -> None:
    """Add the work of fixed times, which asks a model."""
    if not parts.has_model:
        return
    settings = host.settings.schedules
    clock = WallClock(host.now_ms)
    memory = parts.knowledge.memory
    zone = get_zone(host.settings.agent.timezone or machine_zone()).key
    nightly = check_cron(settings.consolidate_at, zone)
    work = partial(consolidate, memory, parts.model)
    nightly_run = host.duty("consolidation", partial(run_at, nightly, work, clock, at_start=True))
    host.turn_task("consolidation", nightly_run, first_retry_s=CONSOLIDATION_RETRY_S)
    if settings.heartbeat_minutes:
        channel, _, chat_id = settings.heartbeat_chat.partition(":")
        beats = Every(settings.heartbeat_minutes * 60_000, clock.now_ms())
        read = partial(memory.texts.read, f"{CONFIG}/{HEARTBEAT}", MAX_BYTES)
        beat = partial(look_at_tasks, host.need(Inbox), read, (channel, chat_id or channel))
        host.turn_task("heartbeat", host.duty("heartbeat", partial(run_at, beats, beat, clock)))
