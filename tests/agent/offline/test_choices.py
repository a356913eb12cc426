"""A question with a closed set of answers has a button for each of them, and each button answers it."""

from __future__ import annotations

import asyncio

import pytest
from tests.agent.offline.turns import Chat, Turn, World, one

from microclaw.agent.models.protocol import KnownApp

BOARD = one("virtual")
PROGRAMS = one("virtual", KnownApp("traffic-light", (4,)), KnownApp("traffic_light", (5,)))
NAMESAKE = one("virtual", KnownApp("desk", (4,)))
QUESTIONS: list[tuple[World, str, int]] = [
    (BOARD, "blink pin 4 3 times every second", 2),
    (BOARD, "turn on pin 4 at 7", 2),
    (BOARD, "turn off pin 4 when the temperature is above 28", 1),
    (PROGRAMS, "stop the traffic light", 2),
    (NAMESAKE, "restart desk", 2),
]


async def last_turn(world: World, sentences: list[str]) -> Turn:
    chat = Chat(world)
    turns = [await chat.say(sentence) for sentence in sentences]
    return turns[-1]


@pytest.mark.parametrize(("world", "sentence", "count"), QUESTIONS)
def test_each_button_of_a_question_answers_it(world: World, sentence: str, count: int) -> None:
    question = asyncio.run(last_turn(world, [sentence])).reply
    assert len(question.choices) == count, question
    for choice in question.choices:
        turn = asyncio.run(last_turn(world, [sentence, choice.say]))
        assert turn.reply.failed_code is None, (choice, turn.outcome)
        assert turn.calls


SCHEDULED = ["turn on pin 4 at 7 am every day", "turn on pin 5 at 8 am every day", "turn on pin 6 at 9 am every day"]


@pytest.mark.parametrize("answer", ["2", "number 2", "schedule 2", "cancel 2", "button"])
def test_which_schedule_is_cancelled_is_answered_by_its_number_or_its_button(answer: str) -> None:
    sentences = [*SCHEDULED, "cancel schedule 1", "cancel the schedule"]
    question = asyncio.run(last_turn(BOARD, sentences)).reply
    assert [choice.say for choice in question.choices] == ["cancel schedule 2", "cancel schedule 3"]
    said = question.choices[0].say if answer == "button" else answer
    turn = asyncio.run(last_turn(BOARD, [*sentences, said]))
    assert turn.outcome == "schedule-remove schedule=2"


@pytest.mark.parametrize("answer", ["pin 2", "7", "2 minutes", "yes", "not 2"])
def test_no_other_answer_cancels_a_schedule(answer: str) -> None:
    turn = asyncio.run(last_turn(BOARD, [*SCHEDULED, "cancel the schedule", answer]))
    assert "schedule-remove" not in turn.outcome
