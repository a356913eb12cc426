"""What a host had begun is left alone while that host lives, and is closed once, by one other host, when it is dead."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from tests.cluster.hosts import Leases, Seat

from microclaw.apps.changes import AppVersion, ChangeLog, PutApp
from microclaw.clock import now_ms
from microclaw.config.settings import TaskSettings
from microclaw.errors import DeployRejected, Overloaded, TakenOver
from microclaw.link_server.tasks import DeviceTasks
from microclaw.sandbox.run import run_sandboxed, sandbox_backend
from microclaw.store.apps import AppTable
from microclaw.store.link_tasks import LinkTaskTable, OpenTask, add_to, end_in
from microclaw.store.postgres import SharedDatabase
from microclaw.store.tasks import TaskTable
from microclaw.tasks.folders import TaskFolders
from microclaw.tasks.live import TAIL_BYTES
from microclaw.tasks.order import TaskOrder
from microclaw.tasks.service import TaskService
from microclaw.wire.link.messages import TaskStatus

BLINK = PutApp("blink", AppVersion("ab", 8192, 20, 180_000, (2,)))


@dataclass
class Stage:
    leases: Leases
    url: str
    folder: Path
    stack: AsyncExitStack

    async def host(self, name: str) -> tuple[SharedDatabase, Seat]:
        opened = SharedDatabase.opened(self.url, name)
        return await self.stack.enter_async_context(opened), Seat(name, self.leases)


@pytest.fixture
async def stage(database_url: str, tmp_path: Path) -> AsyncIterator[Stage]:
    async with AsyncExitStack() as stack:
        yield Stage(Leases(), database_url, tmp_path, stack)


async def test_a_change_that_a_live_host_makes_is_no_other_hosts_to_close(stage: Stage) -> None:
    logs = []
    for name in ("a", "b"):
        database, fleet = await stage.host(name)
        logs.append(ChangeLog(AppTable(database), fleet=fleet))
    a, b = logs
    number = await a.plan("d-1", "app.deploy", "put blink", BLINK, None)
    assert [change.change_id for change in await a.unfinished("d-1")] == [number]
    assert await b.unfinished() == []
    with pytest.raises(DeployRejected):
        await b.plan("d-1", "app.deploy", "put another", BLINK, None)
    await b.plan("d-2", "app.deploy", "put it elsewhere", BLINK, None)
    stage.leases.end("a")
    assert [change.change_id for change in await b.unfinished("d-1")] == [number]
    await b.fail(number)
    await b.plan("d-1", "app.deploy", "put another", BLINK, None)


async def test_a_devices_task_ends_once_at_one_host_when_its_own_is_dead(stage: Stage) -> None:
    a, _ = await stage.host("a")
    taken, ended = OpenTask("d-1", "t1", b"1", "a"), list[str]()
    assert await a.write(lambda sql: add_to(sql, taken, 1)) is None
    tasks = []
    for name in ("b", "c"):
        database, fleet = await stage.host(name)

        async def end_task(task: OpenTask, status: TaskStatus, database: SharedDatabase = database) -> None:
            await database.write(lambda sql: end_in(sql, task))
            ended.append(status.state)

        board: Any = SimpleNamespace(link_id="d-1", name="lamp", online=False, tell=None, end_task=end_task)
        tasks.append(DeviceTasks(LinkTaskTable(database), fleet))
        runner: Any = None  # no task is started here
        await stage.stack.enter_async_context(tasks[-1].serving(runner, lambda _, board=board: board))  # type: ignore[misc]
    assert ended == []
    stage.leases.end("a")
    await asyncio.gather(*(one.take_up() for one in tasks))
    assert ended == ["failed"]
    with pytest.raises(TakenOver):
        await a.write(lambda sql: end_in(sql, taken))


def _service(database: SharedDatabase, fleet: Seat, folder: Path) -> TaskService:
    return TaskService(
        TaskTable(database),
        TaskFolders(folder),
        TaskSettings(),
        run=run_sandboxed,
        check_sandbox=sandbox_backend,
        record=lambda _: None,
        publish=lambda _: None,
        now_ms=now_ms,
        fleet=fleet,
    )


async def test_a_task_of_another_host_is_listed_and_asked_for_there_and_ends_once_when_that_is_dead(
    stage: Stage,
) -> None:
    services = []
    for name in ("a-0001", "b-0001", "c-0001"):
        database, fleet = await stage.host(name)
        services.append(_service(database, fleet, stage.folder / name / "tasks"))
        await stage.stack.enter_async_context(services[-1].serving())
    here, there, third = services
    order = TaskOrder(
        language="python", code=f"open('o', 'w').write('x'); print('y' * {TAIL_BYTES + 9})", person_id="owner",
        asked_by="Eva", approval="none", keep=("o",),
    )  # fmt: skip
    row = await here.wait((await here.submit(order)).number)
    assert row.state == "done", row.reason
    running = await TaskTable(database).add(replace(row, number=0, state="running", host="a-0001"))
    earlier = await TaskTable(database).add(replace(row, number=0, state="running", host="b-0000"))
    shown = await there.view(row.number)
    assert (shown.row, len(shown.output), shown.begins) == (row, TAIL_BYTES, 10)
    for act in (there.file(row.number, "o"), there.cancel(running), there.view(running)):
        with pytest.raises(Overloaded):
            await act
    assert (await there.cancel(earlier)).ending == "interrupted"
    assert (await here.file(row.number, "o")).read_text() == "x"
    await there.take_up()
    assert (await there.row(running)).state == "running", "its host lives"
    stage.leases.end("a-0001")
    await asyncio.gather(there.take_up(), third.take_up())
    ended = await there.row(running)
    assert (ended.state, ended.ending) == ("failed", "interrupted")
    assert ended.host in ("b-0001", "c-0001")
