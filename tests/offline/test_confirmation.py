"""A loose reading that would change something waits for a yes, in a template's words."""

from __future__ import annotations

import json

import pytest
from tests.offline.conftest import Ask, answered, kept
from tests.offline.score import CHANGING
from tests.offline.test_offline_sentences import AT_ONCE, PROGRAMS

from microclaw.models.protocol import AssistantReply, DeviceContext, Message, ModelReply, ModelRequest, UserText
from microclaw.offline.decision import Act, Say
from microclaw.offline.dialogue import one_call, understand
from microclaw.offline.last_act import DialogueState, LastAct, state_after
from microclaw.offline.parse import Parse, Question
from microclaw.offline.sentences import english

LOOSE = "could the relay thingy on pin 10 be switched on for me"
BLINK = "the lamp on pin 4 should blink every half second"


async def _asked(ask: Ask, sentence: str) -> tuple[ModelReply, tuple[Message, ...]]:
    reply = await ask(sentence)
    return reply, (UserText(sentence), kept(reply))


async def test_a_loose_order_says_what_it_read_and_waits(ask: Ask) -> None:
    reply, _ = await _asked(ask, LOOSE)
    assert reply.calls == ()
    assert reply.failed_code == "confirm_reading"


@pytest.mark.parametrize(
    "yes",
    ["yes", "Yes!", "y", "ok", "sure", "yes please", "Yes, please.", "yep", "yup", "Go ahead!", "do it", "please do"],
)
async def test_a_yes_carries_out_what_was_read(ask: Ask, yes: str) -> None:
    _, before = await _asked(ask, LOOSE)
    reply = await ask(yes, before=before)
    assert [(call.name, json.loads(call.arguments)) for call in reply.calls] == [("gpio-set", {"pin": 10, "level": 1})]


@pytest.mark.parametrize("no", ["no", "n", "No.", "cancel", "nope", "Don't!", "leave it"])
async def test_a_no_does_nothing_and_the_question_is_over(ask: Ask, no: str) -> None:
    _, before = await _asked(ask, LOOSE)
    reply = await ask(no, before=before)
    assert (reply.calls, reply.question, reply.failed_code) == ((), None, None)
    assert not (await ask("yes", before=(*before, UserText(no), kept(reply)))).calls


async def test_anything_else_is_a_new_sentence(ask: Ask) -> None:
    _, before = await _asked(ask, LOOSE)
    reply = await ask("turn on pin 5", before=before)
    assert json.loads(reply.calls[0].arguments) == {"pin": 5, "level": 1}


async def test_a_loose_question_is_answered_at_once(ask: Ask) -> None:
    reply = await ask("how damp is the air in there")
    assert [call.name for call in reply.calls] == ["i2c-read"]


async def test_a_loose_order_to_stop_looks_first_and_names_the_program(ask: Ask) -> None:
    said = "put an end to that blink thing"
    reading = english().parse(said)
    assert reading is not None
    assert reading.loose
    listed = answered(await ask(said), apps=[{"name": "blink", "state": "running", "pins": [2]}])
    reply = await ask(said, *listed)
    assert reply.calls == ()
    before = (UserText(said), *listed, kept(reply))
    again = answered(await ask("yes", before=before), apps=[{"name": "blink", "state": "running", "pins": [2]}])
    last = await ask("yes", *again, before=before)
    assert [(call.name, json.loads(call.arguments)) for call in last.calls] == [
        ("switch-program", {"appName": "blink", "switch": "stop"})
    ]


async def test_a_pin_that_was_asked_for_makes_a_loose_order_no_surer(ask: Ask) -> None:
    said = "turn the bathroom fan on"
    _question, before = await _asked(ask, said)
    reply = await ask("pin 4", before=before)
    assert reply.calls == ()
    last = await ask("yes", before=(*before, UserText("pin 4"), kept(reply)))
    assert json.loads(last.calls[0].arguments) == {"pin": 4, "level": 1}


async def test_the_device_that_was_named_is_meant_after_the_yes(ask: Ask, two_boards: DeviceContext) -> None:
    first = await ask(f"{LOOSE} on desk", device_context=two_boards)
    reply = await ask("yes", device_context=two_boards, before=(UserText(f"{LOOSE} on desk"), kept(first)))
    assert json.loads(reply.calls[0].arguments) == {"pin": 10, "level": 1, "device": "desk"}


def test_loose_words_are_no_schedule_but_say_what_they_would_be(device_context: DeviceContext) -> None:
    decided = one_call(LOOSE, device_context)
    assert isinstance(decided, Say)


def test_the_words_of_a_reading_are_a_template_of_the_same_act(device_context: DeviceContext) -> None:
    def act(text: str) -> Act | None:
        decision = understand(ModelRequest("", (UserText(text),), (), device_context=device_context)).decision
        return decision if isinstance(decision, Act) else None

    for sentence in (*(sentence for sentence, _ in PROGRAMS), *(one[0] for one in AT_ONCE), BLINK):
        first = act(sentence)
        if first is None or first.tool not in CHANGING:
            continue
        parse = english().parse(first.words)
        assert parse is not None, first.words
        assert not parse.loose, first.words
        second = act(first.words)
        assert second is not None, first.words
        assert (second.tool, second.arguments) == (first.tool, first.arguments), first.words


