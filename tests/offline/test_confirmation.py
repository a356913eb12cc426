"""What was learned asks: a loose reading that would change something waits for a yes, in a template's words."""

from __future__ import annotations

import json

import pytest
from tests.offline.conftest import Ask, kept
from tests.offline.score import CHANGING
from tests.offline.test_offline_sentences import AT_ONCE, PROGRAMS
from tests.offline.test_offline_turns import answered

from microclaw.models.protocol import DeviceContext, Message, ModelReply, ModelRequest, UserText
from microclaw.offline.decision import Act, Say
from microclaw.offline.dialogue import one_call, understand
from microclaw.offline.parse import Parse, Question
from microclaw.offline.sentences import english

LOOSE = "could the relay thingy on pin 10 be switched on for me"
BLINK = "I would love a steady half second flash going on pin 4"


async def _asked(ask: Ask, sentence: str) -> tuple[ModelReply, tuple[Message, ...]]:
    reply = await ask(sentence)
    return reply, (UserText(sentence), kept(reply))


async def test_a_loose_order_says_what_it_read_and_waits(ask: Ask) -> None:
    reply, _ = await _asked(ask, LOOSE)
    assert (reply.text, reply.calls) == ("Turn on pin 10 on virtual-1?", ())
    assert reply.failed_code == "confirm_reading"
    assert reply.next_step == "yes, or say: turn on pin 10"


@pytest.mark.parametrize("yes", ["yes", "Yes!", "y", "ok", "sure", "yes please", "Yes, please."])
async def test_a_yes_carries_out_what_was_read(ask: Ask, yes: str) -> None:
    _, before = await _asked(ask, LOOSE)
    reply = await ask(yes, before=before)
    assert [(call.name, json.loads(call.arguments)) for call in reply.calls] == [("gpio-set", {"pin": 10, "level": 1})]
    assert not reply.literal


@pytest.mark.parametrize("no", ["no", "n", "No.", "cancel"])
async def test_a_no_does_nothing_and_the_question_is_over(ask: Ask, no: str) -> None:
    _, before = await _asked(ask, LOOSE)
    reply = await ask(no, before=before)
    assert (reply.text, reply.calls, reply.question, reply.failed_code) == ("Then nothing was done.", (), None, None)
    assert not (await ask("yes", before=(*before, UserText(no), kept(reply)))).calls


async def test_anything_else_is_a_new_sentence(ask: Ask) -> None:
    _, before = await _asked(ask, LOOSE)
    reply = await ask("turn on pin 5", before=before)
    assert json.loads(reply.calls[0].arguments) == {"pin": 5, "level": 1}


async def test_a_loose_question_is_answered_at_once(ask: Ask) -> None:
    reply = await ask("I wonder how damp the air might be at the moment")
    assert [call.name for call in reply.calls] == ["i2c-read"]


async def test_a_loose_order_to_stop_looks_first_and_names_the_program(ask: Ask) -> None:
    said = "put an end to that flashing nonsense"
    reading = english().parse(said)
    assert reading is not None
    assert reading.loose
    listed = answered(await ask(said), apps=[{"name": "blink", "state": "running", "pins": [2]}])
    reply = await ask(said, *listed)
    assert (reply.text, reply.calls) == ("Stop blink on virtual-1?", ())
    before = (UserText(said), *listed, kept(reply))
    again = answered(await ask("yes", before=before), apps=[{"name": "blink", "state": "running", "pins": [2]}])
    last = await ask("yes", *again, before=before)
    assert [(call.name, json.loads(call.arguments)) for call in last.calls] == [
        ("uninstall-wasm-app", {"appName": "blink"})
    ]


async def test_a_pin_that_was_asked_for_makes_a_loose_order_no_surer(ask: Ask) -> None:
    said = "might you get the compressor going"
    question, before = await _asked(ask, said)
    assert "Which pin?" in question.text
    reply = await ask("pin 4", before=before)
    assert (reply.text, reply.calls) == ("Turn on pin 4 on virtual-1?", ())
    last = await ask("yes", before=(*before, UserText("pin 4"), kept(reply)))
    assert json.loads(last.calls[0].arguments) == {"pin": 4, "level": 1}


async def test_the_device_that_was_named_is_meant_after_the_yes(ask: Ask, two_boards: DeviceContext) -> None:
    first = await ask(f"{LOOSE} on desk", scene=two_boards)
    assert first.text == "Turn on pin 10 on desk?"
    reply = await ask("yes", scene=two_boards, before=(UserText(f"{LOOSE} on desk"), kept(first)))
    assert json.loads(reply.calls[0].arguments) == {"pin": 10, "level": 1, "device": "desk"}


def test_loose_words_are_no_schedule_but_say_what_they_would_be(scene: DeviceContext) -> None:
    decided = one_call(LOOSE, scene)
    assert isinstance(decided, Say)
    assert decided.next_step == "yes, or say: turn on pin 10"


@pytest.mark.parametrize("sentence", [*(sentence for sentence, _ in PROGRAMS), *(one[0] for one in AT_ONCE), BLINK])
def test_the_words_of_a_reading_are_a_template_of_the_same_act(scene: DeviceContext, sentence: str) -> None:
    def act(text: str) -> Act | None:
        decision = understand(ModelRequest("", (UserText(text),), (), scene=scene)).decision
        return decision if isinstance(decision, Act) else None

    first = act(sentence)
    if first is None or first.tool not in CHANGING:
        return
    parse = english().parse(first.words)
    assert parse is not None, first.words
    assert not parse.loose
    second = act(first.words)
    assert second is not None
    assert (second.tool, second.arguments) == (first.tool, first.arguments), first.words


def test_a_question_that_an_older_version_wrote_is_none() -> None:
    question = Question("pin", Parse("set_pin", {"level": 1}, loose=True), "light it", "desk")
    assert Question.from_json(question.to_json()) == question
    assert Question.from_json('{"slot":"colour"}') is None
    assert Question.from_json("yes") is None
