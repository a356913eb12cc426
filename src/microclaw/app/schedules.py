"""Joins what is done later: the book of schedules, its runner, and the tools that make them. Opens no store."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from microclaw.agent.context import BoardSurroundings
from microclaw.agent.mail import Mail
from microclaw.agent.scheduled import Scheduled
from microclaw.app.admission import Admission
from microclaw.config import Settings
from microclaw.devices.registry import Registry
from microclaw.knowledge.schedule.book import ScheduleBook
from microclaw.knowledge.schedule.runner import Runner, WallClock
from microclaw.store.apps import AppTable
from microclaw.store.database import Database
from microclaw.store.schedules import ScheduleTable
from microclaw.tools.scheduling import Scheduling, scheduling_tools
from microclaw.tools.toolbox import Toolbox
from microclaw.web.schedule_api import ScheduleParts


@dataclass(frozen=True, slots=True)
class Later:
    """`tools` has those that make schedules besides the tools that a schedule may call."""

    tools: Toolbox
    parts: ScheduleParts
    runner: Runner


def build_later(
    settings: Settings, database: Database, devices: Registry, admission: Admission, mail: Mail, tools: Toolbox
) -> Later:
    clock = WallClock()
    table = ScheduleTable(database)
    wakes = settings.schedules.wakes_an_hour
    book = ScheduleBook(table, admission.people, clock.now_ms, zone=settings.agent.timezone)
    scheduling = Scheduling(
        book=book,
        tools=tools,
        scene=BoardSurroundings(devices=devices, apps=AppTable(database)).scene,
        wakes_an_hour=wakes,
        offline=not settings.model.configured,
    )
    perform = Scheduled(mail=mail, tools=tools, gate=admission.gate)
    runner = Runner(book=book, table=table, perform=perform, clock=clock, wakes_an_hour=wakes)
    parts = ScheduleParts(admission.gate, scheduling, runner)
    return Later(tools.with_more(scheduling_tools(scheduling)), parts, runner)


@asynccontextmanager
async def running_later(later: Later, group: asyncio.TaskGroup, ready: asyncio.Event | None) -> AsyncIterator[None]:
    """Inside, what is due runs, once `ready` is set; enter it after the agent and leave it before."""
    running = group.create_task(_run(later, ready), name="schedules")
    try:
        yield
    finally:
        running.cancel()
        await asyncio.wait((running,))


async def _run(later: Later, ready: asyncio.Event | None) -> None:
    if ready is not None:
        await ready.wait()
    await later.runner.run()
