"""Speech: an answer is cut into sentences as it comes, and a device never holds more than it told that it can."""

from __future__ import annotations

import pytest
from tests.agent.language.phrases import phrases

from microclaw.interfaces.voice.speaking import Pace
from microclaw.interfaces.voice.spoken_text import SentenceCutter, to_speech


@pytest.mark.parametrize("frame_ms", [20, 60])
@pytest.mark.parametrize("buffer_ms", [0, 50, 200])
def test_a_device_never_holds_more_than_its_buffer(frame_ms: int, buffer_ms: int) -> None:
    now_s = 1000.0
    pace = Pace(frame_ms, buffer_ms, lambda: now_s)
    most_ms = max(buffer_ms, frame_ms)
    held: list[float] = []
    for sent in range(1, 501):
        now_s += pace.next_wait_s()
        pace.sent()
        held.append(sent * frame_ms - (now_s - 1000.0) * 1000)
    assert max(held) <= most_ms + 1e-6
    assert max(held) > most_ms - frame_ms  # what it can hold is used
    assert pace.late == 0
    assert min(held) > 0  # it never runs dry


@pytest.mark.parametrize("record", ["nothing. It read nothing either.", "\n- done: gpio-set pin=4\n- read: page"])
def test_the_hosts_list_of_acts_is_not_said(record: str) -> None:
    text = f"I can blink a LED.\n\nWhat the host did: {record}"
    for pieces in ([text], list(text)):
        cutter = SentenceCutter()
        assert [*(said for piece in pieces for said in cutter.feed(piece)), *cutter.rest()] == ["I can blink a LED."]


def test_what_is_for_the_eye_is_not_said() -> None:
    for written, spoken in phrases("an answer for the ear"):
        assert (to_speech(written), to_speech(spoken)) == (spoken, spoken)
