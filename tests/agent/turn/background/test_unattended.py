"""Turns that nobody waits for: the heartbeat, a schedule's deed, a device's task."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, cast

import pytest
from msgspec.structs import replace
from tests.agent.turn.conftest import Agent, MakeAgent

from microclaw.agent.knowledge.texts import TextFiles
from microclaw.agent.models.protocol import ModelReply, UserText
from microclaw.agent.models.scripted import call
from microclaw.agent.schedules import runner
from microclaw.agent.turn.action_record import without_empty_record
from microclaw.agent.turn.background.unattended import AgentTasks, ScheduledWork, look_at_tasks
from microclaw.agent.turn.inbox import Inbox
from microclaw.agent.turn.outbox import AcceptedMessage
from microclaw.agent.turn.toolbox import Toolbox
from microclaw.devices.link.tasks import TaskEnd
from microclaw.errors import ModelError, PermissionRefused, UnknownName
from microclaw.events import Answer, ApprovalAsked, ApprovalSettled, Inbound, Step, TurnEvent, Usage
from microclaw.host.auth.approvals import Approvals
from microclaw.host.auth.approved_act import ApprovalOutcome, PendingApproval
from microclaw.host.auth.gate import Gate
from microclaw.host.operations.operation import Permission
from microclaw.host.store.schedules import Action, Every, Once, Schedule, SchedulePrompt, ToolAction

START_MS = 1_700_000_000_000
HALF_HOUR_MS = 30 * 60_000
YEAR_MS = 366 * 86_400_000
DUE = 1_700_000_100_000
IDLE = [
    "",
    "\n\n",
    "# Heartbeat\n\n",
    "# Heartbeat\n<!-- write your tasks below,\n- like this one -->\n",
    "## Done\n- [x] water the plants\n* [X] call mum\n",
    "- \n- [ ]\n---\n",
    "<!-- never closed\n- a task",
]


class Clock(runner.WallClock):
    """Moves on by itself whenever it is waited for. `back_ms`: at the first wait it goes back so far."""

    def __init__(self, waits: int = 0, back_ms: int = 0) -> None:
        super().__init__(lambda: self.at_ms)
        self.at_ms = START_MS
        self.left = waits
        self.back_ms = back_ms
        self.over = asyncio.Event()

    async def wait(self, news: asyncio.Event, until_ms: int | None) -> None:
        assert until_ms is not None
        if self.left == 0:
            self.over.set()
            await news.wait()
        self.left -= 1
        if self.back_ms:
            self.at_ms = self.at_ms - self.back_ms
        else:
            self.at_ms = until_ms
        self.back_ms = 0


def heartbeat(agent: Agent, file: Path, text: str) -> Callable[[], Awaitable[Answer | None]]:
    file.write_text(text)
    read = partial(TextFiles(file.parent, now=lambda: datetime.now(UTC)).read, file.name)
    return partial(look_at_tasks, agent.inbox, read, ("test", "home"))


async def said(agent: Agent, chat: str = "home") -> list[str]:
    return [
        without_empty_record(one.answer.text).split("\n")[0] for one in await agent.outbox.undelivered("test", chat)
    ]


async def test_a_heartbeat_without_a_task_asks_no_model_and_one_without_news_says_nothing(
    make_agent: MakeAgent, tmp_path: Path
) -> None:
    file = tmp_path / "HEARTBEAT.md"
    nothing = ["NOTHING", "Nothing.", "nothing to report", "HEARTBEAT_OK"]
    async with make_agent([*map(ModelReply, nothing), ModelReply("It is 31 degrees in there.")]) as agent:
        for text in IDLE:
            assert await heartbeat(agent, file, text)() is None, text
        missing = heartbeat(agent, file, "")
        file.unlink()
        assert await missing() is None
        assert agent.script.requests == []
        beats = heartbeat(agent, file, "# Tasks\n- look at the greenhouse\n- [x] done\n- [ ] open\n")
        for count in range(len(nothing) + 1):
            assert await said(agent) == [], count
            await beats()
        assert await said(agent) == ["It is 31 degrees in there."]
        request = agent.script.requests[-1]
        assert request.task == "heartbeat"
        last = request.messages[-1]
        assert isinstance(last, UserText)
        assert "- look at the greenhouse\n- [ ] open" in last.text


async def test_a_heartbeat_beats_at_its_interval_and_outlives_a_failure_and_a_clock_set_back(
    make_agent: MakeAgent, tmp_path: Path
) -> None:
    async def run(agent: Agent, clock: Clock) -> None:
        beats = heartbeat(agent, tmp_path / "HEARTBEAT.md", "- look\n")
        running = asyncio.create_task(runner.run_at(Every(HALF_HOUR_MS, START_MS), beats, clock))
        async with asyncio.timeout(60):
            await clock.over.wait()
        running.cancel()
        await asyncio.wait((running,))

    async with make_agent([ModelReply("one"), ModelError("down"), *[ModelReply("three")] * 3]) as agent:
        clock = Clock(waits=3)
        await run(agent, clock)
        assert clock.at_ms == START_MS + 3 * HALF_HOUR_MS
        assert await said(agent) == ["one", "three"]
        clock = Clock(waits=3, back_ms=5 * YEAR_MS)  # it was ahead: no beat is put off
        await run(agent, clock)
        assert clock.at_ms < START_MS - 4 * YEAR_MS


def schedule(deed: Action) -> Schedule:
    return Schedule(
        "in 20 minutes", "it", Once(DUE), deed, "owner", "test", "c9", None, "run", Permission.ACT, None, schedule_id=7
    )


def hands(agent: Agent, tools: Toolbox | None = None) -> ScheduledWork:
    return ScheduledWork(inbox=agent.inbox, tools=tools or agent.workshop.toolbox(), gate=Gate())


async def started() -> None: ...


async def test_a_schedules_words_are_one_turn_in_its_chat_however_often_it_is_begun(make_agent: MakeAgent) -> None:
    replies = [call("gpio-set", pin=4), ModelReply("Pin 4 is on.", usage=Usage(10, 5, 0.0))]
    async with make_agent(replies) as agent:
        outcome = await hands(agent).run(schedule(SchedulePrompt("turn on the light")), DUE, started, "")
        assert (outcome.state, outcome.text.splitlines()[0]) == ("done", "Pin 4 is on.")
        assert (outcome.used_model, outcome.is_reported) == (True, True)
        assert agent.workshop.done == ["set 4 1"]
        (waiting,) = await agent.outbox.undelivered("test", "c9")
        assert waiting.answer.evidence
        assert (await hands(agent).run(schedule(SchedulePrompt("turn on the light")), DUE, started, "")).is_reported
        assert len(agent.script.requests) == 2
        assert await said(agent, "c9") == ["Pin 4 is on."]


async def test_a_schedules_call_starts_right_before_it_changes_something(make_agent: MakeAgent) -> None:
    async with make_agent() as agent:
        begun = asyncio.Event()

        async def note() -> None:
            assert agent.workshop.done == []
            begun.set()

        outcome = await hands(agent).run(schedule(ToolAction("gpio-set", '{"pin": 4}')), DUE, note, "")
        assert begun.is_set()
        assert (outcome.state, outcome.text, outcome.is_reported) == ("done", "pin 4 is at 1", False)
        assert agent.script.requests == []


async def test_making_a_scheduled_call_was_the_yes_also_after_approvals_became_always(make_agent: MakeAgent) -> None:
    approvals = Approvals(timeout_s=60)
    asked: list[str] = []

    def decline(news: PendingApproval | ApprovalOutcome) -> None:
        if isinstance(news, PendingApproval):
            asked.append(news.action)
            no = partial(approvals.decide, news.approval_id, approved=False, by="owner")
            asyncio.get_running_loop().call_soon(no)

    approvals.listen(decline)
    async with make_agent() as agent:
        work = hands(agent, Toolbox(agent.workshop.toolbox().tools, Gate(approvals=approvals, always_ask=True)))
        made = schedule(ToolAction("gpio-set", '{"pin": 4}'))
        assert (await work.run(made, DUE, started, "")).state == "done"
        assert asked == []
        assert (await work.run(replace(made, approved=Permission.READ), DUE, started, "")).state == "failed"
        assert len(asked) == 1  # it needs more than was shown
        repeats = [work.may_repeat(one) for one in (ToolAction("gpio-set", "{}"), ToolAction("undo", "{}"))]
        assert repeats == [True, False]


async def test_a_schedule_of_who_may_not_act_or_of_a_lost_device_does_nothing(make_agent: MakeAgent) -> None:
    async with make_agent() as agent:
        words = schedule(SchedulePrompt("blink pin 2"))
        act = schedule(ToolAction("gpio-set", '{"pin": 4}'))
        with pytest.raises(PermissionRefused):
            await hands(agent).run(replace(words, person_id="mallory"), DUE, started, "")
        assert (await hands(agent).run(replace(act, person_id="mallory"), DUE, started, "")).state == "failed"
        with pytest.raises(UnknownName):
            await hands(agent).run(replace(words, lost="lamp"), DUE, started, "")
        assert (agent.workshop.done, agent.script.requests) == ([], [])


class TurnThatAsks:
    """An inbox whose turn needs a yes."""

    def __init__(self) -> None:
        self.asked: list[Inbound] = []
        self.outbox = self

    async def accept(self, inbound: Inbound, *, when_full: str) -> AcceptedMessage:
        self.asked.append(inbound)
        return AcceptedMessage(1, False, self.events())

    def cancel(self, channel: str, chat_id: str, *, message_id: int) -> None: ...

    async def note_delivered(self, outbound_id: int | None, *, soon: bool) -> None: ...

    async def events(self) -> AsyncGenerator[TurnEvent]:
        yield Step("plan", "the lamp")
        yield ApprovalAsked("a1", "restart lamp", (), 300.0, may_decide=False)
        yield ApprovalSettled("a1", "approved", "Eva")
        yield Answer("it restarts")


async def test_a_device_hears_whose_yes_its_task_waits_for_and_that_it_goes_on() -> None:
    inbox = TurnThatAsks()
    told = list[str]()
    waited = list[str | None]()
    tasks = AgentTasks(cast("Inbox", cast("Any", inbox)), Gate())
    end = await tasks.run("lamp", "restart yourself", told.append, waited.append)
    assert end == TaskEnd(is_done=True, text="it restarts")
    assert told == ["plan: the lamp"]
    assert waited == ["a yes of owner", None]
    assert [(one.channel, one.device, one.origin) for one in inbox.asked] == [("device", "lamp", "device")]
