"""An answer is cut into sentences as it comes."""

from __future__ import annotations

import pytest

from microclaw.voice.spoken_text import SentenceCutter


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        (
            "Pin 4 of bench is on (it is at 1). The fan (on pin 5) is off.",
            ["Pin 4 of bench is on", "(it is at 1).", "The fan (on pin 5) is off."],
        ),
        ("On (at 1) now.", ["On (at 1) now."]),
        ("It is done. Pin 4 is on (at 1).", ["It is done.", "Pin 4 is on (at 1)."]),
    ],
)
def test_the_first_sentence_ends_before_what_is_in_brackets(text: str, sentences: list[str]) -> None:
    whole, piecewise = SentenceCutter(), SentenceCutter()
    assert whole.feed(text) + whole.rest() == sentences
    pieces = [sentence for letter in text for sentence in piecewise.feed(letter)]
    assert pieces + piecewise.rest() == sentences
