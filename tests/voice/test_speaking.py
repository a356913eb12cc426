"""The pace of what is said: a device never holds more than it told that it can."""

from __future__ import annotations

import pytest

from microclaw.voice.speaking import Pace


@pytest.mark.parametrize("frame_ms", [20, 40, 60])
@pytest.mark.parametrize("buffer_ms", [0, 20, 50, 80, 100, 200, 400])
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
