"""What is done by a command, or later in parts, is never guessed at."""

from __future__ import annotations

import pytest
from tests.offline.conftest import Ask


@pytest.mark.parametrize(
    ("said", "tool"),
    [
        ("turn off the alarm on pin 7", "gpio-set"),
        ("turn off pin 4", "gpio-set"),
        ("cancel schedule 1", "schedule-list"),
        ("delete schedule 2", "schedule-list"),
        ("list the tasks on the board", "query-wasm-apps"),
        ("stop everything on pin 12", "query-wasm-apps"),
    ],
)
async def test_pins_programs_and_schedules_are_still_understood(ask: Ask, said: str, tool: str) -> None:
    reply = await ask(said)
    assert [call.name for call in reply.calls] == [tool]


@pytest.mark.parametrize(
    "said",
    [
        "run this python: print(1+1)",
        "make ada a member",
        "who may do what here",
        "tell me when the temperature is over 25",
        "undo the last two changes",
        "turn pin 14 on at 7am and off at 9am",
        "blink pin 4 until 23:00",
        "every hour turn on pin 12 for 5 minutes",
    ],
)
async def test_what_is_no_sentence_of_a_board_is_not_guessed_at(ask: Ask, said: str) -> None:
    reply = await ask(said)
    assert reply.calls == ()
    assert reply.next_step
