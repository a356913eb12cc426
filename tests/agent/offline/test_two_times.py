"""Sentences with two times become two schedules, with one undo; what is unclear is asked, and nothing is guessed."""

from __future__ import annotations

import pytest
from tests.agent.offline.turns import WORLDS, Chat

from microclaw.agent.offline.decision import Parse
from microclaw.agent.offline.timed_sentences import parse_two_times, sentence_of

BOARD = WORLDS["40 pins"]
ON_OFF = "07:00 turn on pin 4; 21:00 turn off pin 4"


async def _outcome(said: str) -> str:
    """Return the schedules of a sentence with their times and days, or the code of its answer."""
    turn = await Chat(BOARD).say(said)
    schedules = []
    for tool, arguments in turn.acts:
        when = arguments["when"]
        time = when.get("clock") or f"in {when['delay_ms'] // 60_000} min"
        days = " ".join(filter(None, [when.get("repeat"), when.get("date")]))
        assert tool == "schedule-add"
        schedules.append(" ".join(filter(None, [days, time, arguments["do"]])))
    return "; ".join(schedules) or str(turn.reply.failed_code)


@pytest.mark.parametrize(
    ("said", "outcome"),
    [
        ("turn pin 4 on at 7 in the morning and off at 9 in the evening", ON_OFF),
        ("turn pin 4 on at 7:00 and off at 21:00", ON_OFF),
        ("turn on pin 4 at 7 am and turn it off at 9 pm", ON_OFF),
        ("at 7 am turn on pin 4 and at 9 pm turn it off again", ON_OFF),
        ("switch pin 4 on at 7:00, then switch it back off at 21:00", ON_OFF),
        ("please turn on pin 4 from 7:00 until 21:00", ON_OFF),
        ("turn on pin 4 between 7 am and 9 pm", ON_OFF),
        ("turn on pin 4 every evening from 8 to 10", "daily 20:00 turn on pin 4; daily 22:00 turn off pin 4"),
        ("turn on pin 4 every night from 10 to 6", "daily 22:00 turn on pin 4; daily 06:00 turn off pin 4"),
        ("turn pin 4 on at 7:00 till 21:00", ON_OFF),
        ("turn pin 4 on at 07:00 and turn off pin 4 at 21:00", ON_OFF),
        ("at 7 am and 9 pm turn on pin 4", "07:00 turn on pin 4; 21:00 turn on pin 4"),
        (
            "every weekday at 8:10 and 16:40 run the pump on pin 4 for 25 seconds",
            "weekdays 08:10 turn on pin 4 for 25 s; weekdays 16:40 turn on pin 4 for 25 s",
        ),
        ("the lamp on pin 4 must be on between 7:00 and 21:00", ON_OFF),
        ("from 7:00 to 21:00 pin 4 should be on", ON_OFF),
        ("fan on pin 4 from 7:00 to 21:00", ON_OFF),
        ("the lamp on pin 4 should not be on from 7:00 to 21:00", "not_understood"),
        ("at 7:00 and 21:00 on pin 4", "not_understood"),
        ("turn on pin 4 from 22:00 to 6:00", "22:00 turn on pin 4; 06:00 turn off pin 4"),
        (
            "from 7 to 9 in the morning blink the led",
            "07:00 blink the LED every 500 ms; 09:00 stop blinking the led",
        ),
        ("blink pin 5 from 19:00 to 21:00", "19:00 blink pin 5 every 500 ms; 21:00 stop blinking pin 5"),
        (
            "every day from 8:00 to 18:00 turn on pin 5",
            "daily 08:00 turn on pin 5; daily 18:00 turn off pin 5",
        ),
        (
            "every weekday at 7:15 turn on the led and at weekends at 9",
            "weekdays 07:15 turn on the LED; weekends 09:00 turn on the LED",
        ),
        (
            "on weekdays at 6:30 turn on pin 5 and on weekends at 8:30",
            "weekdays 06:30 turn on pin 5; weekends 08:30 turn on pin 5",
        ),
        (
            "every day at 7 turn on pin 4 and at 9 pm turn it off",
            "daily 07:00 turn on pin 4; daily 21:00 turn off pin 4",
        ),
        (
            "turn on pin 4 at 7:00 and off at 21:00 every day",
            "daily 07:00 turn on pin 4; daily 21:00 turn off pin 4",
        ),
        ("turn on pin 5 in 10 minutes and off in 20 minutes", "in 10 min turn on pin 5; in 20 min turn off pin 5"),
        ("turn on pin 5 at 8:00 and turn off pin 4 at 9:00", "08:00 turn on pin 5; 09:00 turn off pin 4"),
        ("water pin 9 for 10 seconds every morning at 8", "daily 08:00 turn on pin 9 for 10 s"),
        (
            "every second day at 6 open the valve on pin 7 for 2 minutes",
            "2 days 06:00 turn on pin 7 for 2 min",
        ),
        (
            "every other day from 8:00 to 18:00 turn on pin 5",
            "2 days 08:00 turn on pin 5; 2 days 18:00 turn off pin 5",
        ),
        ("turn on pin 3 at sunset", "sunset turn on pin 3"),
        ("turn on pin 3 at sunset and off at 23:00", "sunset turn on pin 3; 23:00 turn off pin 3"),
        ("every day from sunset to 23:00 turn on pin 3", "daily sunset turn on pin 3; daily 23:00 turn off pin 3"),
        ("dim the led to 20 percent after 10 pm", "22:00 dim the LED to 20%"),
        # Its end is on the day after.
        (
            "every weekday turn on pin 4 from 22:00 to 6:00",
            "weekdays 22:00 turn on pin 4; "
            "tuesday and wednesday and thursday and friday and saturday 06:00 turn off pin 4",
        ),
        (
            "every sunday from 23:00 to 1:00 blink pin 5",
            "sunday 23:00 blink pin 5 every 500 ms; monday 01:00 stop blinking pin 5",
        ),
        # What may be two things is asked.
        ("turn pin 4 on at 7 and off at 9 pm", "ambiguous"),
        ("from 7 to 9 blink the led", "ambiguous"),
        ("every evening at 7 turn on pin 4 and at 9 turn it off", "ambiguous"),
        # The one would undo the other.
        ("turn on pin 4 at 7 and turn it off at 7", "refused"),
        ("turn on pin 4 at 7:00 and off at 7 am", "refused"),
        ("every day at 7 turn on pin 4 and on weekdays at 7 turn off pin 4", "refused"),
    ],
)
async def test_two_times_are_two_schedules_or_a_question(said: str, outcome: str) -> None:
    assert await _outcome(said) == outcome


