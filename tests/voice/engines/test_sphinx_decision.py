"""When a reading is acted on, asked back, or nothing."""

from __future__ import annotations

import pytest

from microclaw.voice.engines.command_grammar import SpokenNames, command_grammar
from microclaw.voice.engines.engine import Transcript
from microclaw.voice.engines.sphinx_decision import DOUBTFUL, SURE, Evidence, decide, numbers_agree

GRAMMAR = command_grammar(SpokenNames(("virtual-1",)))
SOUNDS = {
    word: phones.split()
    for word, phones in {
        "turn": "T ER N", "on": "AA N", "off": "AO F", "pin": "P IH N", "four": "F AO R", "for": "F AO R",
        "before": "B IH F AO R", "forty": "F AO R T IY", "two": "T UW", "to": "T UW", "ninety": "N AY N T IY",
        "bin": "B IH N", "the": "DH AH", "filth": "F IH L TH", "five": "F AY V", "thing": "TH IH NG",
    }.items()
}  # fmt: skip


def decided(readings: list[str], general: str | None) -> Transcript:
    return decide(Evidence(readings, general, SOUNDS), GRAMMAR)


@pytest.mark.parametrize("general", ["turn on pin four", "turn on before", "turn on bin for"])
def test_a_sentence_that_both_heard_is_sure(general: str) -> None:
    assert decided(["turn on pin four"], general) == Transcript("turn on pin four", SURE)


def test_another_number_is_asked_back() -> None:
    assert decided(["turn on pin four"], "turn on bin forty") == Transcript("turn on pin four", DOUBTFUL)
    assert decided(["turn on pin forty"], "turn on bin for two") == Transcript("turn on pin forty", DOUBTFUL)


def test_a_sentence_that_is_not_the_best_reading_is_asked_back() -> None:
    found = decided(["turn pin the four", "turn on pin four"], "turn on pin four")
    assert found == Transcript("turn on pin four", DOUBTFUL)


@pytest.mark.parametrize("number", ["fourteen", "forty", "eighteen"])
def test_a_number_that_sounds_like_another_is_asked_back(number: str) -> None:
    assert decided([f"turn on pin {number}"], f"turn on pin {number}") == Transcript(f"turn on pin {number}", DOUBTFUL)
    assert decided(["turn on pin forty two"], "turn on pin forty two").confidence == SURE


def test_a_reading_that_is_no_sentence_is_nothing() -> None:
    assert decided(["turn the four on pin"], "turn the four on pin").text == ""
    assert decided([], "turn on pin four").text == ""


def test_what_the_other_decoder_heard_nothing_of_is_nothing() -> None:
    assert decided(["turn on pin four"], "filth").text == ""
    assert decided(["turn on pin four"], "").text == ""


def test_without_a_second_decoder_the_best_reading_counts() -> None:
    assert decided(["turn on pin four"], None) == Transcript("turn on pin four", SURE)


def test_a_number_that_was_heard_once_does_not_prove_two() -> None:
    assert numbers_agree("pin two for five", "pin to for five", Evidence([], None, SOUNDS))
    assert not numbers_agree("pin two on two", "pin to on thing", Evidence([], None, SOUNDS))
