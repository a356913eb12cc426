"""The time of a chat gateway client's turn: through WebSocket, inbox, turn and outbox, alone and with others."""

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
from microclaw.agent.models.protocol import DeviceContext, ModelReply, ModelRequest, OnText
from microclaw.agent.turn.context import Prompt, TurnContext
from microclaw.agent.turn.conversation import Conversations
from microclaw.agent.turn.history import ContextWindow
from microclaw.agent.turn.inbox import Inbox
from microclaw.agent.turn.outbox import Outbox
from microclaw.agent.turn.toolbox import Toolbox
from microclaw.events import Inbound
from microclaw.host.auth.approvals import Approvals
from microclaw.host.auth.gate import Gate
from microclaw.host.auth.people import People
from microclaw.host.auth.tokens import PersonTokens
from microclaw.host.config.settings import GatewaySettings
from microclaw.host.store.database import Database
from microclaw.host.store.inbox import InboxTable
from microclaw.host.store.journal import Journal
from microclaw.host.store.outbox import OutboxTable
from microclaw.host.store.people import PersonTokenTable
from microclaw.host.store.sessions import Sessions
from microclaw.interfaces.channels.gateway import Gateway

CLIENTS = 4
TURNS = 50
TOKEN = "mc_bench"
HEADERS = {"Authorization": f"Bearer {TOKEN}"}


def measure() -> list[Metric]:
    with tempfile.TemporaryDirectory(prefix="mc-bench-") as home:
        return uvloop.run(_measure(Path(home)))


async def _measure(home: Path) -> list[Metric]:
    async with _gateway(home) as address:
        alone = await asyncio.to_thread(_turns, address, "alone")
        side_by_side = await asyncio.gather(
            *(asyncio.to_thread(_turns, address, f"client{number}") for number in range(CLIENTS))
        )
    together = [wall for walls in side_by_side for wall in walls]
    return [
        Metric("message to response, model that needs no time, p50", median(alone), "ms"),
        Metric(f"{CLIENTS} clients side by side, p99", percentile(together, 99), "ms"),
    ]


def _turns(address: str, chat_id: str) -> list[float]:
    with connect(address, proxy=None, additional_headers=HEADERS) as client:
        walls: list[float] = []
        for _ in range(TURNS):
            began = time.perf_counter()
            client.send(json.dumps({"type": "message", "content": "answer", "chat_id": chat_id}))
            assert json.loads(client.recv(30))["content"] == "yes"
            walls.append((time.perf_counter() - began) * 1000)
        return walls


@asynccontextmanager
async def _gateway(home: Path) -> AsyncIterator[str]:
    """A gateway over the host's own inbox and agent, with a model that needs no time."""
    async with AsyncExitStack() as stack:
        database = await stack.enter_async_context(Database.open(home / "microclaw.db"))
        approvals = Approvals(timeout_s=1)
        inbox = Inbox(InboxTable(database, _now_ms), Outbox(OutboxTable(database, _now_ms)))
        agent = Conversations(
            inbox=inbox,
            model=_QuickModel(),
            tools=Toolbox((), Gate()),
            context=NoContext(),
            sessions=Sessions(database, _now_ms),
            journal=Journal(database, _now_ms),
        )
        await stack.enter_async_context(agent.answering())
        tokens = PersonTokens(PersonTokenTable(database), await People.open(database))
        gateway = Gateway(
            GatewaySettings(clients=CLIENTS), inbox=inbox, tokens=tokens, approvals=approvals, local_token=TOKEN
        )
        listener = socket.create_server(("127.0.0.1", 0))
        yield await stack.enter_async_context(gateway.serving(listener))


class _QuickModel:
    """Answers at once."""

    name = "quick"

    async def warm_up(self) -> None: ...

    async def aclose(self) -> None: ...

    async def respond(self, request: ModelRequest, on_text: OnText | None = None) -> ModelReply:
        return ModelReply("yes")


class NoContext(TurnContext):
    """No device, no memory."""

    def __init__(self) -> None:
        self.window = ContextWindow()

    async def prompt(self, inbound: Inbound, at_s: int) -> Prompt:
        return Prompt(DeviceContext(), history_tokens=1000)


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
