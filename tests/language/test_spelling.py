"""Single slips are mended where only one word can be meant; everything else stays."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from microclaw.language.spelling import Spelling
from microclaw.offline.sentences import english

WORDS = ("the", "blink", "turn", "off", "on", "button", "temperature", "pressed", "presses", "water", "later")


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("teh", "the"),
        ("trun", "turn"),
        ("blnik", "blink"),
        ("blik", "blink"),
        ("bblink", "blink"),
        ("lbink", "blink"),
        ("tempreature", "temperature"),
        ("temperture", "temperature"),
        ("tenperature", "temperature"),
        ("butron", "button"),
    ],
)
def test_one_slip_is_mended(said: str, meant: str) -> None:
    assert Spelling(WORDS).mend(f"xyz {said} 12") == f"xyz {meant} 12"


@pytest.mark.parametrize(
    "said",
    [
        "of",  # off or on: two letters say too little
        "no",
        "blank",  # one other letter in a short word is another word
        "presse",  # pressed or presses
        "wlater",  # water or later
        "tempreatrue",  # two slips
        "pin4",
        "",
    ],
)
def test_what_could_mean_two_things_or_nothing_stays(said: str) -> None:
    assert Spelling(WORDS).mend(said) == said


@given(st.sampled_from(WORDS))
def test_a_known_word_stays(word: str) -> None:
    assert Spelling(WORDS).mend(word) == word


@given(st.text(max_size=60))
def test_any_text_is_mended_without_error(text: str) -> None:
    assert len(Spelling(WORDS).mend(text).split()) == len(text.split())


@pytest.mark.parametrize(
    ("one", "other"), [("on", "off"), ("enable", "disable"), ("above", "below"), ("start", "stop")]
)
def test_no_single_slip_turns_a_word_into_its_contrary(one: str, other: str) -> None:
    assert Spelling((one,)).mend(other) == other
    assert Spelling((other,)).mend(one) == one


def test_a_sentence_with_slips_is_read_as_the_one_that_was_meant() -> None:
    sentences = english()
    mended = sentences.parse("wehn teh buttno on pin 1 is presed turn on pin 4")
    meant = sentences.parse("when the button on pin 1 is pressed turn on pin 4")
    assert meant is not None
    assert mended == replace(meant, loose=True)
