"""A wish that is read in part is completed by the words of the next answer, and is done only after a yes."""

from __future__ import annotations

import pytest
from tests.agent.offline.test_wishes import world
from tests.agent.offline.turns import Chat

CRANE = "Run the crane on pin 6 for three."
DOOR = "When the door contact on pin 15 opens turn on pin 16 in the blink of 3 eyes."
TRAIN = "Close the crossing on pin 5 when the train comes."


@pytest.mark.parametrize(
    ("wish", "answer", "sentence"),
    [
        (CRANE, "for three seconds", "turn on pin 6 for three seconds"),
        (CRANE, "3 s", "turn on pin 6 for 3 s"),
        (TRAIN, "when the contact on pin 14 closes", "turn off pin 5 when the contact on pin 14 closes"),
        (TRAIN, "the contact on pin 14 closes", "when the door contact on pin 14 closes turn off pin 5"),
        (DOOR, "for 3 s", "when the door contact on pin 15 opens turn on pin 16 for 3 s"),
        ("Switch the lamps on pin 4 on, if you would.", "for 10 seconds", "turn on pin 4 for 10 seconds"),
        ("Switch the lamps on pin 4 on, if you would.", "and pin 5", "turn on pin 4 and pin 5"),
    ],
)
async def test_an_answer_completes_it_and_a_yes_does_that(wish: str, answer: str, sentence: str) -> None:
    chat = Chat(world("wasm"))
    await chat.say(wish)
    asked = await chat.say(answer)
    assert asked.reply.text == f"I read this as: {sentence}. Shall I do it?"
    assert asked.acts == []
    done = await chat.say("yes")
    plainly = await Chat(world("wasm")).say(sentence)
    assert done.acts
    assert done.outcome == plainly.outcome


async def test_words_that_are_not_understood_may_be_left_out() -> None:
    chat = Chat(world("wasm"))
    asked = await chat.say(CRANE)
    assert [choice.say for choice in asked.reply.choices] == ["leave it out"]
    assert (await chat.say("as I told you")).reply.failed_code == "not_understood"
    asked = await chat.say("leave it out")
    assert asked.reply.text == "I read this as: turn on pin 6. Shall I do it?"
    assert asked.acts == []
    assert (await chat.say("yes")).outcome == "gpio-set pin=6 level=1"


@pytest.mark.parametrize(
    "answer",
    ["hello", "not for long", "maybe", "no", "yes", "3 degrees and more", "off", "at most 3 s", ""],
)
async def test_other_words_do_nothing_to_it(answer: str) -> None:
    chat = Chat(world("wasm"))
    await chat.say(CRANE)
    turn = await chat.say(answer)
    assert turn.acts == []
    assert turn.reply.failed_code != "confirm_reading"


@pytest.mark.parametrize(
    ("answer", "outcome"),
    [
        ("turn on pin 7", "gpio-set pin=7 level=1"),
        ("and pin 7 off", "confirm_reading: I read this as: turn off pin 7. Shall I do it?"),
        ("turn it off", "gpio-set pin=4 level=0 device=virtual-1"),
    ],
)
async def test_a_sentence_of_its_own_is_no_answer(answer: str, outcome: str) -> None:
    chat = Chat(world("wasm"))
    await chat.say("turn on pin 4")
    await chat.say(CRANE)
    assert (await chat.say(answer)).outcome == outcome


async def test_an_answer_that_comes_late_completes_nothing() -> None:
    chat = Chat(world("wasm"))
    await chat.say(CRANE)
    turn = await chat.say("for 3 s", late=True)
    assert turn.acts == []
    assert turn.reply.failed_code != "confirm_reading"
