"""Times of day as people say them: a time is one time, and what may be two of them is asked."""

from __future__ import annotations

import pytest
from tests.agent.offline.test_wishes import world
from tests.agent.offline.turns import Chat, converse


@pytest.mark.parametrize(
    ("chat", "when"),
    [
        ("turn pin 4 on at ten to seven in the evening", {"clock": "18:50"}),
        ("turn pin 4 on at ten to 7 pm", {"clock": "18:50"}),
        ("turn pin 4 on at five past eight in the morning", {"clock": "08:05"}),
        ("turn pin 4 off at five minutes to midnight", {"clock": "23:55"}),
        ("turn pin 4 on at quarter of nine in the evening", {"clock": "20:45"}),
        ("turn pin 4 off at quarter to twelve at night", {"clock": "23:45"}),
        ("turn pin 4 on every evening at twenty-five past six", {"clock": "18:25", "repeat": "daily"}),
        ("switch pin 4 on at ten to seven | 18:50", {"clock": "18:50"}),
        ("switch pin 4 on at ten to seven | in the evening", {"clock": "18:50"}),
        ("switch pin 4 on at half past two | at night", {"clock": "02:30"}),
        ("switch pin 4 on at 7 | the morning", {"clock": "07:00"}),
        ("turn pin 4 on in the mornings at 8", {"clock": "08:00", "repeat": "daily"}),
        ("turn pin 4 on at 8 in the evenings", {"clock": "20:00", "repeat": "daily"}),
        ("turn pin 4 on at 7 on workdays", {"clock": "07:00", "repeat": "weekdays"}),
        ("on working days at 7 turn pin 4 on", {"clock": "07:00", "repeat": "weekdays"}),
        ("turn pin 4 off at midday", {"clock": "12:00"}),
    ],
)
async def test_a_spoken_time_is_one_time(chat: str, when: dict[str, str]) -> None:
    turn = await converse(world("wasm"), chat)
    assert [arguments["when"] for _, arguments in turn.acts] == [when]


@pytest.mark.parametrize(
    ("said", "question"),
    [
        ("switch pin 4 on at ten to seven", "Is that 06:50 or 18:50?"),
        ("switch pin 4 on every workday at half past seven", "Is that 07:30 or 19:30?"),
        ("switch pin 4 on from ten to seven", "10:00"),
        ("switch pin 4 on first thing in the morning", "At what time?"),
        ("last thing at night turn pin 4 off", "At what time?"),
        ("set the heater on pin 4 at 10 to 12 degrees", "did nothing"),
    ],
)
async def test_a_time_that_is_not_clear_is_asked(said: str, question: str) -> None:
    turn = await Chat(world("wasm")).say(said)
    assert not turn.acts
    assert question in turn.reply.text


@pytest.mark.parametrize(
    ("said", "words"),
    [
        (
            "when the button on pin 5 is pressed, turn pin 4 on after 10 s",
            "when the button on pin 5 is pressed wait 10 s then turn on pin 4",
        ),
        (
            "turn pin 4 on after 10 s when the button on pin 5 is pressed",
            "when the button on pin 5 is pressed wait 10 s then turn on pin 4",
        ),
        (
            "if it gets warmer than 30 switch the fan on pin 7 on after 2 minutes",
            "when the temperature is above 30 degrees wait 2 min then turn on pin 7",
        ),
        (
            "when the door on pin 5 opens, beep the buzzer on pin 6 after 30 seconds",
            "when the door contact on pin 5 opens wait 30 s then beep pin 6",
        ),
    ],
)
async def test_a_time_after_an_act_is_a_wait_before_it(said: str, words: str) -> None:
    turn = await Chat(world("wasm")).say(said)
    assert turn.reply.text == f"I read this as: {words}. Shall I do it?"


@pytest.mark.parametrize("more", ["and off after 20 s", ", then wait 10 s"])
async def test_what_two_waits_count_from_is_not_guessed(more: str) -> None:
    turn = await Chat(world("wasm")).say(f"when the button on pin 5 is pressed turn pin 4 on after 5 s {more}")
    assert not turn.acts
    assert turn.reply.failed_code != "confirm_reading"
