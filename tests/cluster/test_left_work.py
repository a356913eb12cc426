"""What a host had begun is left alone while that host lives, and is closed once, by one other host, when it is dead."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from tests.cluster.hosts_of_tests import Leases, Seat

from microclaw.apps.changes import AppVersion, ChangeLog, PutApp
from microclaw.clock import now_ms
from microclaw.config.settings import TaskSettings
from microclaw.errors import DeployRejected, Overloaded, TakenOver
from microclaw.link_server.tasks import DeviceTasks, TaskEnd, Tell
from microclaw.live_hosts import LeftWork
from microclaw.sandbox.run import run_sandboxed, sandbox_backend
from microclaw.store.link_events import LinkTaskTable, OpenTask, add_task, end_in
from microclaw.store.postgres import SharedDatabase
from microclaw.store.tasks import TaskRow, TaskTable
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
        logs.append(ChangeLog(database, fleet=fleet))
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


@dataclass
class Board:
    """The device of the tasks: what it was told goes to `ended` in the transaction that ends the task."""

    database: SharedDatabase
    ended: list[str]
    link_id: str = "d-1"
    name: str = "lamp"
    online: bool = False

    def tell(self, body: TaskStatus) -> None: ...

    async def end_task(self, open_task: OpenTask, status: TaskStatus) -> None:
        await self.database.write(lambda connection: end_in(connection, open_task))
        self.ended.append(f"{open_task.host} {status.state}")


class NoRunner:
    async def run(self, device: str, text: str, tell: Tell, waits: object) -> TaskEnd:
        raise NotImplementedError("no task is started here")


async def test_a_devices_task_ends_once_at_one_host_when_its_own_is_dead(stage: Stage) -> None:
    a, _ = await stage.host("a")
    taken = OpenTask("d-1", "t1", b"1", "a")
    assert await a.write(lambda connection: add_task(connection, taken, 1)) is None
    ended: list[str] = []
    tasks = []
    for name in ("b", "c"):
        database, fleet = await stage.host(name)
        tasks.append(DeviceTasks(LinkTaskTable(database), fleet))
        board = Board(database, ended)
        await stage.stack.enter_async_context(tasks[-1].serving(NoRunner(), lambda _, board=board: board))  # type: ignore[misc]
    assert ended == []
    stage.leases.end("a")
    await asyncio.gather(*(one.take_up() for one in tasks))
    assert len(ended) == 1
    assert ended[0] in ("b failed", "c failed")
    with pytest.raises(TakenOver):
        await a.write(lambda connection: end_in(connection, taken))


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


async def test_code_that_runs_at_a_live_host_is_not_interrupted_by_the_start_of_another(stage: Stage) -> None:
    a, _ = await stage.host("a")
    row = TaskRow("owner", "Eva", "cli", "c1", "python", 1, "ab", "{}", now_ms(), state="running", host="a")
    number = await TaskTable(a).add(row)
    services = []
    for name in ("b", "c"):
        database, fleet = await stage.host(name)
        services.append(_service(database, fleet, stage.folder / name / "tasks"))
        await stage.stack.enter_async_context(services[-1].serving())
    assert (await TaskTable(a).get(number)) is not None
    assert (await services[0].row(number)).state == "running"
    stage.leases.end("a")
    await asyncio.gather(*(one.take_up() for one in services))
    ended = await services[0].row(number)
    assert (ended.state, ended.ending) == ("failed", "interrupted")
    assert ended.host in ("b", "c")


async def test_a_task_of_another_host_is_listed_with_its_end_and_asked_for_there(stage: Stage) -> None:
    (a, fleet), (b, other) = await stage.host("a-0001"), await stage.host("b-0001")
    here, there = _service(a, fleet, stage.folder / "a" / "tasks"), _service(b, other, stage.folder / "b" / "tasks")
    for service in (here, there):
        await stage.stack.enter_async_context(service.serving())
    order = TaskOrder(
        language="python", code=f"open('o', 'w').write('x'); print('y' * {TAIL_BYTES + 9})", person_id="owner",
        asked_by="Eva", approval="none", keep=("o",),
    )  # fmt: skip
    row = await here.wait((await here.submit(order)).number)
    assert row.state == "done", row.reason
    running = await TaskTable(a).add(replace(row, number=0, state="running", host="a-0001"))
    earlier = await TaskTable(a).add(replace(row, number=0, state="running", host="b-0000"))
    shown = await there.view(row.number)
    assert (shown.row, len(shown.output), shown.begins) == (row, TAIL_BYTES, 10)
    for act in (there.file(row.number, "o"), there.cancel(running), there.view(running)):
        with pytest.raises(Overloaded):
            await act
    assert (await there.cancel(earlier)).ending == "interrupted"
    assert (await here.file(row.number, "o")).read_text() == "x"


async def test_left_work_is_looked_at_when_a_host_leaves_and_again_after_a_failure() -> None:
    leases = Leases()
    looks: asyncio.Queue[str] = asyncio.Queue()
    fails = [TakenOver("not yet")]

    async def one() -> None:
        looks.put_nowait("one")
        if fails:
            raise fails.pop()

    async def two() -> None:
        looks.put_nowait("two")

    left = LeftWork(Seat("b", leases), {"one": one, "two": two}, every_s=600)
    with pytest.raises(TakenOver):
        await left.run()
    running = asyncio.create_task(left.run())
    try:
        async with asyncio.timeout(60):
            assert [await looks.get() for _ in range(4)] == ["one", "two"] * 2
            leases.end("a")
            assert [await looks.get() for _ in range(2)] == ["one", "two"]
    finally:
        running.cancel()
        await asyncio.wait((running,))
