"""A host without the role `agent` hands messages on: steps, questions, stop and answers are as its own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tests.agent.conftest import NoContext
from tests.cluster.hosts_of_tests import until
from tests.cluster.leases import PATIENCE_S, Leases, Seat, caught_up
from tests.cluster.nats_servers import NatsServer
from tests.cluster.stores import open_cluster, open_replica
from tests.cluster.test_roles import host_with
from tests.cluster.test_turns import Nothing, Thinking, World

from microclaw.agent.accepted_message import AcceptedMessage
from microclaw.agent.conversation import Conversations
from microclaw.agent.inbox import Inbox
from microclaw.agent.outbox import Outbox
from microclaw.agent.turn_relay import TurnRelay
from microclaw.auth.approvals import Approvals
from microclaw.auth.gate import Effect, Gate, Permission
from microclaw.client.request import HostError
from microclaw.cluster.host_requests import HostRequests
from microclaw.errors import ConfigError, EmptyMessage
from microclaw.events import Answer, ApprovalAsked, ApprovalSettled, Attachment, Inbound, ToolRun, TurnEvent
from microclaw.live_hosts import LeftWork
from microclaw.store.inbox import InboxTable
from microclaw.store.journal import Journal
from microclaw.store.outbox import OutboxTable
from microclaw.store.replica import Replica
from microclaw.store.session_table import SessionTable
from microclaw.tools.tool import Tool, ToolContext, ToolOutput
from microclaw.tools.toolbox import Toolbox

NOW_MS = 1_700_000_000_000


@dataclass
class OneHost:
    replica: Replica
    inbox: Inbox
    relay: TurnRelay
    approvals: Approvals

    async def say(self, text: str, **more: Any) -> AcceptedMessage:
        async with asyncio.timeout(PATIENCE_S):
            return await self.inbox.accept(Inbound("ws", "c1", text, **more))


@dataclass
class Stage:
    """`agents` are the live hosts with the role."""

    server: NatsServer
    cluster_name: str
    folder: Path
    stack: AsyncExitStack
    world: World
    leases: Leases
    agents: list[str]

    async def host(self, name: str, *, answers: bool = True) -> OneHost:
        (self.folder / name).mkdir()
        path = self.folder / name / "cluster.db"
        cluster = await self.stack.enter_async_context(open_cluster(self.server.url, self.cluster_name, host=name))
        opening = open_replica(self.server, self.cluster_name, path, host=name)
        replica, _ = await self.stack.enter_async_context(opening)
        fleet, approvals = Seat(name, self.leases), Approvals(timeout_s=PATIENCE_S)
        table = InboxTable(replica, lambda: NOW_MS)
        inbox = Inbox(table, Outbox(OutboxTable(replica, lambda: NOW_MS), fleet=fleet), fleet=fleet)

        async def act(_: Nothing, context: ToolContext) -> ToolOutput:
            self.world.events.append(f"{name} begins")
            if name in self.world.held:
                self.world.holding.set()
                await self.world.held[name].wait()
            await approvals.ask(
                context.person_id, "act", ["all of it"], channel=context.channel, chat_id=context.chat_id
            )
            self.world.events.append(f"{name} acts")
            return ToolOutput({"success": True})

        conversations = Conversations(
            inbox=inbox,
            model=Thinking(name, self.world),
            tools=Toolbox((Tool("act", "Act.", Nothing, Permission.ACT, Effect.IDEMPOTENT, act),), Gate()),
            context=NoContext(),
            sessions=SessionTable(replica, lambda: NOW_MS),
            journal=Journal(replica, lambda: NOW_MS),
            approvals=approvals,
            answers=answers,
        )
        requests = HostRequests(cluster, name, fleet.is_live)
        relay = TurnRelay(
            requests,
            table,
            inbox,
            lambda: [one for one in self.agents if one not in self.leases.dead],
            is_agent=answers,
            refusal=lambda: ConfigError("no live host has the role agent", next_step="start one"),
        )
        inbox.relay = relay
        await self.stack.enter_async_context(conversations)
        await conversations.recover()
        await self.stack.enter_async_context(requests.serving())
        if answers:
            self.agents.append(name)
            left = asyncio.create_task(LeftWork(fleet, {"turns": conversations.take_up}).run(), name="left work")
            self.stack.callback(left.cancel)
        return OneHost(replica, inbox, relay, approvals)


@pytest.fixture
async def stage(nats_server: NatsServer, cluster_name: str, tmp_path: Path) -> AsyncIterator[Stage]:
    async with AsyncExitStack() as stack:
        made = Stage(nats_server, cluster_name, tmp_path, stack, World(), Leases(), [])
        yield made
        for held in made.world.held.values():
            held.set()


async def heard(accepted: AcceptedMessage) -> list[TurnEvent]:
    async with asyncio.timeout(PATIENCE_S):
        return [event async for event in accepted.events]


async def until_asked(accepted: AcceptedMessage) -> str:
    async with asyncio.timeout(PATIENCE_S):
        async for event in accepted.events:
            if isinstance(event, ApprovalAsked):
                assert event.detail == ("all of it",)
                return event.approval_id
    raise AssertionError("nothing was asked")


async def test_a_turn_at_another_host_is_heard_here_from_its_question_to_its_answer(stage: Stage) -> None:
    brain, door = await stage.host("brain"), await stage.host("door", answers=False)
    accepted = await door.say("act", key="k1")
    number = await until_asked(accepted)
    told = await heard(await door.say("yes"))
    assert number in str(told[-1])  # a yes without the number is answered with the question
    assert len(await heard(await door.say(f"yes {number}"))) == 1
    events = await heard(accepted)
    kinds = [type(event) for event in events]
    assert kinds.index(ApprovalSettled) < kinds.index(ToolRun) < len(kinds) - 1
    answer = events[-1]
    assert isinstance(answer, Answer)
    assert answer.text.startswith("brain: it is done")
    assert answer.outbound_id is not None
    assert [action.tool for action in answer.actions] == ["act"]
    await door.inbox.outbox.delivered(answer.outbound_id)
    await caught_up(brain.replica, door.replica)
    assert await brain.inbox.outbox.undelivered("ws", "c1") == ()
    again = await door.say("act", key="k1")
    assert again.duplicate
    assert await heard(again) == []


async def test_odd_words_and_pictures_come_whole_and_refusals_are_as_here(stage: Stage) -> None:
    await stage.host("brain")
    door = await stage.host("door", answers=False)
    picture = Attachment("image", "image/png", bytes(range(256)) * 8_000)
    answer = (await heard(await door.say("half \x00 a pair", attachments=(picture,))))[-1]
    assert isinstance(answer, Answer)
    assert answer.text.startswith("brain heard you")
    with pytest.raises(EmptyMessage):
        await door.say("  ")


async def test_a_turn_is_stopped_from_where_it_was_asked_and_from_elsewhere(stage: Stage) -> None:
    await stage.host("brain")
    door, other = await stage.host("door", answers=False), await stage.host("other", answers=False)
    for host in (door, other, None):
        accepted = await door.say("act")
        await until_asked(accepted)
        stopped = door.inbox.cancel("ws", "c1") if host is None else await host.inbox.cancel_anywhere("ws", "c1")
        assert stopped
        (*_, answer) = await heard(accepted)
        assert isinstance(answer, Answer)
    assert not await door.inbox.cancel_anywhere("ws", "c1")
    assert not door.inbox.cancel("ws", "c1")
    assert [event for event in stage.world.events if event.endswith("acts")] == []


async def test_the_answer_of_the_host_that_took_a_dead_hosts_turn_up_comes_here(stage: Stage) -> None:
    stage.world.held["first"] = asyncio.Event()
    first, door = await stage.host("first"), await stage.host("door", answers=False)
    accepted = await door.say("act")
    listening = asyncio.create_task(heard(accepted))
    await asyncio.wait_for(stage.world.holding.wait(), PATIENCE_S)
    await caught_up(first.replica, door.replica)
    second = await stage.host("second")
    stage.leases.end("first")
    await until(second.approvals.pending, "the second host asks")
    second.approvals.decide(second.approvals.pending()[0].approval_id, approved=True, by="owner")
    (*_, answer) = await listening
    assert isinstance(answer, Answer)
    assert answer.text.startswith("second: it is done")
    assert stage.world.events == ["first begins", "second begins", "second acts"]


async def test_what_an_agent_host_is_told_goes_to_the_host_with_the_chats_turn(stage: Stage) -> None:
    a, b = await stage.host("a"), await stage.host("b")
    accepted = await a.say("act")
    number = await until_asked(accepted)
    await caught_up(a.replica, b.replica)
    await b.say(f"yes {number}")
    answer = (await heard(accepted))[-1]
    assert isinstance(answer, Answer)
    assert answer.text.startswith("a: it is done")
    await until(lambda: not a.inbox.is_busy("ws", "c1"), "the turn is not over")
    await caught_up(a.replica, b.replica)
    assert str((await heard(await b.say("hello")))[-1]).count("b heard you") == 1


async def test_a_host_that_was_just_killed_is_passed_over(stage: Stage) -> None:
    await stage.host("brain")
    door = await stage.host("door", answers=False)
    stage.agents += ["ghost-1", "ghost-2", "ghost-3"]  # leases of the dead are good for some seconds
    for number in range(6):
        inbound = Inbound("ws", f"chat {number}", "hello")
        async with asyncio.timeout(PATIENCE_S):
            (*_, answer) = [event async for event in (await door.inbox.accept(inbound)).events]
        assert isinstance(answer, Answer)
        assert answer.text.startswith("brain heard you")


async def test_without_any_host_that_answers_it_is_said_at_once(stage: Stage) -> None:
    door = await stage.host("door", answers=False)
    with pytest.raises(ConfigError, match="no live host has the role agent"):
        await door.say("hello")
    assert await door.inbox._table.unanswered() == ()


async def test_two_whole_hosts_where_one_answers_what_the_other_is_asked(
    nats_server: NatsServer, cluster_name: str, tmp_path: Path
) -> None:
    url = nats_server.url
    async with host_with(url, cluster_name, tmp_path / "door", "api") as door:
        with pytest.raises(HostError, match="role agent, and no live host of the cluster has it"):
            await asyncio.to_thread(door.client.chat.ask, "which devices are there?", within_s=PATIENCE_S)
        async with host_with(url, cluster_name, tmp_path / "brain", "agent") as brain:
            await door.until("/v1/cluster", lambda answer: len(answer["cluster"]["hosts"]) == 2)
            answer = await asyncio.to_thread(door.client.chat.ask, "which devices are there?", within_s=PATIENCE_S)
            assert "device" in answer.text
            for host in (door, brain):
                await host.until("/v1/sessions", lambda answer: len(answer["sessions"]) == 1)
                name = (await host.ask("/v1/sessions"))["sessions"][0]["name"]
                found = (await host.ask(f"/v1/sessions/{name}"))["messages"]
                assert [one["role"] for one in found] == ["user", "assistant"]
                assert found[0]["content"] == "which devices are there?"
            assert await asyncio.to_thread(door.client.chat.undelivered) == []
            await asyncio.to_thread(door.client.sessions.remove, name)
            await brain.until("/v1/sessions", lambda answer: answer["sessions"] == [])
