"""Times of runs as a person gives them, and their words."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from microclaw.apps.run_times import (
    LEAST_MS,
    MOST_MS,
    RunTimes,
    parse_time_ms,
    time_word,
    times_body,
    trial_ms,
)
from microclaw.errors import ConfigError


@pytest.mark.parametrize(
    ("every", "stop_after"),
    [("0", None), ("10m", "500ms"), (None, "50d"), ("10m", "11m"), ("soon", None), ("1e9", None)],
)
def test_times_that_cannot_be_are_refused(every: str | None, stop_after: str | None) -> None:
    with pytest.raises(ConfigError) as caught:
        times_body(every, stop_after)
    assert caught.value.next_step


@given(st.integers(LEAST_MS, MOST_MS))
def test_a_written_time_is_read_back_as_it_was(ms: int) -> None:
    assert parse_time_ms(time_word(ms)) == ms


def test_a_trial_goes_on_until_the_second_run_was_seen_but_for_two_hours_at_most() -> None:
    assert trial_ms(RunTimes(600_000, 30_000), 10_000) == 630_500
    assert trial_ms(RunTimes(600_000), 10_000) == 610_500
    assert trial_ms(RunTimes(None, 30_000), 10_000) == 30_500
    assert trial_ms(RunTimes(86_400_000), 10_000) == 10_500
    assert trial_ms(RunTimes(7_200_000), 10_000) == 10_500
    assert trial_ms(RunTimes(86_400_000, 3_600_000), 10_000) == 10_000, "a long run is not tried to its end"
