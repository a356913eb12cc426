"""An answer is cut into sentences as it comes."""

from __future__ import annotations

import pytest
from tests.language.phrases import phrases

from microclaw.events import Evidence
from microclaw.voice.spoken_text import SentenceCutter, for_the_ear, spoken_question


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


@pytest.mark.parametrize("record", ["nothing. It read nothing either.", "\n- done: gpio-set pin=4\n- read: page"])
def test_the_hosts_list_of_acts_is_not_said(record: str) -> None:
    text = f"I can blink a LED.\n\nWhat the host did: {record}"
    for pieces in ([text], list(text)):
        cutter = SentenceCutter()
        assert [*(said for piece in pieces for said in cutter.feed(piece)), *cutter.rest()] == ["I can blink a LED."]


def test_what_is_for_the_eye_is_not_said() -> None:
    for written, spoken in phrases("an answer for the ear"):
        assert (for_the_ear(written), for_the_ear(spoken)) == (spoken, spoken)


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ("Pin 4 of lamp is on (read back: pin 4 is at 1).", ["Pin 4 of lamp is on", "Checked."]),
        ("Done. Pin 4 is on (read back: pin 4 is at 1).", ["Done.", "Pin 4 is on, checked."]),
        ("Pins 4 and 5 are on. Read back: pin 4 is at 1.", ["Pins 4 and 5 are on.", "Checked."]),
        ("Both are on (read back: pin 4 is at 1; read back: pin 5 is at 1).", ["Both are on, checked."]),
        ("It is on (lamp answers: set; blink has it again).", ["It is on (lamp answers: set; blink has it again)."]),
        ("On (read back: pin 4 is at 1, so far).", ["On (read back: pin 4 is at 1, so far)."]),
    ],
)
def test_evidence_is_said_in_its_short_form_and_other_words_whole(answer: str, said: list[str]) -> None:
    evidence = (
        Evidence("counted", "read back: pin 4 is at 1", spoken="checked"),
        Evidence("counted", "read back: pin 5 is at 1", spoken="checked"),
        Evidence("reported", "lamp answers: set; blink has it again"),
    )
    for pieces in ([answer], list(answer)):
        cutter = SentenceCutter()
        cutter.learn(evidence)
        assert [*(one for piece in pieces for one in cutter.feed(piece)), *cutter.rest()] == said


def test_a_question_says_the_act_and_who_decides() -> None:
    assert spoken_question("restart board-1", may_decide=True) == "Restart board-1. Shall I? Say yes or no."
    told = spoken_question("undo: set pin 4 of lamp high (change 4)", may_decide=False, before="First: ")
    assert told == "First: undo: set pin 4 of lamp high. An owner has to decide."
