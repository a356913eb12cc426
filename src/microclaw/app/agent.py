"""Builds the agent: model, inbox, tools, conversations, and what works in the background. It starts no turn."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from microclaw.agent.background.subagents import SubagentLimits, Subagents
from microclaw.agent.background.unattended import Heartbeat, ScheduledWork
from microclaw.agent.client_turn import ClientTurns
from microclaw.agent.compaction import Compactor
from microclaw.agent.context import TurnContext
from microclaw.agent.conversation import Conversations
from microclaw.agent.inbox import Inbox
from microclaw.agent.inbox_limits import InboxLimits
from microclaw.agent.outbox import Outbox
from microclaw.agent.turn import TurnLimits
from microclaw.api.schedule_routes import ScheduleParts
from microclaw.app.devices import Apps, Base
from microclaw.apps.catalogue import Catalogue
from microclaw.apps.deploy import Deployer
from microclaw.apps.direct_io import DirectIo
from microclaw.apps.lifecycle import Lifecycle
from microclaw.apps.reconciler import DeviceCheck
from microclaw.apps.undo import Undo
from microclaw.apps.upgrade import Upgrader
from microclaw.auth.gate import Gate
from microclaw.clock import now_ms
from microclaw.config.settings import Settings
from microclaw.devices.registry import Registry
from microclaw.egress.destinations import Egress
from microclaw.knowledge.consolidate import Consolidator
from microclaw.knowledge.knowledge_base import HEARTBEAT_NAME, Knowledge, open_knowledge
from microclaw.link_server.server import LinkServer
from microclaw.models.budget import Budget, LocalDays
from microclaw.models.protocol import Model
from microclaw.models.router import choose_model
from microclaw.models.usage import MeteredModel, UsageLog
from microclaw.offline.model import OfflineModel
from microclaw.schedules.book import ScheduleBook
from microclaw.schedules.runner import Nightly, Runner, WallClock
from microclaw.store.database import Database
from microclaw.store.inbox import InboxTable
from microclaw.store.outbox import OutboxTable
from microclaw.store.schedules import ScheduleTable
from microclaw.store.usage import UsageTable
from microclaw.supervision import FIRST_RETRY_S, SupervisedTasks
from microclaw.tools.catalog import catalog_tool
from microclaw.tools.correcting import correcting_tools
from microclaw.tools.devices import direct_io_tools, edge_tools, inventory_tools, notifying_tools, restart_tool
from microclaw.tools.fetching import Fetcher
from microclaw.tools.knowledge import remembering_tools, skill_tools
from microclaw.tools.many import many_tool
from microclaw.tools.offer import more_tools
from microclaw.tools.pins import pin_tools
from microclaw.tools.programs import program_tools, trying_tools
from microclaw.tools.scheduling import Scheduling, scheduling_tools
from microclaw.tools.search_engines import search_engine
from microclaw.tools.subagents import subagent_tools
from microclaw.tools.switching import switch_tool, times_tool
from microclaw.tools.target import on_its_holder
from microclaw.tools.telling import clock_tool, say_tool
from microclaw.tools.tool import Tool
from microclaw.tools.toolbox import Toolbox
from microclaw.tools.web import web_tools
from microclaw.tools.workspace import Workspace, workspace_tools

SCHEDULES: Final = "schedules"
RETRY_S: Final = {"consolidation": 3600.0}  # each try may ask a model

if TYPE_CHECKING:
    from microclaw.link_server.server import LinkServer


def build_toolbox(
    *,
    devices: Registry,
    deployer: Deployer,
    lifecycle: Lifecycle,
    upgrader: Upgrader,
    holds: Callable[[str, str], Awaitable[bool]],
    catalogue: Catalogue,
    direct_io: DirectIo,
    undo: Undo,
    gate: Gate,
    kept: Callable[[], Iterable[DeviceCheck]],
    notifier: LinkServer | None = None,
    knowledge: Knowledge | None = None,
    more: Iterable[Tool[Any]] = (),
    coming: Callable[[], Iterable[Tool[Any]]] = tuple,
) -> Toolbox:
    """Every tool that a model may call, and `more`. Without a notifier there is no notify.

    `coming` gives the tools of MCP servers, which come and go.
    """
    complete = on_its_holder(devices, holds)
    tools: list[Tool[Any]] = [
        *program_tools(deployer=deployer, catalogue=catalogue, devices=devices, complete=complete),
        switch_tool(lifecycle=lifecycle, devices=devices, complete=complete),
        times_tool(upgrader=upgrader, devices=devices, complete=complete),
        *direct_io_tools(direct_io=direct_io, lifecycle=lifecycle, devices=devices),
        *edge_tools(devices=devices),
        *inventory_tools(devices=devices, undo=undo, link=notifier, kept=kept),
        *correcting_tools(devices=devices, direct_io=direct_io, lifecycle=lifecycle, undo=undo),
        restart_tool(devices=devices),
    ]
    tools.append(many_tool(tools, devices=devices))
    if notifier is not None:
        tools += notifying_tools(notifier=notifier, devices=devices)
    if knowledge is not None:
        tools += remembering_tools(memory=knowledge.memory, search=knowledge.search, devices=devices)
        tools += skill_tools(skills=knowledge.skills)
    return Toolbox((*tools, *more), gate, coming=coming)


@dataclass(frozen=True, slots=True)
class Agent:
    """`tools` has every tool; `background` is what runs beside the conversations, by name."""

    inbox: Inbox
    knowledge: Knowledge
    tools: Toolbox
    conversations: Conversations
    client_turns: ClientTurns
    schedules: ScheduleParts
    subagents: Subagents
    background: Mapping[str, Callable[[], Awaitable[None]]]


def build_model(settings: Settings, database: Database) -> tuple[Model, UsageLog]:
    """The model that answers turns, and what it costs; no library of a provider is imported yet."""
    table = UsageTable(database)
    days = LocalDays(time.time, settings.agent.timezone)
    usage_log = UsageLog(table, days)
    budget = Budget(settings.budget, table, days)
    model = choose_model(
        settings.model, OfflineModel(), proxy=settings.proxy, meter=lambda model: MeteredModel(model, usage_log, budget)
    )
    return model, usage_log


def build_agent(
    base: Base,
    model: Model,
    devices: Registry,
    apps: Apps,
    link: LinkServer | None,
    tasks: SupervisedTasks,
    *,
    server_tools: Callable[[], Iterable[Tool[Any]]],
    egress: Egress | None,
    own_tools: Iterable[Tool[Any]] = (),
) -> Agent:
    """`own_tools` are more of this host's; `server_tools` gives those of MCP servers and devices, which come and go."""
    settings, admission = base.settings, base.admission
    language_model = model if settings.model.main else None  # the offline one writes no summaries
    inbox = _inbox(base)
    knowledge = open_knowledge(settings, base.index, shared=None if base.cluster is None else base.database)
    context = TurnContext(
        devices=devices,
        apps=base.app_table,
        knowledge=knowledge,
        context_tokens=settings.agent.context_tokens,
    )
    tools = build_toolbox(
        devices=devices,
        deployer=apps.deployer,
        lifecycle=apps.lifecycle,
        upgrader=apps.upgrader,
        holds=apps.change_log.holds,
        catalogue=apps.catalogue,
        direct_io=apps.direct_io,
        undo=apps.undo,
        gate=apps.gate,
        kept=apps.reconciler.status,
        notifier=link,
        knowledge=knowledge,
        more=(
            *_outward_tools(base, devices, apps, inbox.outbox, egress),
            *pin_tools(devices=devices, change_log=apps.change_log),
            *own_tools,
        ),
        coming=server_tools,
    )
    clock, table = WallClock(base.now_ms), ScheduleTable(base.database)
    book = ScheduleBook(table, admission.people, clock.now_ms, devices=devices, zone=settings.agent.timezone)
    wakes_an_hour = settings.schedules.wakes_an_hour
    scheduling = Scheduling(
        book=book,
        tools=tools,
        scene=context.devices,
        wakes_an_hour=wakes_an_hour,
        offline=language_model is None,
    )
    subagents = Subagents(
        model=model,
        tools=tools,
        context=context,
        journal=base.journal,
        outbox=inbox.outbox,
        roles=admission.people,
        limits=SubagentLimits(count=settings.agent.subagents, iterations=settings.agent.iterations),
    )
    perform = ScheduledWork(inbox=inbox, tools=tools, gate=admission.gate)
    report = partial(_report, tasks, SCHEDULES)
    runner = Runner(
        book=book,
        table=table,
        perform=perform,
        clock=clock,
        wakes_an_hour=wakes_an_hour,
        report=report,
        fleet=base.fleet,
    )
    consolidate = Consolidator(knowledge.memory, model=language_model).run
    nightly = Nightly(settings.schedules.consolidate_at, book.zone, consolidate, name="consolidate_at", clock=clock)
    background: dict[str, Callable[[], Awaitable[None]]] = {
        SCHEDULES: runner.run,
        "consolidation": base.duty("consolidation", nightly.run),
    }
    if language_model is not None and settings.schedules.heartbeat_minutes:  # without a model nobody reads the tasks
        background["heartbeat"] = base.duty("heartbeat", _heartbeat(settings, knowledge, inbox, clock).run)
    all_tools = tools.with_more(
        (*scheduling_tools(scheduling), *subagent_tools(subagents), more_tools(lambda: all_tools.tools))
    )
    turn_limits = TurnLimits(iterations=settings.agent.iterations, turn_s=settings.agent.turn_s)
    return Agent(
        inbox=inbox,
        knowledge=knowledge,
        tools=all_tools,
        conversations=Conversations(
            inbox=inbox,
            model=model,
            tools=all_tools,
            context=context,
            sessions=knowledge.sessions,
            skills=knowledge.skills,
            compactor=Compactor(model=language_model, sessions=knowledge.sessions),
            journal=base.journal,
            approvals=admission.approvals,
            roles=admission.people,
            limits=turn_limits,
        ),
        client_turns=ClientTurns(
            model=model,
            tools=all_tools,
            context=context,
            journal=base.journal,
            skills=knowledge.skills,
            approvals=admission.approvals,
            limits=turn_limits,
        ),
        schedules=ScheduleParts(admission.gate, scheduling, runner, subagents),
        subagents=subagents,
        background=background,
    )


