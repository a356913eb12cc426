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
