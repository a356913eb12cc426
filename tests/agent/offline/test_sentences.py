"""Sentences and what comes of them, by the vectors: almost all are right, and none of them acts wrongly."""

from __future__ import annotations

import asyncio
import random
import re
from pathlib import Path

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from tests.agent.offline.turns import CHANGING, WORLDS, Chat, converse, one, vectors

from microclaw.agent.models.protocol import ModelRequest, UserText
from microclaw.agent.offline.decision import Act, Say
from microclaw.agent.offline.dialogue import one_call, understand
from microclaw.agent.offline.order_words import meaning_of
from microclaw.agent.offline.sentences import MAX_SENTENCE_CHARS, english
from microclaw.hardware.boards.reader import board_ids, load_board
from microclaw.hardware.parts.reader import parts, quantities

ONE_BOARD = WORLDS["one board"]
TURNS = list(vectors())
SAID = [turn.chat for turn in TURNS if turn.world == "one board" and "|" not in turn.chat]
"""Single sentences to one board."""
NEVER = Path(__file__).parents[2] / "vectors" / "sentences_never.txt"
EXPLAINED = {"ambiguous", "not_understood", "not_possible", "refused", "confirm", "confirm_reading"}
"""Codes whose answer says what to do next."""
LEAST_RIGHT = 0.85


@pytest.mark.parametrize("world", WORLDS)
async def test_each_chat_of_the_vectors_ends_as_stands_above_it(world: str) -> None:
    wrong: list[object] = []
    for vector in TURNS:
        if vector.world == world:
            turn = await converse(WORLDS[world], vector.chat)
            is_told = turn.reply.text and (turn.reply.next_step or turn.reply.failed_code not in EXPLAINED)
            is_so = turn.outcome == vector.outcome and (vector.is_right or not turn.acts)  # none acts wrongly
            if not (is_so and is_told):
                wrong += [(vector, turn.outcome, turn.reply)]
    assert wrong == []


@pytest.mark.parametrize(("part", "least"), [("shared", 1.0), ("tuned", LEAST_RIGHT), ("held out", LEAST_RIGHT)])
def test_almost_all_sentences_are_right(part: str, least: float) -> None:
    rows = [vector for vector in TURNS if vector.part == part]
    assert sum(vector.is_right for vector in rows) / len(rows) >= least


async def test_no_sentence_with_a_slip_of_the_keyboard_acts_wrongly() -> None:
    own = [vector for vector in TURNS if vector.part in ("tuned", "held out") and "|" not in vector.chat]
    for seed in range(10):
        chance = random.Random(seed)
        for vector in chance.sample(own, 20):
            said = _with_a_slip(vector.chat, chance)
            turn = await converse(WORLDS[vector.world], said)
            assert not turn.acts or turn.outcome == vector.outcome, (said, turn.outcome, vector.outcome)


def _with_a_slip(text: str, chance: random.Random) -> str:
    """One letter of one word dropped, doubled by another, replaced, or swapped with the next."""
    words = text.split(" ")
    places = [i for i, word in enumerate(words) if re.fullmatch("[a-z]{3,}", word)]
    if not places:
        return text
    place = chance.choice(places)
    word = words[place]
    letter = chance.choice("abcdefghijklmnopqrstuvwxyz")
    at = chance.randrange(len(word) - 1)
    head = word[:at]
    tail = word[at + 1 :]
    words[place] = chance.choice(
        [head + tail, head + letter + word[at:], head + letter + tail, head + tail[0] + word[at] + tail[1:]]
    )
    return " ".join(words)


async def test_what_is_negated_doubtful_told_or_supposed_does_not_act() -> None:
    never = NEVER.read_text(encoding="utf-8").splitlines()
    turns = []
    for said in never:
        for world in ("40 pins", "parts for hands", "an oled"):
            turns.append((said, await converse(WORLDS[world], said)))
    assert [said for said, turn in turns if CHANGING & {tool for tool, _ in turn.calls}] == []


@settings(max_examples=60)
@given(
    st.sampled_from([said for said in SAID if "remind" not in said.lower()]),  # what that is about may have a "not"
    st.sampled_from(
        ("not", "don't", "do not", "never", "dont", "Don’t", "no", "cannot", "won't", "must not", "DO NOT", "unless")
    ),
    st.floats(0, 1),
)
def test_no_sentence_with_a_negation_acts(sentence: str, negation: str, where: float) -> None:
    words = sentence.split()
    words.insert(round(where * len(words)), negation)
    assume("pin no " not in " ".join(words))  # "pin no 2" is number 2
    turn = asyncio.run(converse(ONE_BOARD, " ".join(words)))
    assert [tool for tool, _ in turn.calls if tool in CHANGING] == []
    assert turn.calls or turn.reply.failed_code is not None


