"""A process to kill: an agent over a real store that stops at a named point, or answers what the last one left.

`killable_host.py FOLDER EFFECT POINT`: it prints one JSON line when it is at POINT and waits there to be killed; POINT
"resumed X" means X in the turn that the last one left. With POINT "none" it recovers, delivers what goes out, asks once
more, and prints what it saw.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from microclaw.agent.context import TurnContext
from microclaw.agent.conversation import Conversations
from microclaw.agent.inbox import Inbox
from microclaw.agent.outbox import Outbox
from microclaw.agent.toolbox import Toolbox
from microclaw.agent.window import Window
from microclaw.auth.gate import Effect, Gate, Permission
from microclaw.events import Answer, Evidence, Inbound
from microclaw.models.protocol import DeviceContext, ModelReply, ModelRequest, OnText, ToolReturn
from microclaw.models.scripted import call, say
from microclaw.operations.tool import Parameters, Tool, ToolContext, ToolOutput
from microclaw.store.database import Database
from microclaw.store.inbox import InboxTable
from microclaw.store.journal import Journal, Work, no_work
from microclaw.store.outbox import OutboxRow, OutboxTable
from microclaw.store.sessions import Sessions

BY_RULE = sys.argv[2] == "by rule"  # of an idempotent act
FOLDER, EFFECT = Path(sys.argv[1]), Effect.IDEMPOTENT if BY_RULE else Effect(sys.argv[2])
POINT = sys.argv[3].removeprefix("resumed ")
RESUMED = sys.argv[3].startswith("resumed ")


def tell(**values: Any) -> None:
    print(json.dumps(values), flush=True)


async def at(point: str) -> None:
    if point == POINT:
        tell(at=point)
        await asyncio.get_running_loop().create_future()


class Nothing(Parameters):
    pass


async def act(_: Nothing, __: ToolContext) -> ToolOutput:
    await at("tool begun")
    with (FOLDER / "world").open("a") as world:
        world.write("acted\n")
        world.flush()
        os.fsync(world.fileno())
    await at("tool acted")
    return ToolOutput({"success": True}, (Evidence("counted", "the world says so"),))


class Thinking:
    """Calls the tool first, then says what came back; knows nothing but the request."""

    name = "thinking"
    asked = 0

    async def warm_up(self) -> None:
        pass

    async def aclose(self) -> None:
        pass

    async def respond(self, request: ModelRequest, on_text: OnText | None = None) -> ModelReply:
        self.asked += 1
        returned = [m for m in request.messages if isinstance(m, ToolReturn)]
        await at(f"model {len(returned) + 1}")
        if "again" in str(request.messages[-1]):
            return say(f"heard again after {len(request.messages) - 1}")
        return say("it is done") if returned else replace(call("act"), literal=BY_RULE)


class Context(TurnContext):
    """Tells a turn nothing."""

    is_read = False

    def __init__(self) -> None:
        self.window = Window()

    async def devices(self, device: str | None, person_id: str | None = None) -> DeviceContext:
        return DeviceContext()


class Messages(InboxTable):
    async def answer(self, message_id: int, outbound: OutboxRow, keeping: Work = no_work) -> int:
        await at("keeping the answer")
        number = await super().answer(message_id, outbound, keeping)
        await at("answer kept")
        return number


def now_ms() -> int:
    return time.time_ns() // 1_000_000


async def main() -> None:
    model = Thinking()
    async with Database.open(FOLDER / "microclaw.db") as database:
        inbox = Inbox(Messages(database, now_ms), Outbox(OutboxTable(database, now_ms)))
        agent = Conversations(
            inbox=inbox,
            model=model,
            tools=Toolbox((Tool("act", "Act.", Nothing, Permission.ACT, EFFECT, act),), Gate()),
            context=Context(),
            sessions=Sessions(database, now_ms),
            journal=Journal(database, now_ms),
        )
        async with agent, asyncio.timeout(60):
            if POINT == "none":
                await look_back(agent, inbox, model)
            elif RESUMED:
                await agent.recover()
                await asyncio.get_running_loop().create_future()
            else:
                accepted = await inbox.accept(Inbound("test", "c1", "do it", key="k1"))
                async for event in accepted.events:
                    if isinstance(event, Answer):
                        await at("answered")


async def look_back(agent: Conversations, inbox: Inbox, model: Thinking) -> None:
    told = await agent.recover()
    duplicate = await inbox.accept(Inbound("test", "c1", "do it", key="k1"))
    outbound = await anext(inbox.outbox.outgoing("test"))
    asked = model.asked
    await inbox.outbox.delivered(outbound.outbound_id)
    async for event in agent.chat(Inbound("test", "c1", "again")):
        if isinstance(event, Answer):
            follow_up = event
    left = await inbox.outbox.undelivered("test", "c1")
    tell(
        text=outbound.text,
        error=outbound.answer.error_code,
        key=outbound.key,
        evidence=[e.text for e in outbound.answer.evidence],
        duplicate=duplicate.duplicate,
        told=list(told),
        asked=asked,
        left=len(left),
        follow_up=follow_up.text,
    )


asyncio.run(main())
