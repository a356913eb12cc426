"""Sentences that leave a value open get one question after the other, and the answers complete them."""

from __future__ import annotations

from typing import Any

import pytest
from tests.agent.offline.turns import CHANGING, WORLDS, Chat, converse

SCHEDULED = "schedule-add"


async def _said(*sentences: str) -> tuple[list[str], list[tuple[str, Any]]]:
    """Return the questions, and what the last sentence did."""
    chat = Chat(WORLDS["one board"])
    questions = list[str]()
    acts = list[tuple[str, Any]]()
    for sentence in sentences:
        turn = await chat.say(sentence)
        acts = [(tool, arguments) for tool, arguments in turn.calls if tool in CHANGING]
        if not acts:
            questions.append(turn.reply.text)
    return questions, acts


@pytest.mark.parametrize(
    ("answer", "clock"),
    [("9 pm", "21:00"), ("21:00", "21:00"), ("at 9", "21:00"), ("in the evening at 9", "21:00"), ("9", "21:00")],
)
async def test_a_time_answers_at_what_time(answer: str, clock: str) -> None:
    questions, acts = await _said("turn on pin 7 every evening", answer)
    assert questions == ["At what time?"]
    assert [(tool, arguments["when"]["clock"]) for tool, arguments in acts] == [(SCHEDULED, clock)]


@pytest.mark.parametrize(("answer", "clock"), [("9 pm", "21:00"), ("09:00", "09:00")])
async def test_an_hour_of_two_halves_of_the_day_is_asked(answer: str, clock: str) -> None:
    questions, acts = await _said("switch off pin 7 at 9", answer)
    assert questions == ["Is that 09:00 or 21:00?"]
    assert acts[0][1]["when"] == {"clock": clock}


@pytest.mark.parametrize("answer", ["9 am tomorrow", "every day", "in 5 minutes", "soon", "9 am"])
async def test_what_is_no_such_time_schedules_nothing(answer: str) -> None:
    _, acts = await _said("turn on pin 7 every evening", answer)
    assert acts == []


@pytest.mark.parametrize(
    ("sentences", "questions", "words"),
    [
        (("open the valve on pin 7 for a bit", "90 seconds"), ["For how long?"], "falls at 90000 ms"),
        (("turn on pin 7 if the room gets too hot", "31"), ["Above how many degrees?"], "31"),
        (("alert me when the humidity is too low", "below 35%"), ["Below how many percent?"], "35"),
        (("turn on pin 7 when the door opens", "pin 15"), ["Which pin is the door on?"], "15"),
        (
            ("turn on the fan if the window opens", "7", "15"),
            ["Which pin is the fan on?", "Which pin is the window on?"],
            "15",
        ),
        (("turn on pin 7 from 17:30", "22:00"), ["Until when?"], "22:00"),
        (("turn pin 7 on at half past", "19"), ["At half past which hour?"], "19:30"),
        (
            ("turn pin 7 off at quarter to", "8", "19:45"),
            ["At quarter to which hour?", "Is that 07:45 or 19:45?"],
            "19:45",
        ),
        (
            ("water the roses every evening", "pin 7", "30 s", "8:15 pm"),
            ["Which pin is the pump on?", "For how long?", "At what time?"],
            "20:15",
        ),
        (("water the lawn at 6:15 with the pump on pin 7", "3 minutes"), ["For how long?"], "3 min"),
    ],
)
async def test_each_open_value_is_asked_and_the_answer_completes_the_sentence(
    sentences: tuple[str, ...], questions: list[str], words: str
) -> None:
    asked, acts = await _said(*sentences)
    assert asked == questions
    assert words in str(acts)


@pytest.mark.parametrize(
    "sentences",
    [
        ("is it too hot in here",),
        ("do not turn on pin 7 when it is too hot", "31"),
        ("turn on pin 7 when it is too hot", "below 20"),
        ("turn on pin 7 when it is too hot", "31%"),
        ("turn on pin 7 when the door opens", "pin 7"),
        ("open the valve on pin 7 for a bit", "0 seconds"),
        ("open the valve on pin 7 for a bit", "until I say so"),
        ("water the plants every morning unless it rains", "pin 7"),
        ("water the pump on pin 7", "5 s"),
        ("count the presses of the button on pin 0 and send me a letter every week", "8 pm"),
    ],
)
async def test_what_is_no_open_value_or_no_answer_does_nothing(sentences: tuple[str, ...]) -> None:
    _, acts = await _said(*sentences)
    assert acts == []


async def test_the_time_of_the_telling_is_not_that_of_the_counting() -> None:
    questions, acts = await _said("count the presses of the button on pin 0 and text me every night at 9", "yes")
    assert "tells nothing at a time" in questions[0]
    assert [tool for tool, _ in acts] == ["deploy-wasm-app"]


async def test_an_answer_that_does_not_fit_is_asked_again_with_what_is_expected() -> None:
    chat = Chat(WORLDS["one board"])
    texts = []
    for said in ("water my tomatoes every day at 7:00", "pin 13", "7 in the morning", "red"):
        texts.append((await chat.say(said)).reply.text)
    assert "is not a duration, so I did nothing. For how long?" in texts[2]
    assert "is not a duration, so I did nothing. For how long?" in texts[3]
    assert "turn on pin 13 for 20 s" in (await chat.say("20 seconds")).outcome


async def test_a_guess_lacks_no_number_condition_or_off_of_the_sentence() -> None:
    for said in ("read tempature unless 25 people are in", "could the led go blinky 3 of 7 times if dark"):
        assert "Did you mean" not in (await Chat(WORLDS["one board"]).say(said)).reply.text


@pytest.mark.parametrize(
    ("chat", "outcome"),
    [
        (
            "if anybody is at the gate sound the gong | 16 | the gong is on pin 7 | 3 seconds",
            "turn on pin 7 for 3 s when",
        ),
        ("start the cooler when it gets too hot | 31 | the cooler is on pin 5", "turn on pin 5 when the temperature"),
        ("water the hedge every day, 12's the valve | 2 minutes | 7:00", "do=turn on pin 12 for 2 min"),
        ("let the ducks out at dawn | 6 | 90", "do=move the servo on pin 6 to 90 degrees"),
        ("connect the reed contact to the horn | 7 | 15", "turn on pin 7 while the door contact on pin 15 is open"),
        ("water my ferns regularly | 4 | 20 seconds | every 2 hours", "turn on pin 4 for 20 s every 2 h"),
        ("make the lamp a bit darker | pin 9 | 20", "pwm-set pin=9 duty=51"),
        ("turn on the pump | the pump is on pin 12", "gpio-set pin=12 level=1"),
    ],
)
async def test_the_answers_complete_a_wish_of_which_parts_were_missing(chat: str, outcome: str) -> None:
    turn = await converse(WORLDS["one board"], chat)
    assert outcome in turn.outcome