@settings(max_examples=60)
@given(
    st.sampled_from([turn.chat for turn in TURNS if turn.world == "parts for hands" and "|" not in turn.chat]),
    st.sampled_from(("not", "don't", "never", "no", "unless", "when", "if", "yesterday", "did", "why")),
    st.floats(0, 1),
)
def test_no_sentence_about_hands_with_a_negation_or_a_condition_moves_a_part(
    sentence: str, word: str, where: float
) -> None:
    words = sentence.split()
    words.insert(round(where * len(words)), word)
    turn = asyncio.run(converse(WORLDS["parts for hands"], " ".join(words)))
    assert [tool for tool, _ in turn.calls if tool in CHANGING] == []


async def test_parts_of_a_real_board_are_moved_by_hand() -> None:
    message = "the parts of a real board are moved by hand"
    chat = Chat(WORLDS["parts for hands"], success=False, error="not_supported", message=message)
    reply = (await chat.say("press btn1")).reply
    assert (reply.text, reply.failed_code) == (message, "not_supported")


async def test_the_question_itself_is_a_sentence_that_confirms_it_anywhere() -> None:
    """A terminal sends it instead of a yes, so that it cannot confirm another question of the same chat."""
    asked = [v.chat for v in TURNS if v.world == "one board" and v.outcome.startswith("confirm_reading")]
    for chat in asked:
        if "|" in chat:
            continue
        confirmed = await converse(ONE_BOARD, f"{chat} | yes")
        question = (await converse(ONE_BOARD, chat)).reply.text
        other = await converse(
            ONE_BOARD, f"could the relay thingy on pin 11 be switched on for me | {question.removesuffix('?')}"
        )
        assert confirmed.reply.failed_code == other.reply.failed_code
        for (tool, arguments), (elsewhere, same) in zip(confirmed.calls, other.calls, strict=True):
            assert (elsewhere, {name: same[name] for name in same if name != "device"}) == (tool, arguments)


def test_the_words_of_a_reading_are_a_template_of_the_same_act() -> None:
    def act(text: str) -> Act | None:
        request = ModelRequest("", (UserText(text),), (), device_context=ONE_BOARD.context)
        decision = understand(request).decision
        return decision if isinstance(decision, Act) else None

    def meant(found: Act) -> dict[str, object]:
        """Its arguments without the expectations: a pace is expected as it was said."""
        return {name: value for name, value in found.arguments.items() if name not in ("device", "expect")}

    first = {found.words: found for found in map(act, SAID) if found is not None and found.tool in CHANGING}
    for words, found in first.items():
        again = act(words)
        assert again is not None, words
        assert (again.tool, meant(again)) == (found.tool, meant(found)), words


def test_what_is_too_long_is_not_read() -> None:
    for text in ("five " + "hundred " * 200, "hundred thousand million " * 1500, "x" * (MAX_SENTENCE_CHARS + 1)):
        assert english().parse(text) is None


def test_no_known_sentence_quantity_or_part_is_a_text_for_a_display() -> None:
    meant = [*english().examples.values(), *quantities(), *parts()]
    assert [text for text in meant if meaning_of(text.replace("_", " "), None) != "order"] == []
    assert {meaning_of(text, None) for text in ("batteries", "frequencies", "inverted bars")} == {"order"}


def test_a_text_of_unusual_words_is_left_to_a_model_if_there_is_one() -> None:
    assert [meaning_of(text, None) for text in ("hello", "Good morning", "42", "kitchen")] == ["text"] * 4
    assert [meaning_of(text, None) for text in ("sine wave", "visitors", "hello Ming")] == ["perhaps"] * 3


