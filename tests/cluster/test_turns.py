"""Turns of one chat over two hosts: in order, each answered once, and a dead host's are taken up by the other."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from random import Random
from typing import TypeAlias

import pytest
from tests.agent.conftest import NoContext
from tests.cluster.hosts_of_tests import PATIENCE_S, Leases, Seat
from tests.store.two_hosts import until

from microclaw.agent.accepted_message import AcceptedMessage
from microclaw.agent.conversation import Conversations
from microclaw.agent.inbox import TAKEN, Inbox
from microclaw.agent.outbox import Outbox
from microclaw.auth.gate import Effect, Gate, Permission
from microclaw.config.settings import AgentSettings
from microclaw.events import Answer, Inbound
from microclaw.live_hosts import LeftWork
from microclaw.models.protocol import ModelReply, ModelRequest, OnText, ToolReturn
from microclaw.models.scripted import call, say
from microclaw.store.inbox import InboxTable
from microclaw.store.journal import Journal
from microclaw.store.outbox import OutboxTable
from microclaw.store.postgres import SharedDatabase
from microclaw.store.sessions import Sessions
from microclaw.store.sql import Sql
from microclaw.tools.tool import Parameters, Tool, ToolContext, ToolOutput
from microclaw.tools.toolbox import Toolbox


class Nothing(Parameters):
    pass


@dataclass
class World:
    """What happened on all hosts, in order. A host's tool that is in `held` waits before it acts."""

    events: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    held: dict[str, asyncio.Event] = field(default_factory=dict)
    holding: asyncio.Event = field(default_factory=asyncio.Event)


class Thinking:
    """Calls the tool `act` for "act", and says what it was told otherwise; knows nothing but the request."""

    name = "thinking"

    def __init__(self, host: str, world: World) -> None:
        self._host = host
        self._world = world

    async def warm_up(self) -> None:
        pass

    async def aclose(self) -> None:
        pass

    async def respond(self, request: ModelRequest, on_text: OnText | None = None) -> ModelReply:
        words = str(request.messages[-1])
        self._world.asked.append(" | ".join(str(one) for one in request.messages))
        returned = [one for one in request.messages if isinstance(one, ToolReturn)]
        if returned:
            return say(f"{self._host}: it is done")
        if "act" in words:
            return call("act")
        self._world.events.append(f"{self._host} answers {words.split('text=')[-1][:8]}")
        return say(f"{self._host} heard you")


@dataclass
class OneHost:
    name: str
    database: SharedDatabase
    conversations: Conversations
    inbox: Inbox
    left: LeftWork
    task: asyncio.Task[None] | None = None

    async def say(self, text: str, chat_id: str = "c1", key: str | None = None) -> AcceptedMessage:
        return await self.inbox.accept(Inbound("test", chat_id, text, key=key))


MakeHost: TypeAlias = Callable[..., AbstractAsyncContextManager[OneHost]]


@dataclass
class Stage:
    world: World
    leases: Leases
    make: MakeHost
    stack: AsyncExitStack

    async def host(self, name: str, effect: Effect = Effect.ONCE) -> OneHost:
        return await self.stack.enter_async_context(self.make(name, effect))


@pytest.fixture
async def stage(database_url: str) -> AsyncIterator[Stage]:
    world, leases = World(), Leases()

    @asynccontextmanager
    async def make(name: str, effect: Effect) -> AsyncIterator[OneHost]:
        async def act(_: Nothing, __: ToolContext) -> ToolOutput:
            world.events.append(f"{name} begins")
            if name in world.held:
                world.holding.set()
                await world.held[name].wait()
            world.events.append(f"{name} acts")
            return ToolOutput({"success": True})

        async with SharedDatabase.opened(database_url, name) as database:
            fleet = Seat(name, leases)
            inbox = Inbox(
                InboxTable(database, lambda: 1_700_000_000_000),
                Outbox(OutboxTable(database, lambda: 1_700_000_000_000), fleet=fleet),
                settings=AgentSettings(queue=64),
                fleet=fleet,
            )
            conversations = Conversations(
                inbox=inbox,
                model=Thinking(name, world),
                tools=Toolbox((Tool("act", "Act.", Nothing, Permission.ACT, effect, act),), Gate()),
                context=NoContext(),
                sessions=Sessions(database, lambda: 1_700_000_000_000),
                journal=Journal(database, lambda: 1_700_000_000_000),
            )
            async with conversations:
                await conversations.recover()
                left = LeftWork(fleet, {"turns": conversations.take_up})
                running = asyncio.create_task(left.run(), name=f"{name}: what dead hosts left")
                yield OneHost(name, database, conversations, inbox, left)
                running.cancel()
                await asyncio.wait((running,))

    async with AsyncExitStack() as stack:
        yield Stage(world, leases, make, stack)
        for held in world.held.values():
            held.set()


async def answer_of(accepted: AcceptedMessage) -> Answer:
    async with asyncio.timeout(PATIENCE_S):
        answer = await accepted.answer()
    assert answer is not None
    return answer


def words(text: str) -> str:
    """Without what the host adds about the acts."""
    return text.splitlines()[0]


