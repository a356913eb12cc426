"""Wishes in people's own words (tests/vectors/own_words.txt): what each is read as, and what a yes to it does."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.agent.offline.test_wishes import BOARD, PATTERN, program, world
from tests.agent.offline.turns import CHANGING, Chat

from microclaw.agent.models.protocol import ModelRequest, UserText
from microclaw.agent.offline.model import OfflineModel
from microclaw.agent.wishes.questions import read_question
from microclaw.agent.wishes.reader import read_wish
from microclaw.agent.wishes.slips import mend_slips
from microclaw.events import ProgramKind
from microclaw.programs.building import cached_compiler
from microclaw.programs.builds.cache import BuildCache
from microclaw.programs.proof.expectation_text import parse_expectations
from microclaw.programs.proof.trial import TrialOptions, try_image

VECTORS = Path(__file__).parents[2] / "vectors" / "own_words.txt"
ONCE = " It names no day, so it is done once; for each day say: every day."
TRIED = 6
"""Of so many wishes one is built and tried; the programs of its sentence are those of wishes.txt."""


class OwnWords(NamedTuple):
    kind: str
    wish: str
    sentence: str
    told: str


def rows(kind: str) -> list[OwnWords]:
    found = []
    for line in VECTORS.read_text(encoding="utf-8").splitlines():
        if line and line[0] != "#":
            row = OwnWords(*(part.strip() for part in f"{line} ".split(" | ")))
            if row.kind == kind:
                found.append(row)
    return found


def name(row: OwnWords) -> str:
    return row.wish


@pytest.mark.parametrize("row", rows("read"), ids=name)
async def test_a_wish_is_asked_as_it_is_read_and_a_yes_does_that(row: OwnWords) -> None:
    chat = Chat(world("wasm"))
    asked = await chat.say(row.wish)
    left_out = f" Left out: {row.told}." if row.told else ""
    assert asked.reply.text.replace(ONCE, "") == f"I read this as: {row.sentence}.{left_out} Shall I do it?"
    assert asked.reply.failed_code == "confirm_reading"
    assert not CHANGING & {tool for tool, _ in asked.calls}
    confirmed = await chat.say("yes")
    plainly = await Chat(world("wasm")).say(row.sentence)
    assert confirmed.outcome == plainly.outcome
    assert confirmed.reply.failed_code not in ("not_understood", "not_possible")


@pytest.mark.parametrize("row", rows("open"), ids=name)
async def test_words_that_could_change_the_meaning_are_asked_about(row: OwnWords) -> None:
    turn = await Chat(world("wasm")).say(row.wish)
    assert not turn.calls
    assert turn.reply.text.startswith(f"I read: {row.sentence}. But I do not understand {row.told}, so I did nothing.")
    assert turn.reply.failed_code == "ambiguous"


@pytest.mark.parametrize("kind", ["wasm", "py"])
@pytest.mark.parametrize("row", rows("read")[::TRIED], ids=name)
async def test_the_program_of_a_wish_meets_its_expectation(row: OwnWords, kind: ProgramKind, build_cache: Path) -> None:
    chat = Chat(world(kind))
    await chat.say(row.wish)
    made = program(await chat.say("yes"))
    if made is None or PATTERN in made["expect"]:
        return
    compile_source = cached_compiler(BuildCache(build_cache))
    image = await compile_source(made["sourceCode"], BOARD, "wish", "O3", None, (kind,), ())
    trial = await try_image(image, BOARD, TrialOptions(expectations=parse_expectations(made["expect"])))
    assert trial.ok, trial.error


@pytest.mark.parametrize(
    "wish",
    [
        "could you please leave the lamp on pin 5 off, never turn it on",
        "don't turn on the pump on pin 9 for 5 seconds when the button on pin 4 is pressed",
        "why is the lamp over the desk on pin 5 on, please?",
        "turn on the lamp on pin 5 unless I say otherwise",
        "For what reason did the pump on pin 7 stop?",
        "turn on pin 5 or maybe pin 6, whichever you like",
        "when the door on pin 4 opens do the usual thing with pin 5",
        "the lamp on pin 5 is the button on pin 5",
        "turn on the heater on pin 5 when it is above 28 degrees humidity",
        "blink pin 5 except on sundays",
        "turn on the lamp on pin 5 at 7 but only if the door on pin 6 is open",
        "If nobody presses the button on pin 4 for 5 minutes turn off the lamp on pin 5",
        "When nobody walks past the motion sensor on pin 16 turn off the lamp on pin 5",
        "Turn off all outputs apart from the lamp on pin 5 when the button on pin 4 is pressed",
        "turn on the heater on pin 5 below 18 degrees while the humidity is under 60 percent, and off above 21",
        "turn on pin 5 when the temperature of the water is above 5 degrees",
        "Turn on the lamp on pin 5 because it is dark when the button on pin 4 is pressed",
        "press the button on pin 4 to turn on pin 5 (debounced, twice, only at night)",
        "turn on pin 5 at 7 and at most every 5 minutes",
        "Refuse to turn on the pump on pin 9",
        "Forbid the pump on pin 9 to run when the float on pin 3 is low",
        "You needn't turn on the lamp on pin 5",
        "When the PIR on pin 4 stops seeing movement, turn off the lamp on pin 5",
        "The old manual said turn off pin 9 first, but please let the lamp on pin 5 blink",
        "I turn on the lamp on pin 5 by hand. When the door on pin 4 opens, beep pin 6",
        "turn on the heater on pin 5 when it is above 77 F",
        "beep pin 5 with every other press of the button on pin 4",
        "While I hold the button on pin 17 the crane on pin 6 turns, if I let go it stops, but after 20 s it stops too",
        "The lamp on pin 4 should not be dark at 8 in the evening",
        "heater on pin 11 on under 8 degrees, off at 6",
        "when it is below 8 degrees turn the heater on pin 11 on and turn the fan on pin 5 off at 21",
        "light the led while the gauge on pin 16 is low, otherwise blink it",
        "beep pin 12 when the float on pin 18 is not closed",
        "Run the motor on pin 10 for 3 seconds, not longer than the button on pin 4 is held",
        "The lamp on pin 5 must never be lit between 11 pm and 6 am",
        "Neither the lamp on pin 5 nor the pump on pin 6 should be running",
        "Blink the LED when either of the doors on pins 14 and 16 is open, but not both",
        "Water with the pump on pin 7 at 6 am and at 6 pm, except when the humidity is over 85 percent",
        "Turn on the lamp on pin 5 every evening at 8 except on Sundays",
        "run the fan on pin 6 until it is below 25 degrees",
        "run the fan on pin 6 until it is below 25 degrees, but at least 20 minutes",
        "blink the lamp on pin 5 until it is below 25 degrees, but no longer than 20 minutes",
        "Every day at 7 run the heater on pin 11 until it is above 20 degrees, but for 1 hour at most",
        "beep pin 12 3 times when the door on pin 4 opens, but not again until I press the button on pin 3",
        "turn on pin 7 for 10 s when the door on pin 4 opens and leave it on until I press the button on pin 3",
        "Lamp on pin 5 above the door on pin 4",
        "the lamp on pin 5 should still be lit when the door on pin 4 opens",
        "the pump on pin 5 should be powered down at 9",
        "the lamp on pin 5 should play dead when the button on pin 4 is pressed",
        "the motor on pin 5 should turn back when the button on pin 4 is pressed",
        "the lamp on pin 5 should show red when the button on pin 4 is pressed",
        "when it is below 18 degrees turn on the heater on pin 5 and off at 22",
        "when it is above 25 degrees the fan on pin 5 should be on and off by 20",
        "the pump on pin 5 should run for 10 s, then dark for 50 s",
        "the lamp on pin 5 should be lit halfway between 8 and 10",
        "when it is above 28 degrees turn pin 5 on for 10 min, at most 3 times a day",
        "when it is above 28 degrees turn pin 5 on until pin 4 is pressed, at most 3 times a day",
        "turn pin 5 on when pin 4 opens and off when it closes, at most 3 times a day",
        "when pin 4 opens turn on pin 5 for 9 s at most 8 times a day and when pin 6 opens pin 7 at most 8 times a day",
        "a short press on pin 4 toggles pin 5, a long press on pin 4 turns pin 6 on",
        "a short press on pin 4 toggles pin 5, a long press turns pin 6 on",
        "turn pin 5 on until pin 4 closes, longer than 5 minutes",
        "turn pin 5 on until pin 4 closes, and then for 5 minutes",
        "only run the pump on pin 5 when pin 4 is open and the heater on pin 6 when pin 7 is open",
        "when somebody passes the door on pin 4 turn pin 5 on",
        "10 seconds after the train crosses the contact on pin 4 turn pin 5 on for 5 s",
        "fan on pin 5 runs at 28 degrees for 10 minutes",
        "red lamp on pin 5 off when pin 4 opens, green lamp on pin 6 when it closes",
        "would the fan on pin 5 kick in at 27 degrees",
        "is the light on the desk broken",
        "is the light on longer than 10 minutes",
        "turn on BOOT",
        "at BOOT turn on pin 5",
        "BOOT the board",
    ],
)
async def test_what_may_mean_something_else_is_never_read_as_an_act(wish: str) -> None:
    turn = await Chat(world("wasm")).say(wish)
    assert not turn.acts
    assert not turn.reply.text.startswith("I read this as")


@pytest.mark.parametrize(
    ("wish", "question"),
    [
        ("please let pin 12 beep when the back door opens", "Which pin is the door on?"),
        ("Turn the fan on when it gets too damp for the tomatoes, you know.", "Above how many percent?"),
        ("Open the valve every morning at 7:30, please.", "Which pin is the valve on?"),
        ("turn the extractor on", "Which pin is the extractor on?"),
        ("light on pin 5 below 30 lux", 'I do not understand "below 30 lux"'),
        ("when exactly one of pin 4 and pin 6 is pressed turn pin 5 on", 'I do not understand "when exactly"'),
        ("the light on pin 5 should only come on when pin 4 opens", "should only come"),
        ("make the light come on when I press the button", "Which pin is the button on?"),
        ("did the pump actually come on this morning or not?", "Which pin is the pump on?"),
        ("lamp on when the shed door opens", "Which pin is the door on?"),
        ("turn the fan on when the print is done", 'turn on the fan. But I do not understand "when the print is done"'),
        (
            "night light on pin 4 on at 7:30 pm and off at 6:30 am please",
            "It names no day, so it is done once; for each day say: every day.",
        ),
    ],
)
async def test_what_is_missing_is_asked_for(wish: str, question: str) -> None:
    turn = await Chat(world("wasm")).say(wish)
    assert question in turn.reply.text


WORDS = st.sampled_from(
    [
        *("the", "my", "lamp on pin 5", "button on pin 4", "fan", "door", "blink", "turn", "off", "open", "press"),
        *("when", "if", "while", "unless", "until", "and", "then", "or", "is", "opens", "pressed", "not", "please"),
        *("for 5 seconds", "every", "3 times", "above 28 degrees", "at 7:30", "on mondays", ",", ".", "(", ")"),
    ]
)


@given(st.lists(WORDS, max_size=40).map(" ".join))
def test_any_words_are_read_in_bounded_time(text: str) -> None:
    read_wish(text, lambda _: True)


@pytest.mark.parametrize(
    ("question", "plainly"),
    [
        ("Why on earth is the sprinkler on pin 16 running at this hour?", "why is pin 16 on"),
        ("who turned the telly off on pin 10??", "who switched pin 10 off"),
        ("how long will the tv plug on pin 10 stay on", "when does pin 10 go off"),
        ("when does lamp 4 go on nxt", "when does pin 4 run next"),
        ("Is the garden gate on pin 17 shut, or should I go and look?", "is the door contact on pin 17 open"),
        ("What duty cycle is GPIO 5 running at?", "read pin 5"),
        ("How cold did it get during the night?", "what was the lowest temperature today"),
        ("which pins can i use 4 a button", "which pins are free"),
        ("hi there, I'm totally new to this, what can you do for me?", "what can you do"),
        ("What sort of things could I ask you to do for my greenhouse?", "what can you do"),
        ("What's the temperature in the nursery, and is the air too dry?", "what is the temperature and the humidity"),
        ("y is led blinking", "why is the led on"),
        ("is pin 12 live at the moment?", "is pin 12 on"),
        ("When did the heater last run?", "what was done with the heater"),
    ],
)
async def test_a_question_is_answered_as_the_plain_one(question: str, plainly: str) -> None:
    assert read_question(question)[0] == plainly
    asked = await Chat(world("wasm")).say(question)
    plain = await Chat(world("wasm")).say(plainly)
    assert asked.reply.text == plain.reply.text
    assert not asked.acts


def test_a_language_model_answers_a_question_that_is_only_guessed() -> None:
    model = OfflineModel()
    for question, is_sure in (("why is pin 16 on", True), ("Why on earth is the sprinkler on pin 16 on?", False)):
        request = ModelRequest("", (UserText(question),), (), device_context=world("wasm").context)
        assert model.is_sure(request) is is_sure


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        (
            "the lamp shuold blink untill the buton is presed agian",
            "the lamp should blink until the button is pressed again",
        ),
        ("wenever the temprature is abvoe 20", "whenever the temperature is above 20"),
        ("either mother or the fifth newer shower", "either mother or the fifth newer shower"),
        ("heated buttons and the lighter", "heated buttons and the lighter"),
    ],
)
def test_only_slips_of_the_keyboard_are_mended(typed: str, meant: str) -> None:
    assert mend_slips(typed, frozenset()) == meant


async def test_a_day_makes_a_time_that_names_none_a_daily_one() -> None:
    chat = Chat(world("wasm"))
    await chat.say("feed the fish: pin 13 for half a second at 8 in the morning and again at 5 in the afternoon")
    asked = await chat.say("every day")
    assert "every day" in asked.reply.text
    assert (await chat.say("yes")).outcome.count("daily") == 2