@pytest.mark.parametrize("board_id", board_ids())
async def test_the_led_of_a_board_is_driven_by_its_own_level_or_refused_with_a_pin_that_works(board_id: str) -> None:
    board = load_board(board_id)
    world = one(board_id)
    led = board.led
    for said, lit in (("turn on the led", 1), ("turn off the led", 0), ("blink the LED", None)):
        turn = await converse(world, said)
        if led is not None and led.kind == "simple":
            tool, arguments = turn.calls[0]
            if lit is None:
                level = None
            elif lit:
                level = led.active_level
            else:
                level = 1 - led.active_level
            assert arguments.get("level") == level
            source = arguments.get("sourceCode", "")
            assert arguments.get("pin") == led.pin or (f"#define PIN {led.pin}\n" in source), (tool, source)
            assert not source or f"#define ON {led.active_level}\n" in source
        else:
            free = board.usable_pins("output")
            assert (turn.calls, (turn.reply.next_step or "").endswith(f"blink the LED on pin {free[0]}")) == ([], True)
            for pin, chat in ((free[0], "blink the LED on pin"), (free[-1], "blink the LED | pin")):
                outcome = (await converse(world, f"{chat} {pin}")).outcome
                assert (f"PIN={pin} " in outcome, "ON=1;" in outcome) == (True, True)


async def test_every_rate_is_kept_within_one_percent_or_refused_with_the_nearest_that_is_possible() -> None:
    async def at(hz: float | str) -> tuple[dict[str, str], str]:
        turn = await converse(ONE_BOARD, f"blink pin 14 at {hz} Hz")
        return dict(re.findall(r"(FREQUENCY_HZ|HALF_PERIOD_MS)=(\d+)", turn.outcome)), turn.reply.next_step or ""

    for tenths in range(1, 1200, 31):
        hz = tenths / 10
        values, nearest = await at(hz)
        if values:
            real = int(values.get("FREQUENCY_HZ", 0)) or 500 / int(values["HALF_PERIOD_MS"])
            assert abs(real - hz) <= hz / 100
        else:
            (possible, *_) = re.findall(r"([\d.]+) Hz", nearest)
            assert (await at(possible))[0]


@pytest.mark.parametrize(
    ("refused", "bound", "accepted"),
    [
        ("blink pin 14 every 25 hours", "between 10 ms and 24 h", "blink pin 14 every 24 hours"),
        ("blink pin 14 once every 49 hours", "between 10 ms and 24 h", "blink pin 14 once every 48 hours"),
        ("blink pin 14 0 times", "between 1 and 1000000", "blink pin 14 1000000 times"),
        ("fade pin 14 at 6 Hz", "between 200 ms and 1 h", "fade pin 14 at 5 Hz"),
    ],
)
async def test_a_refusal_names_the_last_value_that_is_accepted(refused: str, bound: str, accepted: str) -> None:
    turn = await converse(ONE_BOARD, refused)
    assert (turn.calls, turn.reply.next_step) == ([], bound)
    assert (await converse(ONE_BOARD, accepted)).acts


async def test_help_lists_every_kind_with_a_sentence_that_works() -> None:
    first, *examples = (await converse(ONE_BOARD, "what can you do")).reply.text.splitlines()
    assert str(len(examples)) in first
    for example in examples:
        assert (await converse(ONE_BOARD, example.strip())).reply.failed_code != "not_understood", example


@pytest.mark.parametrize(
    ("sentence", "later"),
    [
        ("turn on pin 4", ("gpio-set", {"pin": 4, "level": 1})),
        ("read the temperature", ("i2c-read", {"sensor": "bme280"})),
        ("remind me to water the plants", ("say", {"text": "Reminder: water the plants"})),
        *((several, None) for several in ("turn on pins 4 and 5", "blink pin 2", "toggle pin 4", "stop blink", "undo")),
        ("turn on the pump", "ambiguous"),
        ("order a pizza", "not_possible"),
        ("could the relay thingy on pin 10 be switched on for me", "confirm_reading"),
    ],
)
def test_a_schedule_is_one_call_a_turn_or_refused_when_it_is_made(sentence: str, later: object) -> None:
    match one_call(sentence, ONE_BOARD.context):
        case Act(tool=tool, arguments=arguments):
            assert (tool, dict(arguments)) == later
        case Say(code=code):
            assert code == later
        case None:
            assert later is None


@pytest.mark.parametrize("world", ["one board", "no led, MicroPython", "an addressable led, WASM", "an oled", "xiao"])
async def test_help_lists_only_what_this_board_can_do(world: str) -> None:
    chat = Chat(WORLDS[world])
    _, *examples = (await chat.say("what can you do")).reply.text.splitlines()
    assert len(examples) > 20
    for example in examples:
        # The double lists the programs of its world alone, so it has none to stop that the examples installed.
        allowed = {None, "confirm", "app_not_found"}
        assert (await chat.say(example.strip())).reply.failed_code in allowed, example
