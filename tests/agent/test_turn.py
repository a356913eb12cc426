"""A turn ends with one answer whatever the model does, and says no more than it knows."""

from __future__ import annotations

import json

import pytest
from tests.agent.conftest import Held, MakeAgent, Workshop

from microclaw.agent.acts import NOTHING, proof_note
from microclaw.agent.turn import TurnLimits
from microclaw.apps.change_log import made_by, maker_now
from microclaw.apps.verify import NO_READ_BACK
from microclaw.errors import ModelError
from microclaw.events import Action, Answer, Delta, Evidence, Step, Usage
from microclaw.models.protocol import ModelReply, ModelRequest, ToolCall, ToolReturn
from microclaw.models.scripted import call, say


def deploy(source: str) -> ModelReply:
    return call("deploy-wasm-app", sourceCode=source, appName="blink", device="virtual-1")


def returned(request: ModelRequest) -> ToolReturn:
    last = request.messages[-1]
    assert isinstance(last, ToolReturn)
    return last


async def test_words_alone_are_the_answer(make_agent: MakeAgent) -> None:
    async with make_agent([say("hello", usage=Usage(10, 5, 0.25))]) as agent:
        answer = Answer(f"hello\n\n{NOTHING}", usage=Usage(10, 5, 0.25), outbound_id=1)
        assert await agent.events("hi") == [Delta("hello"), answer]


async def test_a_tools_result_goes_back_to_the_model_and_its_evidence_to_the_person(make_agent: MakeAgent) -> None:
    async with make_agent([call("gpio-set", pin=4), say("pin 4 is on")]) as agent:
        answer = await agent.answer("set pin 4 on")
        assert agent.workshop.done == ["set 4 1"]
        assert json.loads(returned(agent.script.requests[1]).content)["evidence"][0]["kind"] == "counted"
        assert [e.text for e in answer.evidence] == ["pin 4 is at 1"]
        assert [(a.tool, a.effect, a.outcome) for a in answer.actions] == [("gpio-set", "idempotent", "done")]
        assert answer.error_code is None


async def test_diagnostics_reach_the_model_and_the_mended_program_is_deployed(make_agent: MakeAgent) -> None:
    async with make_agent([deploy("BAD;"), deploy("STUCK;"), deploy("GOOD;"), say("it blinks")]) as agent:
        events = await agent.events("blink")
        first = json.loads(returned(agent.script.requests[1]).content)
        assert first["diagnostics"] == ["main.c:1:1: error: unknown name BAD\n    BAD;\n    ^\n    hint: use GOOD"]
        assert returned(agent.script.requests[1]).failed
        assert agent.workshop.done == ["deploy blink"]
        codes = [e.text for e in events if isinstance(e, Step) and e.stage == "code"]
        assert [c.split("   ")[0] for c in codes] == [
            "scripted wrote 1 lines",
            "mended (try 2 of 3)",
            "mended (try 3 of 3)",
        ]
        answer = events[-1]
        assert isinstance(answer, Answer)
        assert answer.error_code is None


async def test_three_programs_that_fail_end_the_turn_with_the_last_fault(make_agent: MakeAgent) -> None:
    async with make_agent([deploy("BAD;"), deploy("BAD;"), deploy("STUCK;"), deploy("GOOD;")]) as agent:
        answer = await agent.answer("blink")
        assert answer.error_code == "trial_failed"
        assert len(agent.script.requests) == 3
        assert agent.workshop.done == []


async def test_ten_rounds_of_calls_end_the_turn_with_a_clear_answer(make_agent: MakeAgent) -> None:
    async with make_agent([call("gpio-get", pin=4)] * 11) as agent:
        answer = await agent.answer("read forever")
        assert answer.error_code == "turn_limit"
        assert len(agent.script.requests) == 10


