"""An answer is cut into sentences as it comes."""

from __future__ import annotations

import pytest

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


@pytest.mark.parametrize(
    ("written", "spoken"),
    [
        ("call gpio_set or gpio.set, e.g. i2c.read now", "call gpio set or gpio set, e.g. i2c read now"),
        ("_very_ **loud** on board-1", "very loud on board 1"),
        ("gpio-set pin=4 level=1", "gpio set pin 4 level 1"),
        ("undone: pin 10 of lamp is low again (change 4)", "undone: pin 10 of lamp is low again"),
        ("It reads 1.234 V (raw 1531).", "It reads 1.234 volts."),
        ("It is at 30% (duty 76/255).", "It is at 30 percent."),
        ("board (d-1f0c22aa33bb44cc) has 12 edges, cursor 1280.", "board has 12 edges."),
        ("blink is 4 KB, sha256 1a2b3c4d5e6f, and runs", "blink is 4 kilobytes, and runs"),
        ("Pin 2 (the LED) of kitchen-a1b2c3d4 is on", "Pin 2 (the LED) of kitchen a1b2c3d4 is on"),
        ("It is 04:15 on Sunday, 2026-11-22 (UTC).", "It is 4 15 on Sunday, November 22 (UTC)."),
        ("next today, 18:00, then 7:05", "next today, 18 o'clock, then 7 oh 5"),
        ("Remembered: the fan is on pin 11 (memory/MEMORY.md).", "Remembered: the fan is on pin 11."),
        ("main.c:12:30 says 25:61", "main.c:12:30 says 25:61"),
        ("12345678 edges on a facade", "12345678 edges on a facade"),
    ],
)
def test_what_is_for_the_eye_is_not_said(written: str, spoken: str) -> None:
    assert for_the_ear(written) == spoken
    assert for_the_ear(spoken) == spoken


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
