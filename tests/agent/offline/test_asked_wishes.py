"""Wishes of which a part is missing get one question, and those that no board can do one reason and the nearest way."""

from __future__ import annotations

import pytest
from tests.agent.offline.turns import CHANGING, WORLDS, Chat


@pytest.mark.parametrize(
    ("wish", "question"),
    [
        ("turn on the lamp in the shed", "Which pin?"),
        ("turn on the pump in the greenhouse", "Which pin?"),
        ("water my flowers and plants every evening", "plant watering"),
        ("make the room warmer", "How many degrees"),
        ("keep us cool", "which pin is the heater or the fan on?"),
        ("switch it on when it gets dark", "day night light"),
        ("turn pin 6 down a bit", "How bright?"),
        ("make pin 6 brighter", "How bright?"),
        ("set off an alarm", "motion alarm"),
        ("blink faster than before", "say the whole sentence"),
        ("turn pin 7 up", "How bright?"),
    ],
)
async def test_what_is_missing_is_asked_for(wish: str, question: str) -> None:
    turn = await Chat(WORLDS["one board"]).say(wish)
    assert turn.calls == []
    assert turn.reply.failed_code in {"ambiguous", "not_understood"}
    assert question in f"{turn.reply.text} {turn.reply.next_step}"


@pytest.mark.parametrize(
    ("wish", "reason", "nearest"),
    [
        ("turn on pin 77", "has no pin 77", "which pins are free"),
        ("turn on pin 20 when I press the key", "USB port", "18"),
        ("display the forecast for Sunday with the led", "weather", "what is the temperature"),
        ("switch on the dishwasher at my neighbour's", "wired to a pin", "turn on pin 4"),
        ("stream songs to pin 6", "no music", "tone on pin 5"),
        ("mail me whenever the door opens", "no mails", "install door sensor"),
        ("email me the motion of today", "no mails", "log the temperature"),
        ("make the breakfast for me", "switches pins and reads sensors", "turn on pin 4"),
        ("provide 24 volts on pin 7", "3.3 V", "relay"),
        ("switch pin 7 off and on simultaneously", "not both", "blink"),
        (
            "run the heater on pin 7 on below 24 degrees and off above 21",
            "Between 21 and 24",
            "turn on pin 7 when the temperature is below 21",
        ),
        ("measure the distance on pin 34", "PSRAM", "38"),
        ("measure the distance on pin 70", "no GPIO 70", "48"),
    ],
)
async def test_what_cannot_be_done_has_its_reason_and_the_nearest_way(wish: str, reason: str, nearest: str) -> None:
    turn = await Chat(WORLDS["one board"]).say(wish)
    assert turn.calls == []
    assert turn.reply.failed_code in {"ambiguous", "not_possible"}
    assert reason in turn.reply.text
    assert nearest in (turn.reply.next_step or "")


async def test_a_missing_pin_completes_the_sentence_that_named_a_place() -> None:
    chat = Chat(WORLDS["one board"])
    await chat.say("turn on the lamp in the shed")
    turn = await chat.say("pin 6")
    assert [tool for tool, _ in turn.calls if tool in CHANGING] == ["gpio-set"]
    assert turn.calls[0][1]["pin"] == 6
