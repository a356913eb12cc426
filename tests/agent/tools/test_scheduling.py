"""Schedules as tools: what is risky is asked for when they are made, not when they run; nothing wrong is kept."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from tests.schedules.conftest import Board, Boards, People
from tests.stores import new_store

from microclaw.agent.background.unattended import ScheduledWork
from microclaw.agent.inbox import Inbox
from microclaw.agent.toolbox import Toolbox
from microclaw.auth.approvals import ApprovalOutcome, Approvals, PendingApproval
from microclaw.auth.gate import Effect, Gate, Permission
from microclaw.auth.people import OWNER, Person
from microclaw.boards.reader import load_board
from microclaw.devices.registry import Registry
from microclaw.errors import PermissionRefused, ToolRetry, UnknownName
from microclaw.events import Evidence, Inbound
from microclaw.models.protocol import DeviceContext, KnownDevice
from microclaw.operations.declared_tools import context_of, declared_tools
from microclaw.operations.tool import Parameters, Tool, ToolContext, ToolOutput, ToolResult
from microclaw.schedules.book import ScheduleBook
from microclaw.schedules.runner import Runner
from microclaw.schedules.scheduling import Scheduling
from microclaw.store.database import Database
from microclaw.store.schedules import Prompt, ScheduleTable, ToolAct

NOW_MS = 1_795_170_000_000  # 2026-11-20 11:20 in Berlin
PEOPLE = {"owner": OWNER, "p-ada": Person("p-ada", "ada", "member"), "p-gus": Person("p-gus", "gus", "guest")}


class PinParameters(Parameters):
    pin: int
    level: int = 1
    device: str | None = None


class NoParameters(Parameters):
    pass


@dataclass
class Desk:
    """Schedules over the real store; `asked` is what waited for a yes, decided by `yes`."""

    tools: Toolbox
    base: Toolbox
    book: ScheduleBook
    gate: Gate
    people: People
    boards: Boards
    done: list[str]
    yes: bool = True
    asked: list[PendingApproval] = field(default_factory=list)

    async def call(
        self, name: str, arguments: Mapping[str, Any], person_id: str = "owner", *, foreign: bool = False
    ) -> tuple[ToolResult, dict[str, Any]]:
        context = ToolContext(person_id, lambda _: None, None, "test", "c1", foreign=foreign)
        result = await self.tools.call(name, json.dumps(arguments), context)
        return result, json.loads(result.content)

    async def run(self, number: int) -> str:
        """Its deed, as the runner has it done."""
        scheduled = ScheduledWork(inbox=NoInbox(), tools=self.base, gate=self.gate)
        return (await scheduled.run(await self.book.get(number), 1, _nothing, "")).text


class NoInbox(Inbox):
    """A call asks no agent and tells nobody: it has neither messages nor an outbox."""

    def __init__(self) -> None: ...

    async def accept(self, inbound: Inbound) -> Any:
        raise AssertionError("a call asks no agent")


async def _nothing() -> None: ...


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    done: list[str] = []

    async def set_pin(asked: PinParameters, context: ToolContext) -> ToolOutput:
        on = asked.device or context.device
        done.append(f"set {asked.pin} {asked.level}" + (f" on {on}" if on else ""))
        return ToolOutput({"success": True}, (Evidence("counted", f"pin {asked.pin} is at {asked.level}"),))

    async def objections(asked: PinParameters, context: ToolContext) -> tuple[str, ...]:
        if asked.pin == 7 and (asked.device or context.device) != "lamp":
            raise ToolRetry("which device?")
        return ("pin 2 is driven by blink",) if asked.pin == 2 else ()

    async def erase(_: NoParameters, __: ToolContext) -> ToolOutput:
        done.append("erase")
        return ToolOutput({"success": True, "message": "erased"})

    people = People()
    people.known = dict(PEOPLE)
    approvals = Approvals(timeout_s=5, roles=people)
    gate = Gate(people, approvals)
    base = Toolbox(
        (
            Tool("gpio-set", "Set.", PinParameters, Permission.ACT, Effect.IDEMPOTENT, set_pin, objections=objections),
            Tool("erase", "Erase.", NoParameters, Permission.RISKY, Effect.ONCE, erase),
        ),
        gate,
    )
    boards = Boards()
    boards.known = [Board("d-1", "virtual-1"), Board("d-2", "lamp")]
    device = KnownDevice("virtual-1", load_board("virtual"))

    async def scene(name: str | None) -> DeviceContext:
        if name is not None:
            boards.get(name)
        return DeviceContext((device,), device)

    async with Database.open(new_store(tmp_path / "store.db")) as database:
        book = ScheduleBook(
            ScheduleTable(database), people, lambda: NOW_MS, devices=cast("Registry", boards), zone="Europe/Berlin"
        )
        scheduling = Scheduling(
            book=book,
            runner=cast("Runner", SimpleNamespace(wakes_an_hour=2)),
            prepare=lambda name, arguments, call: base.prepare(name, arguments, context_of(call)),
            takes_device=base.takes_device,
            name_of=gate.name_of,
            scene=scene,
            offline=True,
        )
        tools = declared_tools({"schedule": scheduling})
        desk = Desk(base.with_more(tools), base, book, gate, people, boards, done)

        def decide(news: PendingApproval | ApprovalOutcome) -> None:
            if isinstance(news, PendingApproval):
                desk.asked.append(news)
                loop = asyncio.get_running_loop()
                loop.call_soon(lambda: approvals.decide(news.approval_id, approved=desk.yes, by="owner"))

        approvals.listen(decide)
        yield desk


async def test_a_sentence_that_needs_no_model_becomes_one_call(desk: Desk) -> None:
    result, told = await desk.call("schedule-add", {"when": "every weekday at 7", "do": "turn on pin 4"})
    assert result.ok
    assert told["next"] == "Monday, 2026-11-23 07:00 CET"
    kept = await desk.book.get(told["schedule"])
    assert kept.deed == ToolAct("gpio-set", '{"pin": 4, "level": 1}')
    assert (kept.person_id, kept.channel, kept.chat_id, kept.device) == ("owner", "test", "c1", "virtual-1")
    assert desk.asked == []
    assert await desk.run(kept.schedule_id) == "pin 4 is at 1"
    assert desk.done == ["set 4 1 on virtual-1"]


async def test_what_is_risky_is_asked_for_when_it_is_made_and_not_when_it_runs(desk: Desk) -> None:
    _, told = await desk.call("schedule-add", {"when": "tomorrow at 3:00", "tool": "erase", "arguments": {}})
    (asked,) = desk.asked
    assert asked.risky
    assert "erase" in asked.detail
    desk.yes = False
    assert await desk.run(told["schedule"]) == "erased"
    assert len(desk.asked) == 1


async def test_what_was_declined_is_not_kept(desk: Desk) -> None:
    desk.yes = False
    result, _ = await desk.call("schedule-add", {"when": "tomorrow at 3:00", "tool": "erase", "arguments": {}})
    assert result.error_code == "permission_refused"
    assert await desk.book.all() == ()


async def test_who_may_act_no_more_has_nothing_run(desk: Desk) -> None:
    _, told = await desk.call("schedule-add", {"when": "in 20 minutes", "do": "turn on pin 4"}, "p-ada")
    desk.people.known["p-ada"] = Person("p-ada", "ada", "guest")
    await desk.run(told["schedule"])
    assert desk.done == []


async def test_a_prompt_of_who_may_act_no_more_is_not_told_to_the_agent(desk: Desk) -> None:
    _, told = await desk.call("schedule-add", {"when": "in 20 minutes", "do": "blink pin 2"}, "p-ada")
    assert isinstance((await desk.book.get(told["schedule"])).deed, Prompt)
    del desk.people.known["p-ada"]
    with pytest.raises(PermissionRefused):
        await desk.run(told["schedule"])


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        ({"when": "today at 8:00", "do": "turn on pin 4"}, "schedule_refused"),
        ({"when": "at 7", "do": "turn on pin 4"}, "schedule_refused"),
        ({"when": "in 20 minutes", "do": "turn on the pump"}, "schedule_refused"),
        ({"when": "in 20 minutes", "do": "water the moon"}, "schedule_refused"),
        ({"when": "in 20 minutes", "do": "rm -rf /"}, "schedule_refused"),  # it would be answered, and nothing done
        ({"when": "in 20 minutes", "do": "hello"}, "schedule_refused"),
        ({"when": "in 20 minutes", "do": "turn on pin 4", "timezone": "Mars/Olympus"}, "schedule_refused"),
        ({"when": "in 20 minutes"}, "tool_retry"),
        ({"when": "in 20 minutes", "do": "turn on pin 4", "tool": "gpio-set"}, "tool_retry"),
        ({"when": "in 20 minutes", "tool": "gpio-set", "arguments": {"pin": "no"}}, "tool_retry"),
        ({"when": "in 20 minutes", "tool": "moon-set", "arguments": {}}, "tool_retry"),
        ({"when": "in 20 minutes", "tool": "schedule-add", "arguments": {}}, "tool_retry"),
        ({"when": "in 20 minutes", "tool": "gpio-set", "arguments": {"pin": 4, "device": "moon"}}, "unknown_name"),
        ({"when": "in 20 minutes", "do": "turn on pin 4", "device": "moon"}, "unknown_name"),
    ],
)
async def test_what_is_wrong_is_refused_when_it_is_made(desk: Desk, arguments: dict[str, Any], code: str) -> None:
    result, _ = await desk.call("schedule-add", arguments)
    assert result.error_code == code
    assert result.next_step
    assert await desk.book.all() == ()


@pytest.mark.parametrize(("pin", "asks"), [(2, True), (4, False)])
async def test_one_that_will_ask_for_a_yes_when_it_is_due_says_so(desk: Desk, pin: int, asks: bool) -> None:
    for what in ({"do": f"turn on pin {pin}"}, {"tool": "gpio-set", "arguments": {"pin": pin}}):
        _, told = await desk.call("schedule-add", {"when": "every day at 7", **what})
        assert ("warning" in told) is asks


@pytest.mark.parametrize(("when", "asks"), [("every 30 minutes", False), ("every 20 minutes", True)])
async def test_one_that_asks_a_model_too_often_says_so(desk: Desk, when: str, asks: bool) -> None:
    _, told = await desk.call("schedule-add", {"when": when, "do": "blink pin 2"})
    assert ("warning" in told) is asks


async def test_a_schedule_of_a_removed_device_fails_and_says_what_to_do(desk: Desk) -> None:
    call = {"when": "every day at 7:00", "tool": "gpio-set", "arguments": {"pin": 4, "device": "lamp"}}
    _, told = await desk.call("schedule-add", call)
    desk.boards.known.remove(desk.boards.get("lamp"))
    desk.boards.known.append(Board("d-9", "lamp"))  # another one, under the free name
    with pytest.raises(UnknownName):
        await desk.run(told["schedule"])
    assert desk.done == []
    _, listed = await desk.call("schedule-list", {})
    assert listed["schedules"][0]["problem"]
    assert listed["schedules"][0]["device"] is None


async def test_words_for_the_agent_fail_too_when_their_device_is_gone(desk: Desk) -> None:
    _, told = await desk.call("schedule-add", {"when": "in 20 minutes", "do": "blink pin 2", "device": "lamp"})
    assert isinstance((await desk.book.get(told["schedule"])).deed, Prompt)
    desk.boards.known.remove(desk.boards.get("lamp"))
    with pytest.raises(UnknownName):
        await desk.run(told["schedule"])
