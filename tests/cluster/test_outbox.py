"""What goes out of a cluster: each answer and push by one host, also when the one that held it dies."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Collection
from contextlib import AsyncExitStack, aclosing
from dataclasses import dataclass

import pytest
from tests.cluster.hosts_of_tests import PATIENCE_S, Leases, Seat
from tests.store.two_hosts import until

from microclaw.agent.inbox import Inbox
from microclaw.agent.outbox import Outbound, Outbox
from microclaw.events import Answer, Inbound
from microclaw.store.inbox import InboxTable
from microclaw.store.outbox import OutboxTable
from microclaw.store.postgres import SharedDatabase


@dataclass
class OneHost:
    database: SharedDatabase
    inbox: Inbox

    @property
    def outbox(self) -> Outbox:
        return self.inbox.outbox

    async def answer(self, text: str, *, listens: bool, chat_id: str = "c1") -> int:
        """Take a message in and answer it; its number in the outbox. Who `listens` keeps the answer in hand."""
        accepted = await self.inbox.accept(Inbound("test", chat_id, text))
        if listens:
            self._reading = asyncio.create_task(_read(accepted.events))
            await asyncio.sleep(0)  # it has begun to listen
        turn = await anext(self.inbox)
        with self.outbox.handing_out(*turn.chat_key):
            answer = await self.inbox.answer(turn, Answer(f"to {text}"))
            self.outbox.hand_out("test", answer, turn.streams)
        self.inbox.finish(turn)
        assert answer.outbound_id is not None
        await self.outbox.let_go(answer.outbound_id)
        return answer.outbound_id


async def _read(events: AsyncGenerator[object, None]) -> None:
    async for _ in events:
        pass


@dataclass
class Stage:
    a: OneHost
    b: OneHost
    leases: Leases


@pytest.fixture
async def stage(database_url: str) -> AsyncIterator[Stage]:
    leases, hosts = Leases(), []
    async with AsyncExitStack() as stack:
        for name in ("a", "b"):
            database = await stack.enter_async_context(SharedDatabase.opened(database_url, name))
            fleet = Seat(name, leases)
            outbox = Outbox(OutboxTable(database, lambda: 1_700_000_000_000), fleet=fleet)
            inbox = Inbox(InboxTable(database, lambda: 1_700_000_000_000), outbox, fleet=fleet)
            await inbox.open()
            hosts.append(OneHost(database, inbox))
        yield Stage(hosts[0], hosts[1], leases)


def sending(host: OneHost, chats: Callable[[], Collection[str]] | None = None) -> tuple[asyncio.Task[None], list[str]]:
    """A channel of that host, and the texts that it was given; it delivers none of them."""
    sent: list[str] = []

    async def send() -> None:
        async with aclosing(host.outbox.outgoing("test", chats=chats)) as going_out:
            async for outbound in going_out:
                sent.append(outbound.text)  # noqa: PERF401 - it is read while it grows

    return asyncio.create_task(send()), sent


async def first(outgoing: AsyncGenerator[Outbound, None]) -> Outbound:
    async with asyncio.timeout(PATIENCE_S):
        return await anext(outgoing)


async def test_two_hosts_with_one_channel_send_each_text_once(stage: Stage) -> None:
    (at_a, by_a), (at_b, by_b) = sending(stage.a), sending(stage.b)
    texts = [f"note {number}" for number in range(20)]
    try:
        for number, text in enumerate(texts):
            await (stage.a, stage.b)[number % 2].outbox.push("test", "c1", text)
        await until(lambda: len(by_a) + len(by_b) == len(texts))
        assert sorted(by_a + by_b) == sorted(texts)
    finally:
        for task in (at_a, at_b):
            task.cancel()
        await asyncio.wait((at_a, at_b))


async def test_an_answer_that_a_listener_has_in_hand_is_sent_elsewhere_only_when_its_host_is_dead(
    stage: Stage,
) -> None:
    number = await stage.a.answer("one", listens=True)
    assert await stage.b.outbox.undelivered("test", "c1") == ()
    await stage.b.outbox.push("test", "c1", "a note")
    async with aclosing(stage.b.outbox.outgoing("test")) as outgoing:
        assert (await first(outgoing)).text == "a note"
        waiting = asyncio.create_task(first(outgoing))
        stage.leases.end("a")
        assert (await waiting).outbound_id == number
    assert await stage.a.outbox.undelivered("test", "c1") == ()  # b has both in hand
    await stage.b.outbox.delivered(number)
    stage.leases.end("b")
    assert [one.text for one in await stage.a.outbox.undelivered("test", "c1")] == ["a note"]


async def test_an_answer_that_its_listener_gave_back_is_sent_by_the_host_that_has_the_channel(stage: Stage) -> None:
    number = await stage.a.answer("one", listens=True)
    async with aclosing(stage.b.outbox.outgoing("test")) as outgoing:
        waiting = asyncio.create_task(first(outgoing))
        await stage.a.outbox.give_back(number)
        assert (await waiting).outbound_id == number


async def test_a_chat_is_served_by_the_host_where_somebody_reads_it(stage: Stage) -> None:
    here: list[str] = []
    (at_a, by_a), (at_b, by_b) = sending(stage.a, lambda: ["c1"]), sending(stage.b, lambda: here)
    try:
        for number in range(70):  # more than are looked at together wait for nobody
            await stage.a.outbox.push("test", "nobody", f"unread {number}")
        await stage.a.outbox.push("test", "c2", "to c2")
        await stage.b.outbox.push("test", "c1", "to c1")
        here.append("c2")
        stage.b.outbox.look_again("test")
        await until(lambda: by_a and by_b)
        assert (by_a, by_b) == (["to c1"], ["to c2"])
    finally:
        for task in (at_a, at_b):
            task.cancel()
        await asyncio.wait((at_a, at_b))
