"""A turn ends with one answer whatever the model does, does no act twice, and says no more than it knows."""

from __future__ import annotations

import json
from typing import Any

import pytest
from msgspec.structs import replace
from tests.agent.turn.conftest import SCREEN, MakeAgent, PinParameters, Workshop

from microclaw.agent.models.protocol import ModelReply, ModelRequest, ReplyEnd, ToolCall, ToolReturn, UserText
from microclaw.agent.models.scripted import Scripted, call, say
from microclaw.agent.turn.action_record import proof_note, without_empty_record
from microclaw.agent.turn.model_requests import TurnLimits
from microclaw.errors import ModelError, ModelFault
from microclaw.events import Action, Answer, Edge, Evidence, Step, Usage
from microclaw.host.operations.tool import ToolContext, ToolOutput
from microclaw.programs.changes.change_log import ChangeOrigin, change_origin, current_origin
from microclaw.programs.proof.verify import NO_READ_BACK


def deploy(source: str) -> ModelReply:
    return call("deploy-wasm-app", sourceCode=source, appName="a")


def pin(number: int | str | list[int], **level: Any) -> ModelReply:
    return call("gpio-set", pin=number, **level)


def returned(request: ModelRequest) -> ToolReturn:
    last = request.messages[-1]
    assert isinstance(last, ToolReturn)
    return last


async def test_a_tools_result_goes_back_to_the_model_and_its_evidence_to_the_person(make_agent: MakeAgent) -> None:
    first = ModelReply("", pin(4).calls, Usage(10, 1, 0.5))
    async with make_agent([first, say("pin 4 is on", usage=Usage(5, 2, None))]) as agent:
        answer = await agent.answer("set pin 4 on")
        assert agent.workshop.done == ["set 4 1"]
        assert json.loads(returned(agent.script.requests[1]).content)["evidence"][0]["kind"] == "counted"
        assert [e.text for e in answer.evidence] == ["pin 4 is at 1"]
        assert [(a.tool, a.effect, a.outcome) for a in answer.actions] == [("gpio-set", "idempotent", "done")]
        assert answer.error_code is None
        assert answer.usage == Usage(15, 3, None), "an unknown cost stays unknown"


async def test_a_displays_picture_goes_to_the_model_as_an_image_and_to_the_person_with_the_answer(
    make_agent: MakeAgent,
) -> None:
    for source, is_failed in (("DRAWS", False), ("STUCK", True)):
        async with make_agent([deploy(source), say("it shows 22")]) as agent:
            answer = await agent.answer("show 22 on the display")
            result = returned(agent.script.requests[1])
        assert ([image.data for image in result.images], result.failed) == ([SCREEN.png], is_failed)
        (shown,) = json.loads(result.content)["screens"]
        assert shown == {"display": "oled1", "pictures": 3, "last_ms": 7.0, "size": "8 x 4", "shows": "22"}
        assert answer.screens == (SCREEN,)


async def test_diagnostics_reach_the_model_and_the_mended_program_is_deployed(make_agent: MakeAgent) -> None:
    async with make_agent([deploy("BAD;"), deploy("STUCK;"), deploy("GOOD;"), say("it blinks")]) as agent:
        events = await agent.events("blink")
        first = returned(agent.script.requests[1])
        diagnostics = ["main.c:1:1: error: unknown name BAD\n    BAD;\n    ^"]
        assert (json.loads(first.content)["diagnostics"], first.failed) == (diagnostics, True)
        assert json.loads(first.content)["next"] == "use GOOD", "the hint is there once"
        assert agent.workshop.done == ["deploy a"]
        codes = [e.text.split("   ")[0] for e in events if isinstance(e, Step) and e.stage == "code"]
        assert codes == ["scripted wrote 1 lines", "mended (try 2 of 3)", "mended (try 3 of 3)"]
        assert isinstance(events[-1], Answer)
        assert events[-1].error_code is None


BAD = deploy("BAD;")
GOOD = deploy("GOOD;")


TRIED = [BAD, BAD, deploy("STUCK;")]
CALLS = [call("gpio-get", pin=4)] * 10
DRAFT = "its source is kept: microclaw app draft a"
OF_TRIES = ("no program passed in 3 tries; the last one: it never gave up the CPU", "trial_failed", DRAFT)
OF_ROUNDS = (
    "I stopped after 10 rounds of tool calls without coming to an end",
    "turn_limit",
    "ask for one step at a time",
)


