"""Schedules as a part of the host: acts and turns at their times. This file starts nothing."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from functools import partial
from typing import Final

from microclaw.agent.schedules.book import ScheduleBook
from microclaw.agent.schedules.operations import list_schedules
from microclaw.agent.schedules.runner import Runner, WallClock
from microclaw.agent.schedules.scheduling import ScheduleTools, Scheduling
from microclaw.devices.registry.registry import Registry
from microclaw.host.builder.builder import HostBuilder
from microclaw.host.builder.hooks import Row
from microclaw.host.config.forms import coordinates
from microclaw.host.store.schedules import Schedule, ScheduleTable
from microclaw.supervision import SupervisedTasks
from microclaw.text import moment_text

TASK: Final = "schedules"
# Lines for the schedules that are due next.
SHOWN: Final = 5


def setup(host: HostBuilder) -> None:
    """Make schedules, and run them when they are due."""
    tools = host.need(ScheduleTools)
    settings = host.settings
    people = host.admission.people
    clock = WallClock(host.now_ms)
    book = ScheduleBook(
        ScheduleTable(host.database),
        people,
        clock.now_ms,
        devices=host.need(Registry),
        zone=settings.agent.timezone or "",
        place=coordinates(settings.agent.place),
    )
    runner = Runner(
        book=book,
        perform=tools.perform,
        clock=clock,
        wakes_an_hour=settings.schedules.wakes_an_hour,
        report=partial(host.need(SupervisedTasks).note, TASK),
        fleet=host.fleet,
    )
    host.serves(list_schedules, Scheduling(book, runner, tools, host.admission.gate.name_of))
    host.turn_task(TASK, runner.run)
    host.left_work["schedules"] = runner.recover_runs
    _show(host, book)


def _show(host: HostBuilder, book: ScheduleBook) -> None:
    async def rows() -> AsyncIterator[Row]:
        for text in _lines(await book.all()):
            yield "schedule", text

    host.hooks.on_screen("plans", rows)


def _lines(schedules: Sequence[Schedule]) -> Iterator[str]:
    due = []
    for schedule in schedules:
        if schedule.state == "active" and schedule.next_ms is not None:
            due.append((schedule.next_ms, schedule))
    due.sort(key=lambda pair: pair[0])
    for next_ms, schedule in due[:SHOWN]:
        yield f"{moment_text(next_ms)}   {schedule.what} ({schedule.said})"
    if len(schedules) > len(due[:SHOWN]):
        yield f"{len(schedules)} in all: microclaw schedule list"