async def test_turns_of_one_chat_run_in_order_over_two_hosts(stage: Stage) -> None:
    stage.world.held["a"] = asyncio.Event()
    a, b = await stage.host("a"), await stage.host("b")
    first = asyncio.create_task(answer_of(await a.say("act")))
    await asyncio.wait_for(stage.world.holding.wait(), PATIENCE_S)
    second = asyncio.create_task(answer_of(await b.say("second")))
    third = asyncio.create_task(answer_of(await b.say("third", "c2")))  # another chat does not wait
    assert words((await third).text) == "b heard you"
    assert not second.done()
    stage.world.events.append("released")
    stage.world.held["a"].set()
    assert "a: it is done" in (await first).text
    assert words((await second).text) == "b heard you"
    assert stage.world.events[-3:] == ["released", "a acts", stage.world.events[-1]]
    assert stage.world.events[-1].startswith("b answers")


async def test_a_chat_goes_on_at_another_host_with_all_that_was_said(stage: Stage) -> None:
    """Also when the next message is there already while the one before is answered."""
    stage.world.held["a"] = asyncio.Event()
    a, b = await stage.host("a"), await stage.host("b")
    first = asyncio.create_task(answer_of(await a.say("act on the blue lamp")))
    await asyncio.wait_for(stage.world.holding.wait(), PATIENCE_S)
    second = asyncio.create_task(answer_of(await b.say("second")))
    stage.world.held["a"].set()
    await asyncio.gather(first, second)
    await answer_of(await a.say("third"))
    assert "act on the blue lamp" in stage.world.asked[-2]
    assert "a: it is done" in stage.world.asked[-2]
    said = [
        stage.world.asked[-1].find(words) for words in ("blue lamp", "it is done", "second", "b heard you", "third")
    ]
    assert said == sorted(said)
    assert said[0] >= 0


@pytest.mark.parametrize(
    ("effect", "acted", "told"),
    [
        (Effect.ONCE, ["a begins"], "may have been done or not"),
        (Effect.IDEMPOTENT, ["a begins", "b begins", "b acts"], "done"),
    ],
)
async def test_a_dead_hosts_turn_goes_on_at_one_other_host(
    stage: Stage, effect: Effect, acted: list[str], told: str
) -> None:
    stage.world.held["a"] = asyncio.Event()
    a, b, c = await stage.host("a", effect), await stage.host("b", effect), await stage.host("c", effect)
    await a.say("act", key="k1")
    await asyncio.wait_for(stage.world.holding.wait(), PATIENCE_S)
    await a.say("waits at a", key="k2")
    later = await b.say("later")
    stage.leases.end("a")
    await answer_of(later)  # it came behind the two of the dead host
    async with asyncio.timeout(PATIENCE_S):  # while b hands the answer to "later", the chat's others are held back
        while len(waiting := await b.inbox.outbox.undelivered("test", "c1")) != 2:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    assert told in waiting[0].text
    assert waiting[0].key == "k1"
    took = "c" if any(event.startswith("c") for event in stage.world.events) else "b"
    assert [event for event in stage.world.events if "answers" not in event] == [
        event.replace("b ", f"{took} ") for event in acted
    ]
    assert (await c.say("act", key="k1")).duplicate
    stage.world.held["a"].set()


async def test_a_host_that_was_only_cut_off_does_nothing_for_a_turn_that_another_has(stage: Stage) -> None:
    stage.world.held["a"] = asyncio.Event()
    a, b = await stage.host("a"), await stage.host("b")
    cut_off = asyncio.create_task(answer_of(await a.say("act")))
    await asyncio.wait_for(stage.world.holding.wait(), PATIENCE_S)
    waiting = asyncio.create_task(answer_of(await a.say("waits at a")))
    stage.leases.end("a")
    await until(lambda: any(event.startswith("b answers") for event in stage.world.events))
    stage.world.held["a"].set()
    assert (await cut_off).error_code == TAKEN.error_code
    assert (await waiting).error_code == TAKEN.error_code
    texts = [words(one.text) for one in await b.inbox.outbox.undelivered("test", "c1")]
    assert len(texts) == 2
    assert texts[1] == "b heard you"


@pytest.mark.parametrize("seed", range(2))
async def test_every_message_gets_one_answer_in_its_chats_order_while_hosts_are_held_for_dead(
    stage: Stage, seed: int
) -> None:
    random = Random(seed)
    hosts = [await stage.host(name, Effect.IDEMPOTENT) for name in "abc"]
    accepted: list[tuple[str, int]] = []
    for number in range(30):
        if number in (12, 20):
            stage.leases.end("a" if number == 12 else "b")
        host = random.choice([host for host in hosts if host.name not in stage.leases.dead])
        chat_id = f"c{random.randrange(3)}"
        taken = await host.say(random.choice(("act", "hello")), chat_id, key=f"k{number}")
        accepted.append((chat_id, taken.message_id))
    last = hosts[-1]

    def answers(connection: Sql) -> list[tuple[str, int]]:
        rows = connection.execute("SELECT chat_id, message_id FROM outbox ORDER BY outbound_id")
        return [(str(chat_id), int(message_id)) for chat_id, message_id in rows]

    async with asyncio.timeout(PATIENCE_S):
        while len(await last.database.read(answers)) < len(accepted):  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    found = await last.database.read(answers)
    assert sorted(found) == sorted(accepted)
    for chat_id in ("c0", "c1", "c2"):
        assert [one for one in found if one[0] == chat_id] == [one for one in accepted if one[0] == chat_id]
    assert await last.database.read(
        lambda connection: connection.execute("SELECT count(*) FROM inbox WHERE state = 'waiting'").fetchone()
    ) == (0,)
