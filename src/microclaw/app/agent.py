"""Builds the agent: model, inbox, tools, conversations, and what works in the background. It starts no turn."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from functools import partial
from typing import Any, Final

from microclaw.agent.knowledge.consolidate import consolidate
from microclaw.agent.knowledge.knowledge_base import open_knowledge
from microclaw.agent.knowledge.memory import HEARTBEAT
from microclaw.agent.knowledge.operations import KnowledgeService
from microclaw.agent.knowledge.texts import CONFIG
from microclaw.agent.knowledge.tools import memory_tools, skill_tool
from microclaw.agent.models.protocol import Model
from microclaw.agent.models.router import choose_model, turn_limit_s
from microclaw.agent.models.usage import UsageLog
from microclaw.agent.offline.model import OfflineModel
from microclaw.agent.schedules.book import ScheduleBook
from microclaw.agent.schedules.due import check_cron
from microclaw.agent.schedules.runner import Runner, WallClock, run_at
from microclaw.agent.schedules.scheduling import Scheduling
from microclaw.agent.tasks.service import TaskService
from microclaw.agent.turn.background.operations import start_tool
from microclaw.agent.turn.background.subagents import SUBAGENT_S, SubagentLimits, Subagents
from microclaw.agent.turn.background.unattended import MAX_BYTES, ScheduledWork, look_at_tasks
from microclaw.agent.turn.code_tool import CodeTool
from microclaw.agent.turn.context import TurnContext
from microclaw.agent.turn.conversation import Conversations, erase_conversation
from microclaw.agent.turn.history import ContextWindow
from microclaw.agent.turn.inbox import Inbox
from microclaw.agent.turn.model_requests import TurnLimits
from microclaw.agent.turn.outbox import Outbox
from microclaw.agent.turn.tool_selection import more_tools
from microclaw.agent.turn.toolbox import Toolbox
from microclaw.agent.turn.tools import clock_tool, say_tool
from microclaw.agent.turn.web import search_brave, web_tools
from microclaw.agent.turn.workspace import Workspace, workspace_tools
from microclaw.app.devices import Base
from microclaw.clock import local_clock, now_ms
from microclaw.devices.link.server import LinkServer
from microclaw.devices.registry.act_tool import act_tools
from microclaw.devices.registry.registry import Registry
from microclaw.devices.telemetry.history import TelemetryHistory
from microclaw.host.auth.gate import Gate
from microclaw.host.config.settings import Settings
from microclaw.host.egress.destinations import Egress
from microclaw.host.egress.fetching import Fetcher
from microclaw.host.egress.proxies import is_behind_proxy
from microclaw.host.egress.proxy import EgressProxy
from microclaw.host.operations.tool import Tool, context_of, declared_tools
from microclaw.host.store.database import Database
from microclaw.host.store.inbox import InboxTable
from microclaw.host.store.journal import Journal
from microclaw.host.store.outbox import OutboxTable
from microclaw.host.store.schedules import Every, ScheduleTable
from microclaw.host.store.tasks import TaskTable
from microclaw.host.store.usage import UsageTable
from microclaw.programs.changes.device_operations import DeviceService
from microclaw.programs.changes.operations import ProgramContext
from microclaw.programs.changes.services import AppServices
from microclaw.programs.changes.tools.correcting import correct_tool
from microclaw.programs.changes.tools.devices import direct_io_tools, inventory_tools, notify_tool
from microclaw.programs.changes.tools.looking import trying_tools
from microclaw.programs.changes.tools.many import many_tool
from microclaw.programs.patterns.operations import folders_of
from microclaw.supervision import SupervisedTasks

SCHEDULES: Final = "schedules"
RETRY_S: Final = {"consolidation": 3600.0}  # each try may ask a model


def build_toolbox(
    apps: AppServices,
    gate: Gate,
    link: LinkServer | None = None,
    more: Iterable[Tool[Any]] = (),
    coming: Callable[[], Iterable[Tool[Any]]] = tuple,
) -> Toolbox:
    """The tools that act on boards, and `more`. Without a link there is no notify.

    `coming` gives the tools of MCP servers, which come and go.
    """
    devices = apps.registry
    # No tool of these shows the last values.
    device_service = DeviceService(registry=devices, gate=gate, link=link, apps=apps, last=lambda _device_id: [])
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


def build_model(settings: Settings, database: Database) -> tuple[Model, UsageLog]:
    """The model that answers turns, and what it costs; no library of a provider is imported yet."""
    usage_log = UsageLog(UsageTable(database), local_clock(settings.agent.timezone), settings.budget)
    model = choose_model(settings.model, OfflineModel(), proxy=settings.proxy, usage_log=usage_log)
    return model, usage_log


class Agent:
    """`tools` has every tool; `services` are what the declared acts work with, by noun; `background` is what runs
    beside the conversations, by name.

    `own_tools` are more of this host's; `server_tools` gives those of MCP servers and devices, which come and go.
    """

    def __init__(
        self,
        base: Base,
        model: Model,
        apps: AppServices,
        inbox: Inbox,
        link: LinkServer | None,
        tasks: SupervisedTasks,
        own_tools: Iterable[Tool[Any]],
        server_tools: Callable[[], Iterable[Tool[Any]]],
    ) -> None:
        settings = base.settings
        admission = base.admission
        devices = apps.registry
        turn_s = turn_limit_s(settings.agent.turn_s, settings.model)
        self._base = base
        self._inbox = inbox
        self._tasks = tasks
        self._model = model if settings.model.main else None  # the offline one writes no summaries
        shared = None if base.cluster is None else base.database
        self.knowledge = knowledge = open_knowledge(settings, base.index, shared=shared)
        self._context = context = TurnContext(
            devices=devices,
            apps=apps.change_log,
            knowledge=knowledge,
            window=None if self._model is None else ContextWindow(settings.agent.context_tokens),
        )
        more = (
            *memory_tools(memory=knowledge.memory, search=knowledge.search, devices=devices),
            skill_tool(knowledge.skills),
            *own_tools,
        )
        tools = build_toolbox(apps, admission.gate, link, more, server_tools)
        journal = Journal(base.database, now_ms)
        self.subagents = Subagents(
            model=model,
            tools=tools,
            context=context,
            journal=journal,
            outbox=inbox.outbox,
            roles=admission.people,
            limits=SubagentLimits(
                count=settings.agent.subagents, iterations=settings.agent.iterations, turn_s=max(SUBAGENT_S, turn_s)
            ),
        )
        self.background: dict[str, Callable[[], Awaitable[None]]] = {}
        self.schedules = self._scheduling(tools, devices)
        acts: dict[str, Any] = {
            "app": ProgramContext(apps, admission.gate),
            "schedule": self.schedules,
            "subagent": self.subagents,
            "catalog": folders_of(settings),
        }
        self.tools = tools.with_more(
            (*declared_tools(acts), start_tool(self.subagents), more_tools(lambda: self.tools.tools))
        )
        self.services = acts | dict.fromkeys(("memory", "session", "skill"), self._knowledge_service())
        self.conversations = Conversations(
            inbox=inbox,
            model=model,
            tools=self.tools,
            context=context,
            sessions=knowledge.sessions,
            journal=journal,
            approvals=admission.approvals,
            roles=admission.people,
            limits=TurnLimits(
                iterations=settings.agent.iterations,
                turn_s=turn_s,
                answer_tokens=settings.agent.answer_tokens,
            ),
        )

    def _scheduling(self, tools: Toolbox, devices: Registry) -> Scheduling:
        """The schedules; what runs them, and the work of fixed times, is added to `background`."""
        base = self._base
        settings = self._base.settings
        gate = self._base.admission.gate
        clock = WallClock(base.now_ms)
        zone = settings.agent.timezone or ""
        table = ScheduleTable(base.database)
        people = base.admission.people
        book = ScheduleBook(table, people, clock.now_ms, devices=devices, zone=zone)
        runner = Runner(
            book=book,
            perform=ScheduledWork(inbox=self._inbox, tools=tools, gate=gate),
            clock=clock,
            wakes_an_hour=settings.schedules.wakes_an_hour,
            report=partial(self._tasks.note, SCHEDULES),
            fleet=base.fleet,
        )
        self.background[SCHEDULES] = runner.run
        if self._model is not None:
            nightly = check_cron(settings.schedules.consolidate_at, book.zone)
            work = partial(consolidate, self.knowledge.memory, self._model)
            self.background["consolidation"] = base.duty(
                "consolidation", partial(run_at, nightly, work, clock, at_start=True)
            )
        if self._model is not None and settings.schedules.heartbeat_minutes:  # a model reads the tasks
            channel, _, chat_id = settings.schedules.heartbeat_chat.partition(":")
            beats = Every(settings.schedules.heartbeat_minutes * 60_000, clock.now_ms())
            read = partial(self.knowledge.memory.texts.read, f"{CONFIG}/{HEARTBEAT}", MAX_BYTES)
            beat = partial(look_at_tasks, self._inbox, read, (channel, chat_id or channel))
            self.background["heartbeat"] = base.duty("heartbeat", partial(run_at, beats, beat, clock))
        return Scheduling(
            book=book,
            runner=runner,
            prepare=lambda name, arguments, call: tools.prepare(name, arguments, context_of(call)),
            try_planned=lambda name, arguments, call: tools.try_planned(name, arguments, context_of(call)),
            takes_device=tools.takes_device,
            reads_others=tools.reads_others,
            name_of=gate.name_of,
            scene=self._context.devices,
            offline=self._model is None,
        )

    def _knowledge_service(self) -> KnowledgeService:
        knowledge = self.knowledge
        erase = partial(
            erase_conversation,
            sessions=knowledge.sessions,
            search=knowledge.search,
            history=self._base.settings.chat_history,
        )
        return KnowledgeService(gate=self._base.admission.gate, knowledge=knowledge, erase=erase)


def build_inbox(base: Base) -> Inbox:
    """The inbox, with the outbox in it."""
    message_bytes = base.settings.limits.message_bytes
    return Inbox(
        InboxTable(base.database, now_ms),
        Outbox(OutboxTable(base.database, now_ms), text_bytes=message_bytes, fleet=base.fleet),
        settings=base.settings.agent,
        message_bytes=message_bytes,
        fleet=base.fleet,
    )


def build_tasks(base: Base, proxy: EgressProxy) -> TaskService:
    """Code in the sandbox. It takes tasks inside its `serving`."""
    people = base.admission.people
    service = TaskService(
        TaskTable(base.database),
        base.settings.tasks_folder,
        base.settings.tasks,
        people,
        record=base.audit.record,
        publish=base.publish,
        sandbox=base.settings.sandbox,
        proxy=None if is_behind_proxy(base.settings.proxy) else proxy,
        fleet=base.fleet,
    )
    people.listen(service.cancel_forbidden)
    return service


def outward_tools(
    base: Base, apps: AppServices, outbox: Outbox, egress: Egress, code: TaskService, history: TelemetryHistory
) -> tuple[Tool[Any], ...]:
    """Tools beyond acts on boards. Without a search engine in the settings there is no web-search."""
    settings = base.settings
    proxy = base.settings.proxy
    people = base.admission.people
    if settings.search is None:
        engine = None
    else:
        engine = partial(search_brave, settings.search, proxy)
    workspace = Workspace(settings.workspace)
    return (
        *web_tools(fetcher=Fetcher(egress, proxy=proxy), engine=engine),
        *workspace_tools(workspace),
        clock_tool(local_clock(settings.agent.timezone)),
        say_tool(outbox=outbox, people=people),
        *trying_tools(apps),
        CodeTool(code, workspace, apps.registry, history).tool(),
    )
