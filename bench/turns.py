"""Turns with a model that costs nothing: a hundred chats at once, memory over ten thousand turns."""

from __future__ import annotations

import asyncio
import os
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from bench.gateway import NoContext
from bench.processes import Running
from bench.report import Metric, median, percentile
from microclaw.agent.models.protocol import ModelReply, ModelRequest, OnText, ToolReturn
from microclaw.agent.models.scripted import call, say
from microclaw.agent.turn.conversation import Conversations
from microclaw.agent.turn.inbox import Inbox
from microclaw.agent.turn.outbox import Outbox
from microclaw.agent.turn.toolbox import Toolbox
from microclaw.events import Answer, Evidence, Inbound
from microclaw.host.auth.gate import Gate
from microclaw.host.operations.operation import Effect, Permission
from microclaw.host.operations.tool import Parameters, Tool, ToolContext, ToolOutput
from microclaw.host.store.database import Database
from microclaw.host.store.inbox import InboxTable
from microclaw.host.store.journal import Journal
from microclaw.host.store.outbox import OutboxTable
from microclaw.host.store.sessions import Sessions

CHATS = 100
MODEL_S = 1.0
MANY_TURNS = 10_000
SETTLED_TURNS = 2_000  # from there on memory must stay
SIDE_BY_SIDE = 16
RUNS = 3


def measure() -> list[Metric]:
    with tempfile.TemporaryDirectory(prefix="mc-bench-") as folder:
        chats = [asyncio.run(_at_once(Path(folder, f"chats-{n}"))) for n in range(RUNS)]
        growth, rss_mb, many_ms = asyncio.run(_many(Path(folder, "many")))
    return [
        Metric("100 chats at once with a 1 s model, p95", median([percentile(one, 95) for one in chats]), "s", 1.3),
        Metric("100 chats at once with a 1 s model, median", median([median(one) for one in chats]), "s"),
        Metric("memory after 10,000 turns / after 2,000", growth, "x", 1.05),
        Metric("memory after 10,000 turns", rss_mb, "MB"),
        Metric("a turn, 16 chats side by side", many_ms, "ms"),
    ]


async def _at_once(folder: Path) -> list[float]:
    async with _agent(folder, _Slow()) as agent:
        began = time.perf_counter()

        async def one(number: int) -> float:
            await _turn(agent, f"chat-{number}", number)
            return time.perf_counter() - began

        return list(await asyncio.gather(*(one(number) for number in range(CHATS))))


async def _many(folder: Path) -> tuple[float, float, float]:
    here = Running({}, 0.0, os.getpid())
    async with _agent(folder, _CallsOnce()) as agent:

        async def some(chat: int, turns: int) -> None:
            for number in range(turns):
                await _turn(agent, f"chat-{chat}", number)

        async def all_chats(turns: int) -> None:
            await asyncio.gather(*(some(chat, turns // SIDE_BY_SIDE) for chat in range(SIDE_BY_SIDE)))

        await all_chats(SETTLED_TURNS)
        settled = here.rss_mb()
        began = time.perf_counter()
        rest = MANY_TURNS - SETTLED_TURNS
        await all_chats(rest)
        after = here.rss_mb()
        return after / settled, after, (time.perf_counter() - began) / rest * 1000


async def _turn(agent: Conversations, chat_id: str, number: int) -> None:
    async for event in (await agent.inbox.accept(Inbound("bench", chat_id, f"message {number}"))).events:
        if isinstance(event, Answer):
            assert event.error_code is None, event


@asynccontextmanager
async def _agent(folder: Path, model: _CallsOnce | _Slow) -> AsyncIterator[Conversations]:
    tool = Tool("touch", "Do nothing.", _Nothing, Permission.ACT, Effect.IDEMPOTENT, _touch)
    async with Database.open(folder / "microclaw.db") as database:
        agent = Conversations(
            inbox=Inbox(InboxTable(database, _now_ms), Outbox(OutboxTable(database, _now_ms))),
            model=model,
            tools=Toolbox((tool,), Gate()),
            context=NoContext(),
            sessions=Sessions(database, _now_ms),
            journal=Journal(database, _now_ms),
        )
        async with agent.answering():
            yield agent


class _CallsOnce:
    """Calls the tool, then answers."""

    name = "calls once"

    async def warm_up(self) -> None:
        pass

    async def aclose(self) -> None:
        pass

    async def respond(self, request: ModelRequest, _on_text: OnText | None = None) -> ModelReply:
        if isinstance(request.messages[-1], ToolReturn):
            return say("done")
        return call("touch")


class _Slow(_CallsOnce):
    """Answers after a second."""

    async def respond(self, _request: ModelRequest, _on_text: OnText | None = None) -> ModelReply:
        await asyncio.sleep(MODEL_S)
        return say("done")


class _Nothing(Parameters):
    pass


async def _touch(_: _Nothing, __: ToolContext) -> ToolOutput:
    return ToolOutput({"success": True}, (Evidence("counted", "touched"),))


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
