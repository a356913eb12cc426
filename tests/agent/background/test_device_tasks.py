"""A task of a device is a turn: the device hears its steps, and what it waits for."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Any, cast

from microclaw.agent.background.unattended import AgentTasks
from microclaw.agent.conversation import Conversations
from microclaw.auth.gate import Gate
from microclaw.events import Answer, ApprovalAsked, ApprovalSettled, Inbound, Step, TurnEvent
from microclaw.link_server.tasks import TaskEnd


class TurnThatAsks:
    """A conversation whose turn needs a yes."""

    def __init__(self) -> None:
        self.asked: list[Inbound] = []

    async def chat(self, inbound: Inbound) -> AsyncGenerator[TurnEvent]:
        self.asked.append(inbound)
        yield Step("plan", "the lamp")
        yield ApprovalAsked("a1", "restart lamp", (), 300.0, may_decide=False)
        yield ApprovalSettled("a1", "approved", "Eva")
        yield Answer("it restarts")


class NamedGate:
    def name_of(self, person_id: str) -> str:
        return {"owner": "Eva"}[person_id]


async def test_the_device_hears_whose_yes_its_turn_waits_for_and_that_it_goes_on() -> None:
    conversations, told, waited = TurnThatAsks(), list[str](), list[str | None]()
    tasks = AgentTasks(cast("Conversations", cast("Any", conversations)), cast("Gate", cast("Any", NamedGate())))
    end = await tasks.run("lamp", "restart yourself", told.append, waited.append)
    assert end == TaskEnd(is_done=True, text="it restarts")
    assert told == ["plan: the lamp"]
    assert waited == ["a yes of Eva", None]
    assert [(one.channel, one.device, one.origin) for one in conversations.asked] == [("device", "lamp", "device")]