@pytest.mark.parametrize(("replies", "end"), [(TRIED, OF_TRIES), (CALLS, OF_ROUNDS)])
@pytest.mark.parametrize(
    ("last", "words"),
    [
        (say("It is stuck: it needs every()."), "It is stuck: it needs every()."),
        (GOOD, None),  # it calls once more
        (say(" "), None),
        (ModelError("the service is out", fault="auth"), None),
    ],
)
async def test_after_the_last_call_the_model_says_the_last_word_and_the_host_its_reason(
    make_agent: MakeAgent, replies: list[Scripted], end: tuple[str, str, str], last: Scripted, words: str | None
) -> None:
    async with make_agent([*replies, last, GOOD]) as agent:
        answer = await agent.answer("blink")
        assert len(agent.script.requests) == len(replies) + 1, "never a second time"
        assert [asked.may_call for asked in agent.script.requests] == [*[True] * len(replies), False]
        assert agent.workshop.done == []
    reason, code, step = end
    assert (answer.error_code, answer.next_step) == (code, step)
    own_text, _, record = answer.text.partition("\n\nWhat the host did:\n")
    assert own_text == (reason if words is None else f"{words}\n\n{reason}")
    assert record


async def test_eight_broken_programs_in_one_reply_are_three_tries(make_agent: MakeAgent) -> None:
    calls = tuple([replace(BAD.calls[0], call_id=f"call-{number}") for number in range(8)])
    async with make_agent([ModelReply("", calls), say("It does not compile.")]) as agent:
        answer = await agent.answer("blink")
        assert answer.error_code == "build_error"
        refused = [message for message in agent.script.requests[-1].messages if isinstance(message, ToolReturn)]
        assert ["no try is left" in message.content for message in refused] == [False] * 3 + [True] * 5


async def test_a_turn_that_was_stopped_gets_no_last_word(make_agent: MakeAgent) -> None:
    def stop(_: ModelRequest) -> ModelReply:
        assert agent.inbox.cancel("test", "c1")
        return deploy("STUCK;")

    async with make_agent([BAD, BAD, stop, say("too late")]) as agent:
        assert (await agent.answer("blink")).error_code == "cancelled"
        assert len(agent.script.requests) == 3


async def test_a_program_that_does_not_meet_an_expectation_is_no_broken_one(make_agent: MakeAgent) -> None:
    unmet = deploy("UNMET;")
    async with make_agent([BAD, unmet, unmet, unmet, unmet, BAD, GOOD, say("it blinks")]) as agent:
        answer = await agent.answer("blink")
        assert (agent.workshop.done, answer.error_code, answer.next_step) == (["deploy a"], None, None)


@pytest.mark.parametrize("source", ["BAD;", "STUCK;", "UNMET;"])
async def test_a_model_that_is_glad_although_nothing_was_deployed_is_corrected(
    make_agent: MakeAgent, source: str
) -> None:
    async with make_agent([deploy(source), say("All done!")]) as agent:
        answer = await agent.answer("blink")
        codes = {"BAD;": "build_error", "STUCK;": "trial_failed", "UNMET;": "expectation_not_met"}
        assert (answer.error_code, answer.next_step) == (codes[source], DRAFT)


@pytest.mark.parametrize(
    "reply",
    [
        call("gpio-sett", pin=4),
        call("gpio-set", "{nonsense"),
        call("gpio-set", pin="four"),
        call("gpio-set", pin=4, colour="red"),
        call("deploy-wasm-app", sourceCode="GOOD;", appName="../etc"),
    ],
)
async def test_a_wrong_call_is_explained_to_the_model_and_does_nothing(
    make_agent: MakeAgent, reply: ModelReply
) -> None:
    async with make_agent([reply, say("sorry")]) as agent:
        await agent.answer("do it")
        assert json.loads(returned(agent.script.requests[1]).content)["error"] == "tool_retry"
        assert agent.workshop.done == []


@pytest.mark.parametrize(
    ("words", "code"), [("Which pin?", None), ("どのピンですか？", None), ("I cannot.", "tool_retry")]
)
async def test_a_models_question_after_a_refused_call_is_an_answer_and_no_failure(
    make_agent: MakeAgent, words: str, code: str | None
) -> None:
    async with make_agent([call("gpio-set", pin="four"), say(words)]) as agent:
        answer = await agent.answer("set the pin")
        assert (answer.error_code, answer.next_step is None) == (code, code is None)
        assert "JSON" not in f"{answer.next_step}", "the right form is for the model"


async def test_no_more_calls_are_run_than_a_reply_may_have(make_agent: MakeAgent) -> None:
    calls = tuple(ToolCall(f"c{n}", "gpio-set", json.dumps({"pin": n})) for n in range(20))
    async with make_agent([ModelReply("", calls), say("ok")]) as agent:
        await agent.answer("all on")
        assert len(agent.workshop.done) == 8
        results = agent.script.requests[1].messages[2:]
        assert [isinstance(result, ToolReturn) and result.failed for result in results] == [False] * 8 + [True] * 12