async def test_a_window_says_when_it_begins_as_it_may_be_open_now() -> None:
    for said in ("from 7:00 to 21:00 turn on pin 4", "every day blink pin 5 from 7:00 to 21:00"):
        assert "It begins Monday, 7:00, not now." in (await Chat(BOARD).say(said)).reply.text
    both = await Chat(BOARD).say("at 7 am and 9 pm turn on pin 4")
    assert "not now" not in both.reply.text


@pytest.mark.parametrize(
    "said",
    [
        "turn on pin 4 at 25:00 and off at 26:00",
        "turn on pin 4 at 7:00 and not at 8:00",
        "turn on pin 4 at 7:00 and off at 21:00 unless it is Sunday",
        "turn on pin 4 at 7:00 and off at 21:00 except on sundays",
        "turn on pin 4 at 7:00 or off at 21:00",
        "do not turn on pin 4 at 7:00 and off at 21:00",
        "don't turn pin 4 on from 7:00 to 9:00",
        "turn on pin 4 at 7:00 and maybe off at 21:00",
        "every 31 February at 7:00 turn on pin 4 and at 9:00 turn it off",
        "turn on pin 4 at 7:00 and off at 21:00 if the door is open",
        "turn on pin 4 at 7:00 and order a pizza at 21:00",
        "every weekday turn on pin 4 at 22:00 and off at 6:00",
        "every weekday from sunset to 6:00 turn on pin 4",
        "dim pin 4 to 30% from 19:00 to 21:00",
        "turn on pin 4 in 20 minutes and off in 10 minutes",
        "turn on pin 4 in 10 minutes and off at 9 pm",
        "from 7:00 to 25:00 blink the led",
        "from 7 to 9 degrees blink the led",
        "turn on pin 4 from pin 7 to 9",
        "read the temperature from 7:00 to 9:00",
        "turn on pin 4 at 7:00 and on at 21:00 off",
        "we turned on pin 4 at 7:00 and off at 21:00",
        "did you turn on pin 4 at 7:00 and off at 21:00",
        "turn on pin 4 30 seconds after sunset",
        "turn on pin 4 30 minutes after 8:00",
        "every 0 days at 6:00 turn on pin 4",
        "every second monday at 8:00 turn on pin 4",
        "every second week turn on pin 4 at 8:00",
        "every weekday from sunset to 23:00 turn on pin 3",
        "turn on pin 4 at 7:00 and off",
        "turn on pin 4 and off at 21:00",
    ],
)
async def test_what_looks_alike_is_not_scheduled(said: str) -> None:
    turn = await Chat(BOARD).say(said)
    assert not turn.acts
    assert turn.reply.failed_code is not None


async def test_one_undo_takes_both_schedules_back() -> None:
    chat = Chat(BOARD)
    await chat.say("turn on pin 5 at 22:00")
    await chat.say("turn pin 4 on at 7:00 and off at 21:00")
    undo = await chat.say("undo")
    assert undo.outcome == "schedule-remove schedule=2; schedule-remove schedule=3"
    undo = await chat.say("undo")
    assert undo.outcome == "schedule-remove schedule=1"


async def test_an_hour_is_chosen_by_number() -> None:
    chat = Chat(BOARD)
    question = await chat.say("from 7 to 9 blink the led")
    assert "1: blink the led at 07:00 and stop blinking the led at 09:00" in question.reply.text
    turn = await chat.say("2")
    assert [arguments["when"]["clock"] for _, arguments in turn.acts] == ["19:00", "21:00"]


async def test_if_one_schedule_is_refused_none_stays() -> None:
    chat = Chat(BOARD, success=False, error="schedule_refused", message="it is in the past")
    turn = await chat.say("turn pin 4 on at 7:00 and off at 21:00")
    assert turn.reply.text == "It is in the past, so nothing was scheduled."
    assert len(turn.acts) == 1


@pytest.mark.parametrize(
    "said",
    [
        "turn pin 4 on at 7:00 and off at 21:00",
        "blink pin 5 from 19:00 to 21:00",
        "every weekday turn on pin 4 from 22:00 to 6:00",
    ],
)
def test_the_sentence_of_two_schedules_means_the_same(said: str) -> None:
    parse = parse_two_times(said)
    assert isinstance(parse, Parse)
    assert parse_two_times(sentence_of(parse.parts)) == parse
