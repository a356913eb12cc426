"""Joins what is done later and in the background: schedules, heartbeat, consolidation, subagents. Opens no store."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from microclaw.agent.background.heartbeat import HEARTBEAT, Heartbeat
from microclaw.agent.background.scheduled import ScheduledWork
from microclaw.agent.background.subagents import SubagentLimits, Subagents
from microclaw.agent.context import TurnContext
from microclaw.agent.inbox import Inbox
from microclaw.api.schedule_routes import ScheduleParts
from microclaw.auth.admission import Admission
from microclaw.clock import now_ms
from microclaw.config import Settings
from microclaw.devices.registry import Registry
from microclaw.knowledge.consolidate import Consolidator
from microclaw.knowledge.knowledge_base import Knowledge
from microclaw.models.protocol import Model
from microclaw.schedules.book import ScheduleBook
from microclaw.schedules.runner import Nightly, Runner, WallClock
from microclaw.store.apps import AppTable
from microclaw.store.database import Database
from microclaw.store.journal import Journal
from microclaw.store.schedules import ScheduleTable
from microclaw.tools.scheduling import Scheduling, scheduling_tools
from microclaw.tools.subagents import subagent_tools
from microclaw.tools.toolbox import Toolbox


@dataclass(frozen=True, slots=True)
class Later:
    """`tools` has those of schedules and subagents besides the tools that these may call."""

    tools: Toolbox
    parts: ScheduleParts
    runner: Runner
    subagents: Subagents
    nightly: Nightly
    heartbeat: Heartbeat | None


def build_later(
    settings: Settings,
    database: Database,
    devices: Registry,
    admission: Admission,
    inbox: Inbox,
    tools: Toolbox,
    model: Model,
    knowledge: Knowledge,
) -> Later:
    """Without a language model there is no heartbeat: nobody would understand the tasks."""
    clock = WallClock()
    table = ScheduleTable(database)
    wanted = settings.schedules
    asked_model = model if settings.model.configured else None
    book = ScheduleBook(table, admission.people, clock.now_ms, devices=devices, zone=settings.agent.timezone)
    context = TurnContext(
        devices=devices,
        apps=AppTable(database),
        knowledge=knowledge,
        context_tokens=settings.agent.context_tokens,
    )
    scheduling = Scheduling(
        book=book,
        tools=tools,
        scene=context.devices,
        wakes_an_hour=wanted.wakes_an_hour,
        offline=asked_model is None,
    )
    subagents = Subagents(
        model=model,
        tools=tools,
        context=context,
        journal=Journal(database, now_ms),
        outbox=inbox.outbox,
        roles=admission.people,
        limits=SubagentLimits(count=settings.agent.subagents, iterations=settings.agent.iterations),
    )
    perform = ScheduledWork(inbox=inbox, tools=tools, gate=admission.gate)
    runner = Runner(book=book, table=table, perform=perform, clock=clock, wakes_an_hour=wanted.wakes_an_hour)
    return Later(
        tools=tools.with_more((*scheduling_tools(scheduling), *subagent_tools(subagents))),
        parts=ScheduleParts(admission.gate, scheduling, runner, subagents),
        runner=runner,
        subagents=subagents,
        nightly=Nightly(
            wanted.consolidate_at,
            book.zone,
            Consolidator(knowledge.memory, model=asked_model).run,
            name="consolidate_at",
            clock=clock,
        ),
        heartbeat=_heartbeat(settings, inbox, clock) if asked_model is not None else None,
    )


@asynccontextmanager
async def running_later(later: Later, group: asyncio.TaskGroup, ready: asyncio.Event | None) -> AsyncIterator[None]:
    """Inside, what is due runs, once `ready` is set; enter it after the agent and leave it before."""
    works: dict[str, Callable[[], Awaitable[None]]] = {
        "schedules": later.runner.run,
        "consolidation": later.nightly.run,
    }
    if later.heartbeat is not None:
        works["heartbeat"] = later.heartbeat.run
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(later.subagents.working())
        running = [group.create_task(_after(ready, work), name=name) for name, work in works.items()]
        try:
            yield
        finally:
            for task in running:
                task.cancel()
            await asyncio.wait(running)


async def _after(ready: asyncio.Event | None, work: Callable[[], Awaitable[None]]) -> None:
    if ready is not None:
        await ready.wait()
    await work()


def _heartbeat(settings: Settings, inbox: Inbox, clock: WallClock) -> Heartbeat | None:
    wanted = settings.schedules
    if wanted.heartbeat_minutes == 0:
        return None
    channel, _, chat_id = wanted.heartbeat_chat.partition(":")
    return Heartbeat(
        inbox=inbox,
        file=settings.persona / HEARTBEAT,
        minutes=wanted.heartbeat_minutes,
        clock=clock,
        place=(channel, chat_id or channel),
    )