@pytest.mark.parametrize(
    ("sentence", "question"),
    [
        ("trun on pin 21", "Turn on pin 21 on virtual-1?"),
        ("trun on the led", "Turn on the LED on virtual-1?"),
        ("blnik pin 2 evrey half secnod", "Blink pin 2 every 500 ms on virtual-1?"),
        ("pls print the tempreature every 5 secs", "Read the temperature every 5 s on virtual-1?"),
    ],
)
async def test_an_order_with_slips_of_the_keyboard_asks_first(ask: Ask, sentence: str, question: str) -> None:
    reply, before = await _asked(ask, sentence)
    assert (reply.text, reply.calls) == (question, ())
    assert (await ask("yes", before=before)).calls


async def test_a_question_with_slips_of_the_keyboard_is_answered_at_once(ask: Ask) -> None:
    assert [call.name for call in (await ask("waht is the tempreature")).calls] == ["i2c-read"]


@pytest.mark.parametrize("answer", ["yes", "no", "yep", "nope", "ok", "go ahead", "don't", "leave it"])
async def test_a_yes_or_no_to_nothing_is_told_so(ask: Ask, answer: str) -> None:
    reply = await ask(answer)
    assert (reply.calls, reply.next_step) == ((), None)


async def test_a_question_that_is_too_old_takes_no_yes_but_says_its_sentence(ask: Ask) -> None:
    reply, (said, _) = await _asked(ask, LOOSE)
    old = AssistantReply(reply.text, question=reply.question, question_expired=True)
    late = await ask("yes", before=(said, old))
    assert late.calls == ()


@pytest.mark.parametrize("sentence", [LOOSE, BLINK, "trun on pin 21"])
async def test_the_question_itself_is_a_sentence_that_confirms_it_anywhere(ask: Ask, sentence: str) -> None:
    """A terminal sends it instead of a yes, so that it cannot confirm another question of the same chat."""
    reply, before = await _asked(ask, sentence)
    confirmed = await ask("yes", before=before)
    elsewhere, other = await _asked(ask, "could the relay thingy on pin 11 be switched on for me")
    assert elsewhere.failed_code == "confirm_reading"
    again = await ask(reply.text.removesuffix("?"), before=other)
    same = {key: value for key, value in json.loads(again.calls[0].arguments).items() if key != "device"}
    assert (again.calls[0].name, same) == (confirmed.calls[0].name, json.loads(confirmed.calls[0].arguments))


async def test_a_yes_that_names_what_it_is_for_confirms_only_that(ask: Ask) -> None:
    said = "delete all programs"
    listed = answered(await ask(said), apps=[{"name": "blink", "state": "running", "pins": [2]}])
    reply = await ask(said, *listed)
    assert reply.failed_code == "confirm"
    before = (UserText(said), *listed, kept(reply))
    assert [call.name for call in (await ask(str(reply.next_step), before=before)).calls] == ["query-wasm-apps"]
    _, other = await _asked(ask, LOOSE)
    elsewhere = await ask(str(reply.next_step), before=other)
    assert [call.name for call in elsewhere.calls if call.name in CHANGING] == []


def test_a_question_that_an_older_version_wrote_is_none() -> None:
    question = Question("pin", Parse("set_pin", {"level": 1}, loose=True), "light it", "desk")
    state = DialogueState(
        question, LastAct(Parse("blink", {"pin": 4}), "blink pin 4", "desk", changes=(7,), app="blink")
    )
    assert state_after(AssistantReply("Which pin?", question=state.to_json())) == state
    for old in ('{"question":{"slot":"colour"}}', '{"slot":"pin","said":"x"}', "yes"):
        assert state_after(AssistantReply("Which pin?", question=old)) == DialogueState()


UNCLEAR = "turn on pin 14 for 0.4 ms"


async def test_a_suggestion_is_chosen_by_its_number_and_by_nothing_vaguer(ask: Ask) -> None:
    asked, before = await _asked(ask, UNCLEAR)
    assert "Did you mean: 1: turn on pin 14; 2: " in asked.text
    chosen = await ask("1", before=before)
    assert [(call.name, json.loads(call.arguments)) for call in chosen.calls] == [("gpio-set", {"pin": 14, "level": 1})]
    vague = await ask("yes", before=before)
    assert (vague.calls, vague.failed_code) == ((), "ambiguous")
    later = await ask("1", before=(*before, UserText("yes"), kept(vague)))
    assert [call.arguments for call in later.calls] == [call.arguments for call in chosen.calls]
    for other in ("9", "no", "0"):
        assert (await ask(other, before=before)).calls == ()
    expired = AssistantReply(asked.text, question=asked.question, question_expired=True)
    assert (await ask("1", before=(UserText(UNCLEAR), expired))).calls == ()
