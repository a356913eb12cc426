"""Who asks at a host without the role `agent` and leaves finds the answer where they come back, at any host, once."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from tests.api.test_gateway import MemoryTokens, free_listener
from tests.cluster.hosts_of_tests import until
from tests.cluster.leases import Leases, caught_up
from tests.cluster.nats_servers import NatsServer, one_server
from tests.cluster.test_turn_relay import OneHost, Stage, heard, until_asked
from tests.cluster.test_turns import World
from websockets.asyncio.client import ClientConnection, connect

from microclaw.agent.outbox import LEASE_S
from microclaw.api.gateway import Gateway
from microclaw.config.settings import GatewaySettings
from microclaw.errors import StoreUnreachable
from microclaw.events import Answer

SOON_S = LEASE_S / 2  # a lease that nobody gives back ends later


@pytest.fixture
async def stage(nats_server: NatsServer, cluster_name: str, tmp_path: Path) -> AsyncIterator[Stage]:
    async with AsyncExitStack() as stack:
        made = Stage(nats_server, cluster_name, tmp_path, stack, World(), Leases(), [])
        yield made
        for held in made.world.held.values():
            held.set()


async def nothing_waits(host: OneHost, chat_id: str) -> bool:
    return not await host.inbox.outbox._table.undelivered("ws", chats=(f"@{chat_id}",))


async def door_of(stage: Stage, host: OneHost) -> tuple[Gateway, str]:
    settings = GatewaySettings("127.0.0.1", 0, 4, open=True)
    door = Gateway(settings, inbox=host.inbox, tokens=MemoryTokens(), approvals=host.approvals)
    return door, await stage.stack.enter_async_context(door.serving(free_listener()))


async def say(client: ClientConnection, text: str, chat_id: str) -> None:
    await client.send(json.dumps({"type": "message", "content": text, "chat_id": chat_id}))


async def hear(client: ClientConnection) -> dict[str, Any]:
    async with asyncio.timeout(SOON_S):
        value: dict[str, Any] = json.loads(await client.recv())
    return value


async def until_so(asked: Callable[[], Awaitable[object]]) -> None:
    async with asyncio.timeout(SOON_S):
        while not await asked():  # noqa: ASYNC110 - what the store has tells nobody here of every change
            await asyncio.sleep(0.01)


async def test_an_answer_for_a_client_that_left_comes_once_wherever_it_comes_back(stage: Stage) -> None:
    hosts = [await stage.host("brain"), *[await stage.host(name, answers=False) for name in ("door", "other")]]
    doors = {host.relay._requests.host_id: await door_of(stage, host) for host in hosts}
    (gateway, address), brain = doors["door"], hosts[0]
    for name, (_, back) in doors.items():
        chat_id = f"back-at-{name}"
        held = stage.world.held["brain"] = asyncio.Event()
        stage.world.holding.clear()
        async with connect(address, proxy=None) as client:
            await say(client, "act", chat_id)
            async with asyncio.timeout(SOON_S):
                await stage.world.holding.wait()
        await until(lambda: not gateway.clients, "the client left")
        held.set()
        await until(brain.approvals.pending, "the turn asks")
        brain.approvals.decide(brain.approvals.pending()[0].approval_id, approved=True, by="owner")
        await until_so(lambda: brain.inbox.outbox._table.count("ws"))
        await caught_up(*(host.replica for host in hosts))
        async with connect(back, proxy=None) as client:
            await say(client, "hello", chat_id)
            told = sorted([(await hear(client))["content"] for _ in range(2)])
            assert [
                text.startswith(start) for text, start in zip(told, ("brain heard", "brain: it is done"), strict=True)
            ]
            for host in hosts:
                await until_so(lambda: nothing_waits(host, chat_id))  # noqa: B023 - asked at once
            await client.send('{"type":"ping"}')
            assert await hear(client) == {"type": "pong"}  # and nothing twice before it


async def test_an_answer_that_was_sent_to_a_reader_that_left_waits_for_the_next(stage: Stage) -> None:
    brain, door = await stage.host("brain"), await stage.host("door", answers=False)
    accepted = await door.say("act")
    brain.approvals.decide(await until_asked(accepted), approved=True, by="owner")
    await until_so(lambda: door.inbox._table.answer_of(accepted.message_id))
    await accepted.events.aclose()
    await until_so(lambda: brain.inbox.outbox.undelivered("ws", "c1"))
    waiting = await brain.inbox.outbox.undelivered("ws", "c1")
    assert waiting[0].text.startswith("brain: it is done")


async def test_an_answer_that_is_being_delivered_at_another_host_waits_nowhere(stage: Stage) -> None:
    brain, door = await stage.host("brain"), await stage.host("door", answers=False)
    (*_, answer) = await heard(await door.say("hello"))
    assert isinstance(answer, Answer)
    assert answer.outbound_id is not None
    await caught_up(brain.replica, door.replica)
    for host in (brain, door):
        assert await host.inbox.outbox.undelivered("ws", "c1") == ()
    await door.inbox.outbox.give_back(answer.outbound_id)
    await caught_up(brain.replica, door.replica)
    for host in (brain, door):
        assert [one.outbound_id for one in await host.inbox.outbox.undelivered("ws", "c1")] == [answer.outbound_id]


async def test_without_nats_or_with_dead_hosts_alone_it_is_said_that_it_passes(
    cluster_name: str, tmp_path: Path
) -> None:
    with one_server(tmp_path / "nats") as server:
        async with AsyncExitStack() as stack:
            stage = Stage(server, cluster_name, tmp_path, stack, World(), Leases(), ["ghost-1"])
            door = await stage.host("door", answers=False)
            with pytest.raises(StoreUnreachable, match=r"not there any more: ghost-1$"):
                await door.say("hello")
            server.kill()
            await until(lambda: not door.relay._requests.connected, "the connection is lost")
            for agents in (["ghost-1"], list[str]()):
                stage.agents[:] = agents
                with pytest.raises(StoreUnreachable, match=r"NATS cannot be reached") as refused:
                    await door.say("hello")
                assert refused.value.next_step
