"""Ready programs in sentences: each is found by its own words, and installed by the sentence that is offered for it."""

from __future__ import annotations

import pytest
from tests.agent.offline.turns import WORLDS, Chat, converse

from microclaw.agent.offline.ready_programs import INSTALL, find_ready_programs, parse_installation, ready_programs
from microclaw.agent.offline.sentences import english
from microclaw.agent.offline.unknown_sentences import ADD_A_MODEL

BOTH_KINDS = WORLDS["parts by their names"]


@pytest.mark.parametrize("program", ready_programs(), ids=lambda program: program.entry.name)
def test_the_sentence_that_is_offered_installs_the_entry_on_its_pins(program) -> None:  # type: ignore[no-untyped-def]
    parse = parse_installation(program.example)
    assert parse is not None
    pins = {pin.name: pin.default for pin in program.pins}
    assert (parse.kind, parse.values) == (INSTALL, {"entry": program.entry.name, **pins})
    # No template reads it as another sentence.
    assert english().parse(program.example) is None


def test_each_entry_is_found_by_its_own_title_or_has_sentences_of_its_own() -> None:
    missed = [
        program.entry.name for program in ready_programs() if program not in find_ready_programs(program.entry.title)
    ]
    known = [name for name in missed if english().parse(name.replace("_", " ")) or name in english().examples]
    assert missed == known


@pytest.mark.parametrize(
    ("wish", "entry"),
    [
        ("my plant needs care", "plant_watering"),
        ("the soil is too dry", "plant_watering"),
        ("let me know when the door opens", "door_sensor"),
        ("a lamp for when it is dark", "day_night_light"),
        ("sound the alarm if the contact closes", "alarm_buzzer"),
        ("watch for motion", "motion_alarm"),
        ("measure the distance to the wall", "distance_alarm"),
        ("my tank shall always be full", "water_level"),
    ],
)
async def test_a_wish_that_is_not_understood_gets_the_entry_of_its_words(wish: str, entry: str) -> None:
    turn = await converse(BOTH_KINDS, wish)
    assert (turn.calls, turn.reply.failed_code) == ([], "not_understood")
    assert f"install {entry.replace('_', ' ')}" in turn.reply.text


@pytest.mark.parametrize(
    "said", ["is the door open", "why is it so dark", "did the plant get water", "was there motion"]
)
async def test_a_question_is_offered_no_act(said: str) -> None:
    assert (await converse(BOTH_KINDS, f"{said} | yes")).acts == []
    assert (await converse(BOTH_KINDS, f"{said} | 1")).acts == []


async def test_how_to_add_a_model_is_said_once_in_a_conversation() -> None:
    chat = Chat(BOTH_KINDS)
    steps = []
    for said in ("juggle three apples", "blink pin 13", "juggle three apples", "no", "sing a song", "count presses"):
        steps.append((await chat.say(said)).reply.next_step)
    assert [step == ADD_A_MODEL for step in steps] == [True, False, False, False, False, False]


async def test_an_entry_for_other_boards_is_named_with_the_reason_and_not_offered() -> None:
    turn = await converse(WORLDS["one board"], "water my flowers and plants every evening")
    assert "no analog input" in turn.reply.text
    assert (await converse(WORLDS["one board"], "water my flowers and plants every evening | yes")).calls == []


@pytest.mark.parametrize(
    ("wish", "offered", "missing"),
    [
        ("somebody has opened the door on pin 13 again", "install door sensor on pin 13", "on pin 4"),
        ("gently flicker the led on pin 15 at each press of a button", "", "install button counter"),
        ("the tank switch on pin 11 shall halt the pump on pin 12", "", "install water level"),
    ],
)
async def test_an_entry_is_offered_only_with_the_pins_that_were_said(wish: str, offered: str, missing: str) -> None:
    turn = await converse(WORLDS["one board"], wish)
    assert offered in turn.reply.text
    assert missing not in turn.reply.text


@pytest.mark.parametrize(
    ("wish", "entry", "left_out"),
    [
        ("sound the buzzer on pin 5 if the contact on pin 4 closes, but not at night", "alarm buzzer", ["but not at"]),
    ],
)
async def test_an_offer_names_what_it_does_not_do(wish: str, entry: str, left_out: list[str]) -> None:
    text = (await converse(BOTH_KINDS, wish)).reply.text
    assert f"The nearest ready program is {entry}" in text
    assert "for this" not in text
    assert [words for words in left_out if f'"{words}' not in text] == []


@pytest.mark.parametrize(
    "wish",
    [
        "porch light on pin 5 from sunset until 11 at night",
        "if the window contact on pin 4 is open and it's colder than 16 degrees, beep the buzzer on pin 5 every second",
        "play a little two-tone doorbell on the buzzer on pin 5 when the button gets pressed",
    ],
)
async def test_an_entry_that_leaves_out_most_of_a_wish_is_not_offered(wish: str) -> None:
    assert "install" not in (await converse(BOTH_KINDS, wish)).reply.text


async def test_a_time_that_the_entry_can_use_is_installed() -> None:
    turn = await converse(
        BOTH_KINDS, "every ten minutes tell temperature, humidity and air pressure of the bme280 | yes"
    )
    assert "EVERY_MS=600000" in turn.outcome
    offered = (await converse(BOTH_KINDS, "an alarm for 30 seconds if the PIR on pin 6 sees motion")).reply.text
    assert "30 s as HOLD_MS" in offered