async def test_a_call_that_the_limit_cut_is_not_run_and_the_model_hears_why(make_agent: MakeAgent) -> None:
    """The calls before it are whole. Of the last one nobody knows, also where it can be read."""
    calls = tuple(ToolCall(f"c{pin}", "gpio-set", json.dumps({"pin": pin})) for pin in (4, 5))
    cut = ModelReply("", calls, Usage(10, 4096), end="length")
    async with make_agent([cut, say("ok")]) as agent:
        await agent.answer("all on")
        assert len(agent.workshop.done) == 1
        result = json.loads(returned(agent.script.requests[1]).content)
        assert result["message"] == "not run: your call was cut at 4,096 tokens"


@pytest.mark.parametrize("end", ["length", "filter", "thoughts"])
async def test_an_answer_that_is_none_says_why(make_agent: MakeAgent, end: ReplyEnd) -> None:
    words = {"length": "cut at 300 tokens", "filter": "filter", "thoughts": "300 tokens were thoughts"}[end]
    async with make_agent([ModelReply("", usage=Usage(10, 300), end=end)]) as agent:
        answer = await agent.answer("hello")
        assert (answer.error_code, words in answer.text) == ("model_error", True)


WRITTEN_CALLS = (
    '<tool_call>\n{"name": "gpio-set", "arguments": {"pin": 4, "level": 1}}\n</tool_call>',
    'I will do that.\n```json\n{"name": "gpio_set", "arguments": {"pin": 4}}\n```',
    '{"name": "gpio-set", "parameters": {"pin": 4}}',
    '[TOOL_CALLS][{"name": "gpio-set", "arguments": {"pin": 4}}]',
    "functions.gpio_set({pin: 4})",
    "<function=gpio-set>\n<parameter=pin>4</parameter>\n</function>",
)


@pytest.mark.parametrize("text", WRITTEN_CALLS)
async def test_a_call_that_is_written_as_text_is_no_answer(make_agent: MakeAgent, text: str) -> None:
    """The model is told once; if it does it again, the person hears that it calls no tools."""
    async with make_agent([say(text), pin(4), say("ok"), say(text), say(text)]) as agent:
        assert (await agent.answer("on")).text.startswith("ok")
        assert isinstance(agent.script.requests[1].messages[-1], UserText)
        answer = await agent.answer("on")
        assert (answer.error_code, "gpio" in answer.text) == ("model_error", False)
        assert "does not call tools" in answer.text


@pytest.mark.parametrize(
    "text", ["Say functions and tools.", 'A file: {"name": "lamp", "pin": 4}', "```\nint main() {}\n```"]
)
async def test_an_answer_with_code_is_an_answer(make_agent: MakeAgent, text: str) -> None:
    async with make_agent([say(text)]) as agent:
        assert text in (await agent.answer("hello")).text


@pytest.mark.parametrize("name", ["gpio_set", "functions.gpio-set", "tools.gpio_set"])
async def test_a_name_as_templates_write_it_is_taken_as_the_tool(make_agent: MakeAgent, name: str) -> None:
    async with make_agent([call(name, pin=4, level=1), say("ok")]) as agent:
        await agent.answer("on")
        assert len(agent.workshop.done) == 1


async def test_what_a_provider_wants_back_is_in_the_turn_and_in_no_later_one(make_agent: MakeAgent) -> None:
    thought = replace(pin(4), provider_parts="[opaque]")
    async with make_agent([thought, say("ok"), say("yes")]) as agent:
        await agent.answer("on")
        await agent.answer("is it on?")
        within, later = agent.script.requests[1:]
        assert "[opaque]" in str(within.messages)
        assert "[opaque]" not in str(later.messages)


async def test_an_act_that_was_only_accepted_never_counts_as_working(make_agent: MakeAgent) -> None:
    async with make_agent([GOOD, say("It works!")], workshop=Workshop(evidence="accepted")) as agent:
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


async def test_all_that_a_turn_changes_is_its_own_and_no_other_turns(make_agent: MakeAgent) -> None:
    async with make_agent([pin(4), pin(5), say("on"), pin(6), say("on")]) as agent:
        with change_origin(ChangeOrigin("whoever brought the message in")):  # the chat's worker is begun in here
            await agent.answer("4 and 5")
            await agent.answer("6")
        assert current_origin().turn is None
        assert agent.workshop.turns == ["m1", "m1", "m2"]


