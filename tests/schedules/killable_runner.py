"""A process to kill: a runner over a real store that stops at a named point, or says what the last one left.

`killable_runner.py FOLDER TOOL POINT`: a schedule that calls TOOL falls due; one JSON line is printed at POINT, where
the process waits to be killed. With POINT "none" the runner goes on with what is there until nothing is open.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

from microclaw.auth.people import OWNER_ALONE
from microclaw.devices.registry import Registry
from microclaw.operations.operation import Permission
from microclaw.schedules.book import ScheduleBook
from microclaw.schedules.runner import Clock, Outcome, Runner, Started
from microclaw.store.database import Database
from microclaw.store.schedules import Schedule, ScheduleTable, ToolAct

FOLDER, TOOL, POINT = Path(sys.argv[1]), sys.argv[2], sys.argv[3]
BEGIN_MS, DUE_MS = 1_795_170_000_000, 1_795_170_060_000


def print_json(**values: Any) -> None:
    print(json.dumps(values), flush=True)


async def at(point: str) -> None:
    if point == POINT:
        print_json(at=point)
        await asyncio.get_running_loop().create_future()


class FixedClock(Clock):
    def __init__(self) -> None:
        super().__init__(lambda: self.at_ms)
        self.at_ms = BEGIN_MS

    async def wait(self, news: asyncio.Event, until_ms: int | None) -> None:
        await news.wait()


class Hands:
    def __init__(self) -> None:
        self.told: list[str] = []
        self.heard = asyncio.Event()

    async def run(self, schedule: Schedule, due_ms: int, started: Started, note: str) -> Outcome:
        await at("claimed")
        await started()
        await at("started")
        with (FOLDER / "world").open("a") as world:
            world.write("acted\n")
            world.flush()
            os.fsync(world.fileno())
        await at("acted")
        return Outcome("done", "acted")

    def may_repeat(self, schedule: Schedule) -> bool:
        return isinstance(schedule.deed, ToolAct) and schedule.deed.tool == "again"

    async def tell(self, schedule: Schedule, text: str) -> None:
        self.told.append(text)
        self.heard.set()


async def main() -> None:
    clock, hands = FixedClock(), Hands()
    async with Database.open(FOLDER / "store.db") as database:
        table = ScheduleTable(database)
        book = ScheduleBook(
            table, OWNER_ALONE, clock.now_ms, devices=cast("Registry", SimpleNamespace(list=tuple)), zone="UTC"
        )
        if POINT != "none":
            when, chat = "in 1 minute", ("terminal", "terminal")
            timing, act = book.timing(when), ToolAct(TOOL, "{}")
            await book.add(Schedule(when, "act", timing, act, "owner", *chat, None, "run", Permission.ACT, None))
        clock.at_ms = DUE_MS
        runner = Runner(book=book, table=table, perform=hands, clock=clock, wakes_an_hour=1)
        running = asyncio.create_task(runner.run())
        async with asyncio.timeout(60):
            await hands.heard.wait()  # the last thing that a run does
        states = [run.state for run in await table.runs(1)]
        print_json(told=hands.told, states=states, schedule=(await book.get(1)).state)
        running.cancel()
        await asyncio.wait((running,))


asyncio.run(main())
