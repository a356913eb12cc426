"""The time of a model's delta to a chat gateway client: through inbox, turn and WebSocket, alone and with others."""

# ruff: noqa: ARG002  what stands in for a part takes what the part takes

from __future__ import annotations

import asyncio
import json
import socket
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import uvloop
from websockets.sync.client import connect

from bench.report import Metric, median, percentile
from microclaw.agent.context import Prompt, TurnContext
from microclaw.agent.conversation import Conversations
from microclaw.agent.history import Window
from microclaw.agent.inbox import Inbox
from microclaw.agent.outbox import Outbox
from microclaw.agent.toolbox import Toolbox
from microclaw.api.gateway import Gateway
from microclaw.auth.approvals import Approvals
from microclaw.auth.gate import Gate
from microclaw.auth.people import People
from microclaw.auth.tokens import PersonTokens
from microclaw.config.settings import GatewaySettings
from microclaw.events import Inbound
from microclaw.models.protocol import DeviceContext, ModelReply, ModelRequest, OnText
from microclaw.store.database import Database
from microclaw.store.inbox import InboxTable
from microclaw.store.journal import Journal
from microclaw.store.outbox import OutboxTable
from microclaw.store.people import PersonTokenTable
from microclaw.store.sessions import Sessions

DELTAS = 300
PAUSE_S = 0.005  # a fast service streams 200 pieces a second
CLIENTS = 4
TURNS = 50
TOKEN = "mc_bench"
HEADERS = {"Authorization": f"Bearer {TOKEN}"}


def measure() -> list[Metric]:
    with tempfile.TemporaryDirectory(prefix="mc-bench-") as home:
        return uvloop.run(_measure(Path(home)))


async def _measure(home: Path) -> list[Metric]:
    async with _gateway(home) as address:
        alone = await asyncio.to_thread(_read_deltas, address, "alone")
        side_by_side = await asyncio.gather(
            *(asyncio.to_thread(_read_deltas, address, f"client{number}") for number in range(CLIENTS))
        )
        turns = await asyncio.to_thread(_turns, address)
    together = [delay for delays in side_by_side for delay in delays]
    return [
        Metric("model's delta to a client, p50", median(alone), "ms"),
        Metric("model's delta to a client, p99", percentile(alone, 99), "ms", 10),
        Metric(f"{CLIENTS} streams side by side, p99", percentile(together, 99), "ms", 10),
        Metric("message to response, model that needs no time", median(turns), "ms"),
    ]


def _read_deltas(address: str, chat_id: str) -> list[float]:
    """Each delta carries the time at which the model had it; the delays in ms."""
    with connect(address, proxy=None, additional_headers=HEADERS) as client:
        client.send(json.dumps({"type": "subscribe", "events": ["delta"]}))
        client.send(json.dumps({"type": "message", "content": "stream", "chat_id": chat_id}))
        delays: list[float] = []
        while (message := json.loads(client.recv(30)))["type"] == "delta":
            delays.append((time.perf_counter_ns() - int(message["content"])) / 1e6)
        assert len(delays) == DELTAS, f"{len(delays)} deltas came"
        return delays


def _turns(address: str) -> list[float]:
    with connect(address, proxy=None, additional_headers=HEADERS) as client:
        walls: list[float] = []
        for _ in range(TURNS):
            began = time.perf_counter()
            client.send(json.dumps({"type": "message", "content": "answer", "chat_id": "turns"}))
            assert json.loads(client.recv(30))["content"] == "yes"
            walls.append((time.perf_counter() - began) * 1000)
        return walls


@asynccontextmanager
async def _gateway(home: Path) -> AsyncIterator[str]:
    """A gateway over the host's own inbox and agent, with a model that streams the clock."""
    async with AsyncExitStack() as stack:
        database = await stack.enter_async_context(Database.open(home / "microclaw.db"))
        approvals = Approvals(timeout_s=1)
        inbox = Inbox(InboxTable(database, _now_ms), Outbox(OutboxTable(database, _now_ms)))
        agent = Conversations(
            inbox=inbox,
            model=_ClockModel(),
            tools=Toolbox((), Gate()),
            context=NoContext(),
            sessions=Sessions(database, _now_ms),
            journal=Journal(database, _now_ms),
        )
        await stack.enter_async_context(agent.answering())
        tokens = PersonTokens(PersonTokenTable(database), await People.opened(database))
        gateway = Gateway(
            GatewaySettings(clients=CLIENTS), inbox=inbox, tokens=tokens, approvals=approvals, local_token=TOKEN
        )
        listener = socket.create_server(("127.0.0.1", 0))
        yield await stack.enter_async_context(gateway.serving(listener))


class _ClockModel:
    """Asked to stream, it streams the time; else it answers at once."""

    name = "clock"

    async def warm_up(self) -> None: ...

    async def aclose(self) -> None: ...

    async def respond(self, request: ModelRequest, on_text: OnText | None = None) -> ModelReply:
        asked = request.messages[-1]
        if getattr(asked, "text", "") != "stream":
            return ModelReply("yes")
        assert on_text is not None
        for _ in range(DELTAS):
            on_text(f"{time.perf_counter_ns()} ")
            await asyncio.sleep(PAUSE_S)
        return ModelReply("the end")


class NoContext(TurnContext):
    """No device, no memory."""

    def __init__(self) -> None:
        self.window = Window()

    async def prompt(self, inbound: Inbound) -> Prompt:
        return Prompt(DeviceContext(), history_tokens=1000)


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
