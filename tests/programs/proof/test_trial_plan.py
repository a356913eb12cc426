"""Times of runs as a person gives them, and the trial's own acts at pins: bounces that a program must not see."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from microclaw.errors import ConfigError
from microclaw.programs.proof.expectation_text import parse_expectations
from microclaw.programs.proof.trial_plan import TrialOptions, levels_over_time, plan
from microclaw.programs.run_times import LEAST_MS, MOST_MS, parse_time_ms, time_word, times_body

ASKED = {
    "toggle": "when pin 4 falls: pin 2 toggles within 60 ms",
    "a light of 5 s": "when pin 4 rises: pin 2 rises within 80 ms for 5 s",
}


def _polled(expect: str, period_ms: float, phase_ms: float) -> int:
    """The changes that a program sees that looks at the pin each `period_ms`."""
    edges = [
        edge
        for edge in levels_over_time(plan(TrialOptions(expectations=parse_expectations(expect))).stimuli).edges
        if edge.pin == 4
    ]
    level = edges[0].level
    changes = 0
    at_ms = phase_ms
    place = 0
    now = level
    while place < len(edges):
        while place < len(edges) and edges[place].t_ms <= at_ms:
            now = edges[place].level
            place = place + 1
        changes += now != level
        level = now
        at_ms += period_ms
    return changes


@pytest.mark.parametrize("expect", ASKED.values(), ids=ASKED.keys())
@pytest.mark.parametrize("period_ms", [1, 2, 3, 5, 7, 10, 20, 25, 50])
def test_a_poll_sees_a_bounce_without_debounce_and_each_20_ms_presses_alone(expect: str, period_ms: int) -> None:
    for phase in range(10):
        seen = _polled(expect, period_ms, period_ms * phase / 10)
        assert seen > 2 * 8 if period_ms <= 10 else seen in (2 * 8, 2 * 8 - 1)


def test_no_bounce_is_longer_than_a_debounce_of_20_ms() -> None:
    bursts = levels_over_time(plan(TrialOptions(expectations=parse_expectations(ASKED["toggle"]))).stimuli).bursts[4]
    assert max(last - first for first, last, _ in bursts) == pytest.approx(18)


def test_times_that_cannot_be_are_refused() -> None:
    for times in (("0", None), ("10m", "500ms"), (None, "50d"), ("10m", "11m"), ("soon", None), ("1e9", None)):
        with pytest.raises(ConfigError) as caught:
            times_body(*times)
        assert caught.value.next_step, times


@given(st.integers(LEAST_MS, MOST_MS))
def test_a_written_time_is_read_back_as_it_was(ms: int) -> None:
    assert parse_time_ms(time_word(ms)) == ms
