"""Questions in everyday words: a thing is known by what the user said of it; what is not recorded is said to be so."""

from __future__ import annotations

from typing import Any

import pytest
from tests.agent.offline.turns import CHANGING, WORLDS, Chat, Turn

from microclaw.agent.offline.earlier_sentences import find_mentions, topic_words

_LOG: dict[str, Any] = {
    "lines": "1.00 s log: temperature 20.50\n2.00 s counter: count 4\n61.00 s log: temperature 23.00\n",
}


async def told(*sentences: str, **first: Any) -> Turn:
    """The answer to the last sentence of a chat."""
    chat = Chat(WORLDS["one board"], **first)
    turn = Turn()
    for sentence in sentences:
        turn = await chat.say(sentence)
    return turn


@pytest.mark.parametrize(
    ("earlier", "question", "pin"),
    [
        ("Run the exhaust fan on pin 10 above 34 degrees", "is the exhaust fan on?", 10),
        ("Water the basil at 7, the pump hangs on pin 7", "why is the basil pump off?", 7),
        ("the motion sensor is on pin 16 and the light on 17", "is the light on?", 17),
        ("Water the tomatoes every day, 39's the valve.", "why is the valve off?", 39),
        ("soil sensor on pin 1 and a small pump on pin 6", "why is the pump not running?", 6),
    ],
)
async def test_a_thing_is_on_the_pin_that_was_said_of_it(earlier: str, question: str, pin: int) -> None:
    turn = await told(earlier, question)
    assert ("gpio-get", {"pin": pin}) in turn.calls
    assert f"pin {pin} of virtual-1" in turn.reply.text
    assert earlier.split(",")[0] in turn.reply.text


async def test_the_newest_sentence_about_a_thing_counts_and_a_question_about_it_does_not() -> None:
    turn = await told(
        "fan on pin 10 above 30 degrees", "fan on pin 5 above 30 degrees", "is pin 4 the fan?", "is the fan on?"
    )
    assert ("gpio-get", {"pin": 5}) in turn.calls


async def test_a_schedule_of_a_thing_is_found_by_its_pin() -> None:
    turn = await told("every day at 8:50 turn on the school lamp on pin 41", "when will the school lamp go on next?")
    assert turn.reply.text.startswith("Next: Monday, 7:00: turn on pin 41 (schedule 1)")


async def test_what_was_said_about_a_topic_is_listed_with_its_schedules() -> None:
    turn = await told("every day at 8 turn on the coop lamp on pin 14", "what did I have you set up for the coop?")
    assert 'you said: "every day at 8 turn on the coop lamp on pin 14"' in turn.reply.text
    assert "scheduled: Monday, 7:00: turn on pin 14 (schedule 1)" in turn.reply.text


async def test_an_answer_with_the_pin_completes_the_question() -> None:
    turn = await told("why is the heat lamp off?", "the heat lamp is on pin 7")
    assert ("gpio-get", {"pin": 7}) in turn.calls
    assert not CHANGING & {tool for tool, _ in turn.calls}


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        ("what was the highest temperature?", "The highest temperature in the programs' log is 23 °C, of 2 readings"),
        ("whats the warmest it got today", "The highest temperature in the programs' log is 23 °C"),
        ("what's the coldest temperature it had?", "The lowest temperature in the programs' log is 20.5 °C"),
        ("has the temperature gone up or down?", "The temperature has gone up: from 20.5 to 23 °C"),
    ],
)
async def test_a_reading_of_the_past_comes_from_the_log(question: str, answer: str) -> None:
    turn = await told(question, **_LOG)
    assert answer in turn.reply.text


async def test_a_count_comes_from_the_log() -> None:
    turn = await told("how often has the cat come so far?", **_LOG)
    assert turn.reply.text.startswith("counter has counted 4")


def test_the_words_of_a_thing_are_found_in_the_singular_and_the_plural() -> None:
    assert topic_words("when will the fishes be fed the next time") == ("fishes",)
    mentions = find_mentions(("fishes",), ("turn on pin 4", "drop the fish food with the servo on pin 39"))
    assert [mention.pin for mention in mentions] == [39]


async def test_a_stopped_program_is_not_told_to_run() -> None:
    stopped = {"name": "fan", "state": "stopped", "pins": [10]}
    turn = await told("what happens if the temperature goes over 30?", apps=[stopped])
    assert "No program runs." in turn.reply.text, turn.outcome
