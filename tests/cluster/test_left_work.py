"""What a host had begun is left alone while it lives, and is closed or sent once, by another, when it is dead."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, aclosing
from types import SimpleNamespace
from typing import Any, TypeAlias

import psycopg
import pytest
from tests.cluster.hosts import Leases, Seat
from tests.store.two_hosts import until

from microclaw.agent.inbox import Inbox
from microclaw.agent.outbox import Outbox
from microclaw.apps.changes import AppVersion, ChangeLog, PutApp
from microclaw.errors import DeployRejected, TakenOver
from microclaw.events import Answer, Inbound
from microclaw.link_server.tasks import DeviceTasks
from microclaw.store.inbox import InboxTable
from microclaw.store.link_events import LinkTaskTable, OpenTask, add_task, end_in
from microclaw.store.outbox import OutboxTable
from microclaw.store.postgres import SharedDatabase
from microclaw.wire.link.messages import TaskStatus

BLINK = PutApp("blink", AppVersion("ab", 8192, 20, 180_000, (2,)))
Opened: TypeAlias = Callable[[str], Awaitable[tuple[SharedDatabase, Seat]]]


@pytest.fixture
async def stack() -> AsyncIterator[AsyncExitStack]:
    async with AsyncExitStack() as stack:
        yield stack


@pytest.fixture
def host(database_url: str, leases: Leases, stack: AsyncExitStack) -> Opened:
    async def opened(name: str) -> tuple[SharedDatabase, Seat]:
        return await stack.enter_async_context(SharedDatabase.opened(database_url, name)), Seat(name, leases)

    return opened


async def test_a_change_that_a_live_host_makes_is_no_other_hosts_to_close(host: Opened, leases: Leases) -> None:
    logs = []
    for name in ("a", "b"):
        database, fleet = await host(name)
        logs.append(ChangeLog(database, fleet=fleet))
    a, b = logs
    number = await a.plan("d-1", "app.deploy", "put blink", BLINK, None)
    assert [change.change_id for change in await a.unfinished("d-1")] == [number]
    assert await b.unfinished() == []
    with pytest.raises(DeployRejected):
        await b.plan("d-1", "app.deploy", "put another", BLINK, None)
    await b.plan("d-2", "app.deploy", "put it elsewhere", BLINK, None)
    leases.end("a")
    assert [change.change_id for change in await b.unfinished("d-1")] == [number]
    await b.fail(number)
    await b.plan("d-1", "app.deploy", "put another", BLINK, None)


async def test_a_devices_task_ends_once_at_one_host_when_its_own_is_dead(
    host: Opened, leases: Leases, stack: AsyncExitStack
) -> None:
    a, _ = await host("a")
    taken, ended = OpenTask("d-1", "t1", b"1", "a"), list[str]()
    assert await a.write(lambda sql: add_task(sql, taken, 1)) is None
    tasks = []
    for name in ("b", "c"):
        database, fleet = await host(name)

        async def end_task(task: OpenTask, status: TaskStatus, database: SharedDatabase = database) -> None:
            await database.write(lambda sql: end_in(sql, task))
            ended.append(status.state)

        board: Any = SimpleNamespace(link_id="d-1", name="lamp", online=False, tell=None, end_task=end_task)
        tasks.append(DeviceTasks(LinkTaskTable(database), fleet))
        runner: Any = None  # no task is started here
        await stack.enter_async_context(tasks[-1].serving(runner, lambda _, board=board: board))  # type: ignore[misc]
    assert ended == []
    leases.end("a")
    await asyncio.gather(*(one.take_up() for one in tasks))
    assert ended == ["failed"]
    with pytest.raises(TakenOver):
        await a.write(lambda sql: end_in(sql, taken))


async def test_each_text_is_sent_by_one_host_and_what_a_dead_one_had_in_hand_by_another(
    host: Opened, leases: Leases
) -> None:
    outboxes, sent = list[Outbox](), dict[str, list[str]]()

    async def send(name: str) -> None:
        database, fleet = await host(name)
        outboxes.append(Outbox(OutboxTable(database, lambda: 1_700_000_000_000), fleet=fleet))
        sent[name] = []
        async with aclosing(outboxes[-1].outgoing("test")) as going_out:
            async for outbound in going_out:  # none is delivered
                sent[name].append(outbound.text)

    sending = [asyncio.create_task(send(name)) for name in "ab"]
    await until(lambda: len(sent) == 2)
    texts = [f"note {number}" for number in range(20)]
    for number, text in enumerate(texts):
        await outboxes[number % 2].push("test", "c1", text)
    await until(lambda: len(sent["a"] + sent["b"]) == len(texts))
    assert sorted(sent["a"] + sent["b"]) == sorted(texts)
    sending[0].cancel()
    leases.end("a")
    await until(lambda: len(sent["b"]) == len(texts))
    assert sorted(sent["b"]) == sorted(texts)
    sending[1].cancel()
    await asyncio.wait(sending)


async def test_a_turn_whose_answer_the_database_did_not_take_is_taken_up_at_its_own_host(
    host: Opened, database_url: str
) -> None:
    inboxes = []
    for name in "ab":
        database, fleet = await host(name)
        outbox = Outbox(OutboxTable(database, lambda: 1_700_000_000_000), fleet=fleet)
        inboxes.append(Inbox(InboxTable(database, lambda: 1_700_000_000_000), outbox, fleet=fleet))
        await inboxes[-1].open()
    a, b = inboxes
    await a.accept(Inbound("test", "c1", "one"))
    turn = await anext(a)
    await b.accept(Inbound("test", "c1", "two"))
    waits = asyncio.create_task(anext(b))
    with psycopg.connect(database_url, autocommit=True) as other:
        other.execute("ALTER TABLE outbox RENAME TO away")
        assert (await a.answer(turn, Answer("done"))).outbound_id is None
        other.execute("ALTER TABLE away RENAME TO outbox")
    a.finish(turn)
    await a.take_up()
    again = await asyncio.wait_for(anext(a), 60)
    await a.take_up()
    assert (again.number, again.message.starts, waits.done()) == (turn.number, 1, False)
    assert (await a.answer(again, Answer("done"))).outbound_id is not None
    a.finish(again)
    assert (await asyncio.wait_for(waits, 60)).message.inbound.text == "two"
    assert not a.is_busy("test", "c1")
