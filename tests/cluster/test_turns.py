"""Turns over two hosts: in their chat's order, each answered once; a dead host's, and its answers, go to the other."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, aclosing
from dataclasses import dataclass, field
from random import Random
from typing import TypeAlias

import pytest
from tests.agent.conftest import NoContext
from tests.cluster.hosts import PATIENCE_S, Leases, Seat
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
from microclaw.tools.tool import Parameters, Tool, ToolContext, ToolOutput
from microclaw.tools.toolbox import Toolbox

NOW_MS = 1_700_000_000_000


class Nothing(Parameters):
    pass


@dataclass
class World:
    """What happened on all hosts, in order. The host a's tool waits before it acts, until `release`."""

    events: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    holding: asyncio.Event = field(default_factory=asyncio.Event)
    release: asyncio.Event = field(default_factory=asyncio.Event)


@dataclass
class Thinking:
    """Calls the tool `act` for "act", and says what it was told otherwise; knows nothing but the request."""

    host: str
    world: World
    name: str = "thinking"

    async def warm_up(self) -> None: ...

    async def aclose(self) -> None: ...

    async def respond(self, request: ModelRequest, on_text: OnText | None = None) -> ModelReply:
        self.world.asked.append(" | ".join(str(one) for one in request.messages))
        if any(isinstance(one, ToolReturn) for one in request.messages):
            return say(f"{self.host}: it is done")
        return call("act") if "act" in str(request.messages[-1]) else say(f"{self.host} heard you")


@dataclass
class OneHost:
    name: str
    database: SharedDatabase
    inbox: Inbox

    async def say(self, text: str, chat_id: str = "c1", key: str | None = None) -> AcceptedMessage:
        return await self.inbox.accept(Inbound("test", chat_id, text, key=key))

    async def undelivered(self) -> list[str]:
        """Without what the host adds about the acts."""
        return [one.text.splitlines()[0] for one in await self.inbox.outbox.undelivered("test", "c1")]


MakeHost: TypeAlias = Callable[[str, Effect], Awaitable[OneHost]]


@dataclass
class Stage:
    world: World
    leases: Leases
    host: MakeHost


@pytest.fixture
async def stage(database_url: str) -> AsyncIterator[Stage]:
    world, leases = World(), Leases()
    async with AsyncExitStack() as stack:

        async def host(name: str, effect: Effect) -> OneHost:
            async def act(_: Nothing, __: ToolContext) -> ToolOutput:
                world.events.append(f"{name} begins")
                if name == "a":
                    world.holding.set()
                    await world.release.wait()
                world.events.append(f"{name} acts")
                return ToolOutput({"success": True})

            database, fleet = (
                await stack.enter_async_context(SharedDatabase.opened(database_url, name)),
                Seat(name, leases),
            )
            outbox = Outbox(OutboxTable(database, lambda: NOW_MS), fleet=fleet)
            inbox = Inbox(InboxTable(database, lambda: NOW_MS), outbox, settings=AgentSettings(queue=64), fleet=fleet)
            conversations = Conversations(
                inbox=inbox,
                model=Thinking(name, world),
                tools=Toolbox((Tool("act", "Act.", Nothing, Permission.ACT, effect, act),), Gate()),
                context=NoContext(),
                sessions=Sessions(database, lambda: NOW_MS),
                journal=Journal(database, lambda: NOW_MS),
            )
            await stack.enter_async_context(conversations)
            await conversations.recover()
            running = asyncio.create_task(LeftWork(fleet, {"turns": conversations.take_up}).run())
            stack.push_async_callback(asyncio.wait, (running,))
            stack.callback(running.cancel)
            return OneHost(name, database, inbox)

        stack.callback(world.release.set)
        yield Stage(world, leases, host)
        world.release.set()


async def answer_of(accepted: AcceptedMessage) -> Answer:
    async with asyncio.timeout(PATIENCE_S):
        answer = await accepted.answer()
    assert answer is not None
    return answer


