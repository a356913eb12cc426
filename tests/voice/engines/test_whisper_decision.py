"""The decision about Whisper's words: a command, a question back, or nothing."""

from __future__ import annotations

import pytest

from microclaw.voice.engines.engine import Transcript
from microclaw.voice.engines.spoken_names import NamesAsWritten, SpokenNames
from microclaw.voice.engines.whisper import MAX_NAMES_CHARS, WhisperEvidence, decide, plain, prompt

NAMES = SpokenNames(("kitchen", "virtual-1"), ("blink",), ("fan", "desk_lamp"))
WRITTEN = NamesAsWritten(NAMES)
NOTHING = Transcript("", 0.0)


def heard(text: str, *, each: float = 0.9, **given: float) -> Transcript:
    """`text` with these probabilities for its words, by their letters, and `each` for the others."""
    words = [(word, given.get(word.strip(".?!").lower(), each)) for word in text.split()]
    return decide(WhisperEvidence(words, -0.2, 0.01, 1.0), WRITTEN)


def test_a_command_that_was_heard_well_is_sure() -> None:
    assert heard("Turn on pin four.") == Transcript("turn on pin four", 0.95)


def test_one_doubtful_word_asks_back() -> None:
    found = heard("Turn on the fan.", fan=0.3)
    assert found.text == "turn on the fan"
    assert found.confidence < 0.5


@pytest.mark.parametrize("number", ["thirteen", "30", "four", "half"])
def test_a_number_has_to_be_surer_than_another_word(number: str) -> None:
    assert heard(f"Read pin {number}.", **{number: 0.55}).confidence < 0.5
    assert heard("Read the humidity.", humidity=0.55).confidence >= 0.5


def test_what_hardly_any_word_is_likely_of_is_nothing() -> None:
    assert heard("Turn on pin three.", turn=0.02, on=0.2, three=0.37) == NOTHING
    words = [(word, 0.5) for word in ["Turn", "on", "pin", "three."]]
    assert decide(WhisperEvidence(words, -1.4, 0.01, 1.0), WRITTEN) == NOTHING


def test_where_nobody_spoke_nothing_was_said() -> None:
    assert decide(WhisperEvidence([("Undo.", 0.9)], -0.2, 0.8, 1.0), WRITTEN) == NOTHING
    assert decide(WhisperEvidence([], 0.0, 1.0, 1.0), WRITTEN) == NOTHING
    assert decide(WhisperEvidence([("...", 0.9)], -0.2, 0.1, 1.0), WRITTEN) == NOTHING


@pytest.mark.parametrize("text", ["Thank you.", "Thanks for watching!", "You", "Bye."])
def test_what_whisper_makes_up_for_noise_is_nothing(text: str) -> None:
    assert heard(text) == NOTHING


def test_a_sentence_that_is_written_again_and_again_was_said_once() -> None:
    assert heard("Turn on the fan. Turn on the fan. Turn on the fan.").text == "turn on the fan"
    assert heard("Turn on the fan. Turn on the").text == "turn on the fan"
    assert heard("Turn on pin two. Turn off pin two.").text == "turn on pin two turn off pin two"


def test_a_loop_is_nothing() -> None:
    words = [("pin", 0.9)] * 60
    assert decide(WhisperEvidence(words, -0.1, 0.01, 6.0), WRITTEN) == NOTHING


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("Blink pin 2 every 1/2 second.", "blink pin 2 every 1/2 second"),
        ("Dim pin six to 30%.", "dim pin six to 30 percent"),
        ("Is pin four on?", "is pin four on"),
        ("Turn on pin three at seven p.m.", "turn on pin three at seven pm"),
        ("Turn on pin three at 7:30 a.m., please!", "turn on pin three at 7:30 am please"),
        ("When it is above 28.5°, turn on pin twenty-one.", "when it is above 28.5 degrees turn on pin twenty one"),
        ("What's the humidity?", "what's the humidity"),
        ("Blink for 1,500 milliseconds", "blink for 1500 milliseconds"),
        ("Restart virtual one.", "restart virtual-1"),
        ("Restart Virtual 1.", "restart virtual-1"),
        ("Turn on the desk lamp.", "turn on the desk_lamp"),
    ],
)
def test_a_transcript_is_written_as_the_templates_are(written: str, read: str) -> None:
    assert plain(written, WRITTEN) == read


def test_the_prompt_has_the_names_as_they_are_said_and_is_bounded() -> None:
    text = prompt(NAMES)
    assert "Turn on the desk lamp." in text
    assert "Virtual one." in text
    many = prompt(SpokenNames(tuple(f"device-{n}" for n in range(100)), (), ()))
    assert len(many) - len(prompt(SpokenNames())) <= MAX_NAMES_CHARS
    assert many.endswith(prompt(SpokenNames()))