@asynccontextmanager
async def background_running(agent: Agent, tasks: SupervisedTasks, ready: asyncio.Event | None) -> AsyncIterator[None]:
    """Inside, background work runs, once `ready` is set. Enter it after the conversations and leave it before them."""
    async with agent.subagents.working():
        running = [
            tasks.start(name, work, after=ready, first_retry_s=RETRY_S.get(name, FIRST_RETRY_S))
            for name, work in agent.background.items()
        ]
        try:
            yield
        finally:
            for task in running:
                task.cancel()
            if running:
                await asyncio.wait(running)


def _report(tasks: SupervisedTasks, name: str, error: Exception | None) -> None:
    """Count a pass of work that goes on by itself."""
    if error is None:
        tasks.succeeded(name)
    else:
        tasks.failed(name, error)


def _inbox(base: Base) -> Inbox:
    message_bytes = base.settings.limits.message_bytes
    return Inbox(
        InboxTable(base.database, now_ms),
        Outbox(OutboxTable(base.database, now_ms), text_bytes=message_bytes, fleet=base.fleet),
        settings=base.settings.agent,
        limits=InboxLimits(message_bytes=message_bytes),
        fleet=base.fleet,
    )


def _outward_tools(
    base: Base, devices: Registry, apps: Apps, outbox: Outbox, egress: Egress | None
) -> tuple[Tool[Any], ...]:
    """Tools beyond the boards. Without a search engine in the settings there is no web-search."""
    settings, proxy = base.settings, base.settings.proxy
    engine = None if settings.search is None else search_engine(settings.search, proxy=proxy)
    return (
        *web_tools(fetcher=Fetcher(egress or Egress(), proxy=proxy), engine=engine),
        *workspace_tools(Workspace(settings.workspace)),
        clock_tool(settings.agent.timezone),
        say_tool(outbox=outbox, people=base.admission.people),
        catalog_tool(folders=[Path(folder).expanduser() for folder in settings.catalog.folders]),
        *trying_tools(
            compile_source=apps.compile,
            try_image=apps.try_image,
            devices=devices,
            source_log=apps.source_log,
            complete=on_its_holder(devices, apps.change_log.holds),
        ),
    )


def _heartbeat(settings: Settings, knowledge: Knowledge, inbox: Inbox, clock: WallClock) -> Heartbeat:
    channel, _, chat_id = settings.schedules.heartbeat_chat.partition(":")
    return Heartbeat(
        inbox=inbox,
        read=partial(knowledge.memory.texts.read, HEARTBEAT_NAME),
        minutes=settings.schedules.heartbeat_minutes,
        clock=clock,
        home=(channel, chat_id or channel),
    )