@pytest.mark.parametrize(
    "reply",
    [
        call("gpio-sett", pin=4),
        call("rm -rf /", pin=4),
        call("gpio-set", "{nonsense"),
        call("gpio-set", "[1, 2]"),
        call("gpio-set", pin="four"),
        call("gpio-set", pin=4, colour="red"),
        call("gpio-set"),
        call("deploy-wasm-app", sourceCode="GOOD;", appName="../etc"),
        call("deploy-wasm-app", sourceCode="", appName="a"),
        call("deploy-wasm-app", "\x00"),
    ],
)
async def test_a_wrong_call_is_explained_to_the_model_and_does_nothing(
    make_agent: MakeAgent, reply: ModelReply
) -> None:
    async with make_agent([reply, say("sorry")]) as agent:
        await agent.answer("do it")
        assert json.loads(returned(agent.script.requests[1]).content)["error"] == "tool_retry"
        assert agent.workshop.done == []


async def test_a_model_that_fails_ends_the_turn_with_its_error(make_agent: MakeAgent) -> None:
    failing = ModelError("the service is down", next_step="ask again")
    async with make_agent([call("gpio-set", pin=4), failing]) as agent:
        answer = await agent.answer("set pin 4")
        assert answer.text == (
            "the service is down\n\nWhat the host did:\n- done: gpio-set pin=4 (counted: pin 4 is at 1)"
        )
        assert (answer.error_code, answer.next_step) == ("model_error", "ask again")
        assert [a.tool for a in answer.actions] == ["gpio-set"]


async def test_an_act_that_was_only_accepted_never_counts_as_working(make_agent: MakeAgent) -> None:
    workshop = Workshop(evidence="accepted")
    async with make_agent([deploy("GOOD;"), say("It works!")], workshop=workshop) as agent:
        answer = await agent.answer("blink")
        assert "no read-back" in answer.text
        assert [e.kind for e in answer.evidence] == ["accepted"]


@pytest.mark.parametrize(
    ("proof", "said", "added"),
    [
        (NO_READ_BACK, "Done. The board offers no read-back.", ""),
        (NO_READ_BACK, "It works!", f"\nA{NO_READ_BACK[1:]}."),
        ("accepted, but it went away", "It works! There is no read-back.", "\nAccepted, but it went away."),
        ("accepted, but it went away", "Not verified: Accepted, but it went away.", ""),
    ],
)
def test_what_is_not_known_is_said_once_and_in_its_own_words(proof: str, said: str, added: str) -> None:
    acted = Action("deploy-wasm-app", "{}", "idempotent", "done")
    assert proof_note(said, (Evidence("accepted", proof),), (acted,)) == added


async def test_a_failed_act_is_the_answers_error_even_when_the_model_is_glad(make_agent: MakeAgent) -> None:
    async with make_agent([deploy("BAD;"), say("All done!")]) as agent:
        assert (await agent.answer("blink")).error_code == "build_error"


async def test_a_model_slower_than_the_turn_is_given_up(make_agent: MakeAgent) -> None:
    async with make_agent(model=Held(), limits=TurnLimits(turn_s=0.05)) as agent:
        answer = await agent.answer("hi")
        assert answer.error_code == "model_error"


async def test_no_more_calls_are_run_than_a_reply_may_have(make_agent: MakeAgent) -> None:
    calls = tuple(ToolCall(f"c{n}", "gpio-set", json.dumps({"pin": n})) for n in range(20))
    async with make_agent([ModelReply("", calls), say("ok")]) as agent:
        await agent.answer("all on")
        assert len(agent.workshop.done) == 8
        assert len(agent.script.requests[1].messages) == 1 + 1 + 8


async def test_usage_adds_up_and_an_unknown_cost_stays_unknown(make_agent: MakeAgent) -> None:
    first = ModelReply("", (ToolCall("1", "gpio-get", '{"pin": 4}'),), Usage(10, 1, 0.5))
    async with make_agent([first, say("ok", usage=Usage(5, 2, None))]) as agent:
        assert (await agent.answer("read")).usage == Usage(15, 3, None)


async def test_all_that_a_turn_changes_is_its_own_and_no_other_turns(make_agent: MakeAgent) -> None:
    replies = [call("gpio-set", pin=4), call("gpio-set", pin=5), say("on"), call("gpio-set", pin=6), say("on")]
    async with make_agent(replies) as agent:
        with made_by("whoever brought the message in"):  # the chat's worker is begun in here
            await agent.answer("4 and 5")
            await agent.answer("6")
        assert maker_now().turn is None
        first, again, other = agent.workshop.turns
    assert first == again
    assert {first, other} == {"m1", "m2"}