@pytest.mark.parametrize(
    ("calls", "done"),
    [
        ([pin(4), pin(4)], ["set 4 1"]),
        ([pin(4), call("gpio-set", '{"level": null, "pin":4}')], ["set 4 1"]),
        ([pin(4, level=1), pin(4, level=0), pin(4, level=1)], ["set 4 1", "set 4 0", "set 4 1"]),
        ([call("undo"), call("undo")], ["undo"]),
        ([pin(4), GOOD, pin(4)], ["set 4 1", "deploy a", "set 4 1"]),
        ([pin(4), pin(4, level=0, device="virtual-1"), pin(4)], ["set 4 1", "set 4 0", "set 4 1"]),
        ([pin(4), pin(4, device="virtual-1"), pin(4, device="desk")], ["set 4 1", "set 4 1"]),
        ([pin(4), pin("?"), pin(4), pin(5)], ["set 4 1", "set 5 1"]),
    ],
)
async def test_only_the_act_directly_before_is_a_repetition(
    make_agent: MakeAgent, calls: list[ModelReply], done: list[str]
) -> None:
    async with make_agent([*calls, say("ready")]) as agent:
        answer = await agent.answer("do it")
        assert agent.workshop.done == done
        assert sum(action.outcome == "done" for action in answer.actions) == len(done)
        assert answer.error_code is None


@pytest.mark.parametrize("value", [[5, 6], {"number": 5}, None, "5 and 6", 5.5])
async def test_a_call_of_any_form_leaves_what_was_done_in_the_answer(make_agent: MakeAgent, value: Any) -> None:
    used = Usage(10, 1, None)
    async with make_agent([ModelReply("", pin(4).calls, used), pin(value), say("all are on")]) as agent:
        answer = await agent.answer("pins 4, 5 and 6 on")
        assert agent.workshop.done == ["set 4 1"]
        assert [action.outcome for action in answer.actions] == ["done", "refused"]
        assert "- done: gpio-set pin=4 (" in answer.text
        assert (answer.error_code, answer.usage.input_tokens) == ("tool_retry", 10)


class Faulty(Workshop):
    """Its `gpio-set` acts, and gives evidence that cannot be listed."""

    async def _set(self, asked: PinParameters, context: ToolContext) -> ToolOutput:
        output = await super()._set(asked, context)
        no_number: Any = "two"
        edges = (Edge(1.0, no_number, 1), Edge(2.0, 2, 1))
        return replace(output, evidence=(Evidence("counted", "seen", edges),))


async def test_a_fault_of_ours_leaves_what_was_done_in_the_answer(make_agent: MakeAgent) -> None:
    page = ModelReply("", call("page").calls, Usage(10, 1, None))
    async with make_agent([pin(4), page, say("it is on")], workshop=Faulty()) as agent:
        answer = await agent.answer("pin 4 on")
        assert answer.error_code == "internal"
        assert [(action.tool, action.outcome) for action in answer.actions] == [("gpio-set", "done"), ("page", "done")]
        assert answer.usage.input_tokens == 10
        assert answer.tainted_s is not None


# A model's service that fails for a moment, or stays away.

AT_ONCE = TurnLimits(pause_s=0.0)


def failed(fault: ModelFault, retry_after_s: float | None = None) -> ModelError:
    return ModelError(f"the service says {fault}", next_step="ask again", fault=fault, retry_after_s=retry_after_s)


async def test_a_failure_that_may_pass_is_asked_again_and_shown_and_an_act_is_not_done_again(
    make_agent: MakeAgent,
) -> None:
    script: list[Scripted] = [failed("rate_limit"), pin(4), failed("server"), failed("unreachable"), say("it is on")]
    async with make_agent(script, limits=AT_ONCE) as agent:
        events = await agent.events("pin 4 on")
        answer = events[-1]
        assert isinstance(answer, Answer)
        assert (without_empty_record(answer.text).split("\n")[0], answer.error_code) == ("it is on", None)
        assert "done: gpio-set pin=4" in answer.text
        assert agent.workshop.done == ["set 4 1"]
        shown = [event for event in events if isinstance(event, Step) and event.stage == "model"]
        assert [step.state for step in shown] == ["running"] * 3


@pytest.mark.parametrize(
    ("failure", "limits", "tries"),
    [
        (failed("auth"), AT_ONCE, 1),
        (failed("timeout"), AT_ONCE, 1),
        (failed("server"), AT_ONCE, 4),
        (failed("rate_limit", 600.0), TurnLimits(turn_s=60.0), 1),  # a pause longer than there is time for
        (failed("rate_limit", 600.0), TurnLimits(waits_s=60.0), 1),
    ],
)
async def test_a_failure_that_stays_is_told_after_the_last_try_with_what_was_done(
    make_agent: MakeAgent, failure: ModelError, limits: TurnLimits, tries: int
) -> None:
    async with make_agent([pin(4), *[failure] * 9], limits=limits) as agent:
        answer = await agent.answer("set pin 4")
        assert (
            answer.text == f"{failure.message}\n\nWhat the host did:\n- done: gpio-set pin=4 (counted: pin 4 is at 1)"
        )
        assert (answer.error_code, answer.next_step) == ("model_error", "ask again")
        assert len(agent.script.requests) == 1 + tries
