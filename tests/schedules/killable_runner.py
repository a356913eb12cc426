"""A process to kill: a runner over a real store that stops at a named point, or says what the last one left.

`python -m tests.schedules.killable_runner FOLDER TOOL POINT`: a schedule that calls TOOL falls due; POINT is printed
when it is reached, where the process waits to be killed. With POINT "none" the runner goes on with what is there, and
one JSON line says how the run ended.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path

from tests.schedules.conftest import Boards, Clock, Hands

from microclaw.auth.people import OWNER_ALONE
from microclaw.operations.operation import Permission
from microclaw.schedules.book import ScheduleBook
from microclaw.schedules.runner import Outcome, Runner, Started
from microclaw.store.database import Database
from microclaw.store.schedules import Schedule, ScheduleTable, ToolAct

FOLDER, TOOL, POINT = Path(sys.argv[1]), sys.argv[2], sys.argv[3]


async def at(point: str) -> None:
    if point == POINT:
        print(point, flush=True)
        await asyncio.get_running_loop().create_future()


class ActingHands(Hands):
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


async def main() -> None:
    clock, hands = Clock(), ActingHands()
    async with Database.open(FOLDER / "store.db") as database:
        table = ScheduleTable(database)
        book = ScheduleBook(table, OWNER_ALONE, clock.now_ms, devices=Boards().registry, zone="UTC")
        if POINT != "none":
            when, chat = "in 1 minute", ("terminal", "terminal")
            timing, act = book.timing(when), ToolAct(TOOL, "{}")
            await book.add(Schedule(when, "act", timing, act, "owner", *chat, None, "run", Permission.ACT, None))
        clock.at_ms += 60_000
        runner = Runner(book=book, table=table, perform=hands, clock=clock, wakes_an_hour=1)
        running = asyncio.create_task(runner.run())
        async with asyncio.timeout(60):
            told = await hands.told.get()  # the last thing that a run does
        states = [run.state for run in await table.runs(1)]
        print(json.dumps([told, states, (await book.get(1)).state]))
        running.cancel()
        await asyncio.wait((running,))


asyncio.run(main())
