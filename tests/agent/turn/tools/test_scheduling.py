"""Schedules as tools: what is risky is asked for when they are made, and nothing wrong is kept.

Their runs are in tests/agent/turn/background/test_unattended.py and tests/agent/schedules.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from tests.agent.schedules.conftest import Board, Boards, People
from tests.stores import new_store

from microclaw.agent.models.protocol import DeviceContext, KnownDevice
from microclaw.agent.offline.schedule_answers import schedule_line
from microclaw.agent.schedules.book import ScheduleBook
from microclaw.agent.schedules.operations import add
from microclaw.agent.schedules.runner import Executor, Runner
from microclaw.agent.schedules.scheduling import ScheduleTools, Scheduling
from microclaw.agent.turn.toolbox import Toolbox
from microclaw.devices.registry.registry import Registry
from microclaw.errors import PinCaution
from microclaw.hardware.boards.reader import load_board
from microclaw.host.auth.approvals import Approvals
from microclaw.host.auth.approved_act import ApprovalOutcome, PendingApproval
from microclaw.host.auth.gate import Gate
from microclaw.host.operations.operation import Effect, OperationCall, Permission, approve_all
from microclaw.host.operations.tool import (
    Parameters,
    PlannedTrial,
    Tool,
    ToolContext,
    ToolOutput,
    ToolResult,
    context_of,
    declared_tools,
)
from microclaw.host.store.database import Database
from microclaw.host.store.schedules import RunState, SchedulePrompt, ScheduleTable, ToolAction

CAREFUL_PIN = 9
CARE = "pin 9 needs care"
NOW_MS = 1_795_170_000_000  # 2026-11-20 11:20 in Berlin


class PinParameters(Parameters):
    pin: int
    level: int = 1
    device: str | None = None


class ProgramParameters(Parameters):
    sourceCode: str
    appName: str = ""
    expect: str | None = None
    autostart: bool = True
    device: str | None = None


class NoParameters(Parameters):
    pass


async def ran(_: Any, __: ToolContext) -> ToolOutput:
    raise AssertionError("nothing is due yet")


@dataclass
class Desk:
    """Schedules over the real store; `asked` is what waited for a yes, decided by `yes`."""

    book: ScheduleBook
    boards: Boards
    scheduling: Scheduling
    tools: Toolbox
    yes: bool = True
    asked: list[PendingApproval] = field(default_factory=list)

    async def call(self, name: str, arguments: Any) -> tuple[ToolResult, dict[str, Any]]:
        context = ToolContext("owner", lambda _: None, None, "test", "c1")
        result = await self.tools.call(name, json.dumps(arguments), context)
        return result, json.loads(result.content)


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    approvals = Approvals(timeout_s=60)
    people = People()
    boards = Boards()
    boards.known = [Board("d-1", "virtual-1"), Board("d-2", "lamp")]
    kept: dict[str, Any] = {"permission": Permission.ACT, "effect": Effect.IDEMPOTENT, "run": ran}
    agreed_pins = set[int]()

    async def agree() -> None:
        agreed_pins.add(CAREFUL_PIN)

    async def try_pin(call: Any, _: ToolContext) -> PlannedTrial:
        if call.pin == CAREFUL_PIN and CAREFUL_PIN not in agreed_pins:
            return PlannedTrial(cautions=(CARE,), keep_yes=agree)
        return PlannedTrial("pin 5 is used by threshold now" if call.pin == 5 else None)

    async def try_program(call: Any, _: ToolContext) -> PlannedTrial:
        is_careful = f"#define PIN {CAREFUL_PIN}" in call.sourceCode and CAREFUL_PIN not in agreed_pins
        return PlannedTrial(cautions=(CARE,) if is_careful else (), keep_yes=agree)

    set_pin = Tool("gpio-set", "Set.", PinParameters, **kept, try_planned=try_pin)
    deploy = Tool("deploy-wasm-app", "Deploy.", ProgramParameters, **kept, try_planned=try_program)
    erase = Tool("erase", "Erase.", NoParameters, **{**kept, "permission": Permission.RISKY})
    base = Toolbox((set_pin, deploy, erase), Gate(approvals=approvals))
    device = KnownDevice("virtual-1", load_board("virtual"))

    async def scene(name: str | None) -> DeviceContext:
        if name is not None:
            boards.get(name)
        return DeviceContext((device,), device)

    async with Database.open(new_store(tmp_path / "store.db")) as database:
        devices = cast("Registry", boards)
        book = ScheduleBook(ScheduleTable(database), people, lambda: NOW_MS, devices=devices, zone="Europe/Berlin")
        tools = ScheduleTools(
            perform=cast("Executor", None),
            prepare=lambda name, arguments, call: base.prepare(name, arguments, context_of(call)),
            try_planned=lambda name, arguments, call: base.try_planned(name, arguments, context_of(call)),
            takes_device=base.takes_device,
            reads_others=base.reads_others,
            scene=scene,
            is_offline=True,
        )
        runner = cast("Runner", SimpleNamespace(wakes_an_hour=2))
        scheduling = Scheduling(book=book, runner=runner, tools=tools, name_of=lambda person: person)
        desk = Desk(book, boards, scheduling, base.with_more(declared_tools({"schedule": scheduling})))

        def decide(news: PendingApproval | ApprovalOutcome) -> None:
            if isinstance(news, PendingApproval):
                desk.asked.append(news)
                decision = partial(approvals.decide, news.approval_id, approved=desk.yes, by="owner")
                asyncio.get_running_loop().call_soon(decision)

        approvals.listen(decide)
        yield desk


async def test_a_sentence_that_needs_no_model_becomes_one_call_and_another_one_words_for_the_agent(desk: Desk) -> None:
    result, told = await desk.call("schedule-add", {"when": "every weekday at 7", "do": "turn on pin 4"})
    assert (result.ok, told["next"]) == (True, "Monday, 2026-11-23 07:00 CET")
    kept = await desk.book.get(told["schedule"])
    assert kept.deed == ToolAction("gpio-set", '{"pin": 4, "level": 1}')
    assert (kept.person_id, kept.channel, kept.chat_id, kept.device) == ("owner", "test", "c1", "virtual-1")
    _, told = await desk.call("schedule-add", {"when": "in 20 minutes", "do": "blink pin 2", "device": "lamp"})
    assert isinstance((await desk.book.get(told["schedule"])).deed, SchedulePrompt)
    _, told = await desk.call("schedule-add", {"when": "in 20 minutes", "do": "blink pin 2"})
    assert (await desk.book.get(told["schedule"])).device == "virtual-1", "also when a second board joins"
    assert desk.asked == []
    desk.boards.known.remove(desk.boards.get("lamp"))
    _, listed = await desk.call("schedule-list", {})
    assert [one["problem"] is None for one in listed["schedules"]] == [True, False, True], "its device is gone"


async def test_what_is_risky_is_asked_for_when_it_is_made(desk: Desk) -> None:
    for desk.yes in (False, True):
        result, _ = await desk.call("schedule-add", {"when": "tomorrow at 3:00", "tool": "erase", "arguments": {}})
        assert result.ok is desk.yes
        assert len(await desk.book.all()) == desk.yes
    assert [one.risky and "erase" in one.detail for one in desk.asked] == [True, True]


@pytest.mark.parametrize("do", ["turn on pin 9", "turn on pin 4 and pin 9", "turn on pin 9 for 20 seconds"])
async def test_a_pin_that_needs_care_is_asked_for_once_when_it_is_planned(desk: Desk, do: str) -> None:
    for desk.yes in (False, True):
        result, _ = await desk.call("schedule-add", {"when": "tomorrow at 3:00", "do": do, "force": True})
        assert result.ok is desk.yes
    result, _ = await desk.call("schedule-add", {"when": "tomorrow at 4:00", "do": "turn off pin 9"})
    assert result.ok
    assert [one.risky and "pin 9 needs care" in one.action for one in desk.asked] == [True, True]
    _, told = await desk.call("schedule-add", {"when": "tomorrow at 3:00", "do": "turn on pin 5"})
    assert told["warning"] == "pin 5 is used by threshold now"


async def test_a_list_names_the_failure_of_the_last_run_until_one_is_done(desk: Desk) -> None:
    _, told = await desk.call("schedule-add", {"when": "every day at 3:00", "do": "turn on pin 5"})
    table = desk.book.table
    seen = []
    ends: list[tuple[RunState, str]] = [("failed", "pin 5 is taken"), ("skipped", ""), ("done", "it is on")]
    for due_ms, (state, text) in enumerate(ends, start=1):
        await table.claim(told["schedule"], due_ms, next_ms=NOW_MS, woke=False, now_ms=due_ms)
        await table.end_run(told["schedule"], due_ms, state, text, woke=False, now_ms=due_ms)
        _, fields = await desk.call("schedule-list", {})
        [row] = fields["schedules"]
        seen.append((row.get("failure"), "last run failed: pin 5 is taken" in schedule_line(row)))
    assert seen == [("pin 5 is taken", True), ("pin 5 is taken", True), (None, False)]


async def test_a_command_says_yes_to_a_pin_that_needs_care(desk: Desk) -> None:
    call = OperationCall("owner", lambda _: None, approve=approve_all, direct=True)
    with pytest.raises(PinCaution, match="pin 9 needs care") as caught:
        await add.own(desk.scheduling, call, "tomorrow at 3:00", do="turn on pin 9")
    assert "--force" in str(caught.value.next_step)
    assert await desk.book.all() == ()
    await add.own(desk.scheduling, call, "tomorrow at 3:00", do="turn on pin 9", force=True)
    await add.own(desk.scheduling, call, "tomorrow at 4:00", do="turn on pin 9")


@pytest.mark.parametrize(
    ("asked", "code"),
    [
        ({"when": "today at 8:00", "do": "turn on pin 4"}, "schedule_refused"),
        ({"do": "rm -rf /"}, "schedule_refused"),  # it would be answered, and nothing done
        ({"do": "turn on pin 4", "timezone": "Mars/Olympus"}, "schedule_refused"),
        ({"tool": "gpio-set", "arguments": {"pin": "no"}}, "tool_retry"),
        ({"tool": "schedule-add", "arguments": {}}, "tool_retry"),
        ({"do": "turn on pin 4", "device": "moon"}, "unknown_name"),
    ],
)
async def test_what_is_wrong_is_refused_when_it_is_made(desk: Desk, asked: dict[str, Any], code: str) -> None:
    result, _ = await desk.call("schedule-add", {"when": "in 20 minutes", **asked})
    assert result.error_code == code
    assert result.next_step
    assert await desk.book.all() == ()


async def test_an_equal_schedule_is_not_added_a_second_time(desk: Desk) -> None:
    daily = {"when": "every day at 7:00", "do": "turn on pin 4"}
    for arguments in (
        daily,
        {"when": "every 2 hours", "do": "turn on pin 4"},
        {"when": "at 7:00", "do": "turn on pin 5"},
    ):
        _, first = await desk.call("schedule-add", arguments)
        result, fields = await desk.call("schedule-add", arguments)
        assert not result.ok
        assert f"schedule {first['schedule']} does that already" in fields["message"]
    for other in ({"do": "turn off pin 4"}, {"when": "every day at 7:01"}, {"device": "lamp"}):
        result, _ = await desk.call("schedule-add", daily | other)
        assert result.ok
    assert len(await desk.book.all()) == 6
    await desk.call("schedule-pause", {"schedule": 1})
    _, paused = await desk.call("schedule-add", {"when": "daily at 07:00", "do": "turn on pin 4"})
    assert "schedule resume 1" in paused["next"]


@pytest.mark.parametrize(
    ("when", "do", "is_repeated"),
    [
        ("every day at 7:00", "turn on pin 4", True),
        ("every weekday at 7:00", "turn on pin 4", True),
        ("every day at 7:01", "turn on pin 4", False),
        ("every day at 7:00", "turn off pin 4", False),
    ],
)
async def test_a_schedule_that_does_the_same_at_a_time_of_another_says_so(
    desk: Desk, when: str, do: str, is_repeated: bool
) -> None:
    await desk.call("schedule-add", {"when": "on monday at 7:00", "do": "turn on pin 4"})
    _, fields = await desk.call("schedule-add", {"when": when, "do": do})
    assert ("schedule 1 does the same" in str(fields.get("warning"))) is is_repeated
