"""A host to kill: an agent over a real store that waits at a named point, or answers what the last one left. No test.

The processes are forked from one that has imported everything, so that each costs a moment and not a start of Python.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, cast

from msgspec.structs import replace

from microclaw.agent.context import TurnContext
from microclaw.agent.conversation import Conversations
from microclaw.agent.inbox import Inbox
from microclaw.agent.outbox import Outbox
from microclaw.agent.toolbox import Toolbox
from microclaw.agent.window import Window
from microclaw.auth.gate import Effect, Gate, Permission
from microclaw.events import Answer, Evidence, Inbound
from microclaw.models.protocol import DeviceContext, Model, ModelReply, ModelRequest, OnText, ToolReturn
from microclaw.models.scripted import call, say
from microclaw.operations.tool import Parameters, Tool, ToolContext, ToolOutput
from microclaw.store.database import Database
from microclaw.store.inbox import InboxTable
from microclaw.store.journal import Journal, Work, no_work
from microclaw.store.outbox import OutboxRow, OutboxTable
from microclaw.store.sessions import Sessions

BY_RULE = "by rule"  # of an idempotent act
RESUMED = "resumed "  # "resumed X": at X in the turn that the last host left

_CONTEXT = get_context("forkserver")
_CONTEXT.set_forkserver_preload([__name__])


class Nothing(Parameters):
    pass


class Context(TurnContext):
    """Tells a turn nothing."""

    is_read = False

    def __init__(self) -> None:
        self.window = Window()

    async def devices(self, device: str | None, person_id: str | None = None) -> DeviceContext:
        return DeviceContext()


@dataclass
class KillableHost:
    """It reports when it is at `point`, and waits there. With no point it reports what it saw of the last one's."""

    folder: Path
    effect: str
    point: str | None
    report: Connection
    asked: int = 0

    def run(self) -> None:
        asyncio.run(self._serve())

    async def at(self, point: str) -> None:
        if self.point in (point, RESUMED + point):
            self.report.send(point)
            await asyncio.get_running_loop().create_future()

    async def act(self, _: Nothing, __: ToolContext) -> ToolOutput:
        await self.at("tool begun")
        with (self.folder / "world").open("a") as world:
            world.write("acted\n")
            world.flush()
            os.fsync(world.fileno())
        await self.at("tool acted")
        return ToolOutput({"success": True}, (Evidence("counted", "the world says so"),))

    async def respond(self, request: ModelRequest, on_text: OnText | None = None) -> ModelReply:
        """As a model that calls the tool first, then says what came back; it knows nothing but the request."""
        self.asked += 1
        returned = [m for m in request.messages if isinstance(m, ToolReturn)]
        await self.at(f"model {len(returned) + 1}")
        if "again" in str(request.messages[-1]):
            return say(f"heard again after {len(request.messages) - 1}")
        return say("it is done") if returned else replace(call("act"), literal=self.effect == BY_RULE)

    async def _serve(self) -> None:
        effect = Effect.IDEMPOTENT if self.effect == BY_RULE else Effect(self.effect)
        tool = Tool("act", "Act.", Nothing, Permission.ACT, effect, self.act)
        async with Database.open(self.folder / "microclaw.db") as database:
            inbox = Inbox(Messages(database, self), Outbox(OutboxTable(database, now_ms)))
            agent = Conversations(
                inbox=inbox,
                model=cast("Model", Thinking(self)),
                tools=Toolbox((tool,), Gate()),
                context=Context(),
                sessions=Sessions(database, now_ms),
                journal=Journal(database, now_ms),
            )
            async with agent, asyncio.timeout(60):
                if self.point is None:
                    self.report.send(await self._looked_back(agent, inbox))
                elif self.point.startswith(RESUMED):
                    await agent.recover()
                    await asyncio.get_running_loop().create_future()
                else:
                    async for event in (await inbox.accept(Inbound("test", "c1", "do it", key="k1"))).events:
                        if isinstance(event, Answer):
                            await self.at("answered")

    async def _looked_back(self, agent: Conversations, inbox: Inbox) -> dict[str, Any]:
        told = await agent.recover()
        duplicate = await inbox.accept(Inbound("test", "c1", "do it", key="k1"))
        outbound = await anext(inbox.outbox.outgoing("test"))
        asked = self.asked
        await inbox.outbox.delivered(outbound.outbound_id)
        async for event in agent.chat(Inbound("test", "c1", "again")):
            if isinstance(event, Answer):
                follow_up = event
        return {
            "text": outbound.text,
            "error": outbound.answer.error_code,
            "key": outbound.key,
            "evidence": [e.text for e in outbound.answer.evidence],
            "duplicate": duplicate.duplicate,
            "told": told,
            "asked": asked,
            "left": len(await inbox.outbox.undelivered("test", "c1")),
            "follow_up": follow_up.text,
        }


class Thinking:
    """The host's model."""

    name = "thinking"

    def __init__(self, host: KillableHost) -> None:
        self.respond = host.respond

    async def warm_up(self) -> None: ...

    async def aclose(self) -> None: ...


class Messages(InboxTable):
    def __init__(self, database: Database, host: KillableHost) -> None:
        super().__init__(database, now_ms)
        self._at = host.at

    async def answer(self, message_id: int, outbound: OutboxRow, keeping: Work = no_work) -> int:
        await self._at("keeping the answer")
        number = await super().answer(message_id, outbound, keeping)
        await self._at("answer kept")
        return number


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def _run(folder: Path, effect: str, point: str | None, report: Connection) -> None:
    KillableHost(folder, effect, point, report).run()


@contextmanager
def killed_after(folder: Path, effect: str, point: str | None = None) -> Iterator[Any]:
    """Yields what a host reports; then it is killed with SIGKILL, if it has not ended."""
    receiving, sending = _CONTEXT.Pipe(duplex=False)
    process = _CONTEXT.Process(target=_run, args=(folder, effect, point, sending), daemon=True)
    process.start()
    sending.close()
    try:
        assert receiving.poll(60), "the host reports nothing"
        yield receiving.recv()
    finally:
        process.kill()
        process.join()
        receiving.close()
        process.close()
