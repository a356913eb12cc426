"""Acts that follow a stranger's words are asked for: who answers, with which words, and what a cancel or a crash does.

Only a yes that names the question approves it; a no or another sentence of the chat withdraws it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest
from tests.agent.turn.conftest import Agent, MakeAgent, NoParameters, Workshop

from microclaw.agent.models.scripted import call, say
from microclaw.agent.turn.action_record import without_empty_record
from microclaw.agent.turn.conversation import answer_at_once
from microclaw.agent.turn.model_requests import TurnLimits
from microclaw.agent.turn.outbox import AcceptedMessage
from microclaw.agent.turn.toolbox import Toolbox
from microclaw.events import NOTHING_WAITS, Answer, ApprovalAsked, ApprovalSettled, Inbound, ToolRun, TurnEvent
from microclaw.host.auth.approvals import Approvals
from microclaw.host.auth.approved_act import ApprovalOutcome, PendingApproval
from microclaw.host.operations.operation import Effect, Permission
from microclaw.host.operations.tool import Tool, ToolContext, ToolOutput

SCRIPT = [call("page"), call("undo"), say("done"), say("hello")]


@dataclass
class Asking:
    """A turn that read a page and now asks before it undoes."""

    agent: Agent
    accepted: AcceptedMessage
    asked: ApprovalAsked

    def decide(self, yes: bool) -> None:
        self.agent.approvals.decide(self.asked.approval_id, approved=yes, by="owner")

    async def rest(self) -> list[TurnEvent]:
        async with asyncio.timeout(60):
            return [event async for event in self.accepted.events]

    async def hear(
        self, text: str, chat_id: str = "c1", person_id: str = "owner", seen: tuple[str, ...] = ()
    ) -> Answer:
        accepted = await self.agent.inbox.accept(Inbound("test", chat_id, text, person_id, seen=seen))
        if chat_id == "c1":
            assert accepted.after in (None, self.accepted.message_id)
        answer = await accepted.answer()
        assert answer is not None
        return answer


@asynccontextmanager
async def asking(make_agent: MakeAgent, limits: TurnLimits | None = None) -> AsyncIterator[Asking]:
    async with make_agent(SCRIPT, limits=limits) as agent:
        accepted = await agent.inbox.accept(Inbound("test", "c1", "what does the page say"))
        async with asyncio.timeout(60):
            while not isinstance(event := await anext(accepted.events), ApprovalAsked):
                pass
        assert agent.workshop.done == []
        yield Asking(agent, accepted, event)


async def test_time_a_person_takes_to_decide_is_not_the_turns(
    make_agent: MakeAgent, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with asking(make_agent, TurnLimits(turn_s=20)) as turn:
        now_s = (loop := asyncio.get_running_loop()).time
        monkeypatch.setattr(loop, "time", lambda: now_s() + 21)  # a person thinks
        turn.decide(True)
        *_, last = await turn.rest()
        assert isinstance(last, Answer)
        assert last.text.startswith("done\n\nWhat the host did:\n- done: ")


@pytest.mark.parametrize(
    ("said", "chat", "person", "code", "outcome"),
    [
        ("Yes, do it", "c1", "owner", "question_waits", None),
        ("yes deadbeef", "c1", "owner", "question_waits", None),
        ("no deadbeef", "c1", "owner", "question_waits", None),
        ("yes {}", "c1", "stranger", "permission_refused", None),
        ("yes {}", "c2", "owner", NOTHING_WAITS, None),
        ("yes deadbeef", "c2", "bob", NOTHING_WAITS, None),
        ("hi there", "c2", "owner", None, None),  # another chat is not held up
        ("Yes {}.", "c1", "owner", None, "approved"),
        ("no", "c1", "owner", None, "declined"),
        ("nope", "c1", "owner", None, "declined"),
        ("is it on", "c1", "owner", None, "withdrawn"),
    ],
)
async def test_a_sentence_while_a_question_waits(
    make_agent: MakeAgent, said: str, chat: str, person: str, code: str | None, outcome: str | None
) -> None:
    async with asking(make_agent) as turn:
        heard: list[PendingApproval | ApprovalOutcome] = []
        turn.agent.approvals.listen(heard.append)
        answer = await turn.hear(said.format(turn.asked.approval_id), chat, person)
        assert answer.error_code == code
        if code == "question_waits":
            assert turn.asked.text in answer.text
            assert f"yes {turn.asked.approval_id}" in (answer.next_step or "")
        if outcome is None:
            assert len(turn.agent.approvals.pending()) == 1
            turn.decide(False)
        await turn.rest()
        last = heard[-1]
        assert isinstance(last, ApprovalOutcome)
        assert (last.outcome, last.by) == (outcome or "declined", "owner")
        assert turn.agent.workshop.done == (["undo"] if outcome == "approved" else [])


async def test_a_bare_yes_counts_for_the_only_question_that_waits_and_is_seen(make_agent: MakeAgent) -> None:
    async with asking(make_agent) as turn:
        approvals = turn.agent.approvals
        approval_id = turn.asked.approval_id
        assert (await turn.hear("yes", seen=("deadbeef",))).error_code == "question_waits"
        is_asked = asyncio.Event()
        leave = approvals.listen(lambda _: is_asked.set())
        second = asyncio.create_task(approvals.ask("owner", "turn on pin 4", (), channel="test", chat_id="c1"))
        async with asyncio.timeout(60):
            await is_asked.wait()
        leave()
        other_id = approvals.pending()[-1].approval_id
        assert other_id != approval_id
        answer = await turn.hear("yes", seen=(approval_id, other_id))
        assert answer.error_code == "question_waits"
        assert "button" in (answer.next_step or "")
        approvals.decide(other_id, approved=True, by="owner")
        await second
        assert turn.agent.workshop.done == []
        assert (await turn.hear("yes", seen=(approval_id,))).error_code is None
        await turn.rest()
        assert turn.agent.workshop.done == ["undo"]


async def test_a_schedules_question_is_not_the_running_turns_and_only_its_number_decides_it(
    make_agent: MakeAgent,
) -> None:
    """A schedule that is due asks in the chat in which its person speaks: who listens there did not ask for it."""
    async with asking(make_agent) as turn:
        approvals = turn.agent.approvals
        is_asked = asyncio.Event()
        leave = approvals.listen(lambda _: is_asked.set())
        ask = approvals.ask("owner", "turn on pin 4", (), channel="test", chat_id="c1")
        schedules_call = asyncio.create_task(ask)
        async with asyncio.timeout(60):
            await is_asked.wait()
        leave()
        turn.decide(False)
        heard = [event for event in await turn.rest() if isinstance(event, ApprovalAsked | ApprovalSettled)]
        assert [event.approval_id for event in heard] == [turn.asked.approval_id]
        (waiting,) = approvals.pending()
        for said in ("yes", "no", f"yes {turn.asked.approval_id}"):
            assert (await turn.hear(said)).error_code == "question_waits"
        assert approvals.pending() == (waiting,)
        await turn.hear(f"yes {waiting.approval_id}")
        await schedules_call


async def test_a_yes_to_a_question_that_is_over_is_told_how_it_ended(make_agent: MakeAgent) -> None:
    async with asking(make_agent) as turn:
        approval_id = turn.asked.approval_id
        turn.decide(False)
        await turn.rest()
        late = await turn.hear("yes", seen=(approval_id,))
        assert late.error_code == "already_answered"
        assert turn.asked.text in late.text
        elsewhere = Inbound("test", "c2", "yes", seen=(approval_id,))
        assert answer_at_once(turn.agent.approvals, elsewhere) is None


def test_what_is_too_long_to_be_shown_is_not_approved_by_a_sentence() -> None:
    class OneWaits(Approvals):
        def pending(self) -> tuple[PendingApproval, ...]:
            return (PendingApproval("abcd1234", "owner", "deploy it", ("x" * 20_000,), "test", "c1", 60),)

    answer = answer_at_once(OneWaits(timeout_s=60), Inbound("test", "c1", "yes abcd1234"))
    assert answer is not None
    assert answer.next_step


@dataclass
class Builds(Workshop):
    """`build` compiles forever and then would ask, `look` reads forever, `late` changes something, then waits."""

    running: asyncio.Event = field(default_factory=asyncio.Event)

    def toolbox(self, approvals: Approvals | None = None) -> Toolbox:
        def tool(name: str, permission: Permission, effect: Effect, run: Callable[..., object]) -> Tool[NoParameters]:
            return Tool(name, name, NoParameters, permission, effect, run, has_preview=effect is Effect.ONCE)  # type: ignore[arg-type]

        more = (
            tool("build", Permission.ACT, Effect.ONCE, self._for_ever),
            tool("look", Permission.READ, Effect.READ, self._for_ever),
            tool("late", Permission.ACT, Effect.ONCE, self._late),
        )
        return super().toolbox(approvals).with_more(more)

    async def _for_ever(self, _: NoParameters, __: ToolContext) -> ToolOutput:
        self.running.set()
        try:
            await asyncio.Event().wait()
        finally:
            self.done.append("killed")
        raise AssertionError

    async def _late(self, _: NoParameters, context: ToolContext) -> ToolOutput:
        await context.approve("install it", ())
        self.running.set()
        await asyncio.sleep(0.05)
        self.done.append("installed")
        return ToolOutput({"success": True})


@pytest.mark.parametrize(("tool", "done"), [("build", "killed"), ("look", "killed"), ("late", "installed")])
async def test_a_cancelled_call_ends_before_its_effect_or_after_it(make_agent: MakeAgent, tool: str, done: str) -> None:
    workshop = Builds()
    async with make_agent([call(tool), say("hello")], workshop=workshop) as agent:
        events = (await agent.inbox.accept(Inbound("test", "c1", "go"))).events
        assert await anext(events) == ToolRun(tool, "started")
        await asyncio.wait_for(workshop.running.wait(), 60)
        agent.inbox.cancel("test", "c1")
        assert without_empty_record((await agent.answer("second")).text) == "hello"
        assert workshop.done == [done]
        assert await agent.journal.unfinished() == ()
        kept = str(await agent.sessions.load("test", "c1"))
    assert "nothing more is started" in kept
    assert ("done: late" in kept) == (tool == "late")
    assert ("refused: build (cancelled: it had changed nothing yet)" in kept) == (tool == "build")
