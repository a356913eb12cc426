"""An answer is cut into sentences as it comes."""

from __future__ import annotations

import pytest
from tests.language.phrases import phrases

from microclaw.voice.spoken_text import SentenceCutter, for_the_ear, spoken_question


@pytest.mark.parametrize("record", ["nothing. It read nothing either.", "\n- done: gpio-set pin=4\n- read: page"])
def test_the_hosts_list_of_acts_is_not_said(record: str) -> None:
    text = f"I can blink a LED.\n\nWhat the host did: {record}"
    for pieces in ([text], list(text)):
        cutter = SentenceCutter()
        assert [*(said for piece in pieces for said in cutter.feed(piece)), *cutter.rest()] == ["I can blink a LED."]


def test_what_is_for_the_eye_is_not_said() -> None:
    for written, spoken in phrases("an answer for the ear"):
        assert (for_the_ear(written), for_the_ear(spoken)) == (spoken, spoken)


def test_a_question_says_the_act_and_who_decides() -> None:
    assert spoken_question("restart board-1", may_decide=True) == "Restart board-1. Shall I? Say yes or no."
    told = spoken_question("undo: set pin 4 of lamp high (change 4)", may_decide=False, before="First: ")
    assert told == "First: undo: set pin 4 of lamp high. An owner has to decide."