@pytest.mark.parametrize(
    ("effect", "acted", "told"),
    [
        (Effect.ONCE, ["a begins"], "may have been done or not"),
        (Effect.IDEMPOTENT, ["a begins", "b begins", "b acts"], "done"),
    ],
)
async def test_a_dead_hosts_turns_go_on_once_in_order_and_it_does_nothing_for_them_when_it_was_only_cut_off(
    stage: Stage, effect: Effect, acted: list[str], told: str
) -> None:
    a, b, c = [await stage.host(name, effect) for name in "abc"]
    cut_off = asyncio.create_task(answer_of(await a.say("act", key="k1")))
    await asyncio.wait_for(stage.world.holding.wait(), PATIENCE_S)
    waiting = asyncio.create_task(answer_of(await a.say("waits at a")))
    later = asyncio.create_task(answer_of(await b.say("later")))
    assert "heard you" in (await answer_of(await b.say("hello", "c2"))).text, "another chat does not wait"
    assert not later.done()
    stage.leases.end("a")
    assert "heard you" in (await later).text
    async with asyncio.timeout(PATIENCE_S):  # while b hands the answer to "later", the chat's others are held back
        while len(texts := await b.undelivered()) != 2:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    assert told in texts[0] + (await b.inbox.outbox.undelivered("test", "c1"))[0].text
    assert "heard you" in texts[1]
    took = "c" if "c begins" in stage.world.events else "b"
    assert stage.world.events == [event.replace("b ", f"{took} ") for event in acted]
    assert (await c.say("act", key="k1")).duplicate
    stage.world.release.set()
    assert (await cut_off).error_code == (await waiting).error_code == TAKEN.error_code
    await answer_of(await c.say("and now"))
    said = [stage.world.asked[-1].find(words) for words in ("act", "waits at a", "later", "and now")]
    assert -1 not in said, "the chat goes on at any host with all that was said"
    assert said == sorted(said)


@pytest.mark.parametrize("seed", range(2))
async def test_every_message_gets_one_answer_in_its_chats_order_while_hosts_are_held_for_dead(
    stage: Stage, seed: int
) -> None:
    random = Random(seed)
    stage.world.release.set()
    hosts = [await stage.host(name, Effect.IDEMPOTENT) for name in "abc"]
    accepted: list[tuple[str, int]] = []
    for number in range(30):
        if number in (12, 20):
            stage.leases.end("a" if number == 12 else "b")
        host = random.choice([host for host in hosts if host.name not in stage.leases.dead])
        chat_id = f"c{random.randrange(3)}"
        taken = await host.say(random.choice(("act", "hello")), chat_id, key=f"k{number}")
        accepted.append((chat_id, taken.message_id))
    query, found = "SELECT chat_id, message_id FROM outbox ORDER BY outbound_id", list[tuple[str, int]]()
    async with asyncio.timeout(PATIENCE_S):
        while len(found) < len(accepted):
            found = await hosts[-1].database.read(lambda sql: list(map(tuple, sql.execute(query).fetchall())))
    for chat_id in ("c0", "c1", "c2"):
        assert [one for one in found if one[0] == chat_id] == [one for one in accepted if one[0] == chat_id]
    left = "SELECT count(*) FROM inbox WHERE state = 'waiting'"
    assert await hosts[-1].database.read(lambda sql: sql.execute(left).fetchone()) == (0,)


async def test_each_text_is_sent_by_one_host_that_has_the_channel_a_dead_ones_by_another(stage: Stage) -> None:
    a, b = [await stage.host(name, Effect.ONCE) for name in "ab"]
    sent: dict[str, list[str]] = {"a": [], "b": []}

    async def send(host: OneHost) -> None:
        async with aclosing(host.inbox.outbox.outgoing("test")) as going_out:
            async for outbound in going_out:  # none is delivered
                sent[host.name].append(outbound.text)

    sending = [asyncio.create_task(send(host)) for host in (a, b)]
    texts = [f"note {number}" for number in range(20)]
    for number, text in enumerate(texts):
        await (a, b)[number % 2].inbox.outbox.push("test", "c1", text)
    await until(lambda: len(sent["a"] + sent["b"]) == len(texts))
    assert sorted(sent["a"] + sent["b"]) == sorted(texts)
    by_a = list(sent["a"])
    sending[0].cancel()
    stage.leases.end("a")
    await until(lambda: len(sent["b"]) == len(texts))
    assert sorted(sent["b"]) == sorted(texts), by_a
    sending[1].cancel()
    await asyncio.wait(sending)
