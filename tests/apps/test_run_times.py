"""Times of runs as a person gives them, and their words."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from microclaw.apps.run_times import (
    LEAST_MS,
    MOST_MS,
    RunTimes,
    keeper_text,
    parse_run_times,
    parse_time_ms,
    time_word,
    times_body,
    trial_ms,
)
from microclaw.errors import ConfigError


@pytest.mark.parametrize(
    ("every", "stop_after", "text"),
    [
        ("10m", "30s", "every 10 min, stopped after 30 s"),
        ("1d", None, "every 1 d"),
        (None, "1.5h", "stopped after 90 min"),
        ("20", "20", "every 20 s, stopped after 20 s"),
        ("49d", "1min", "every 49 d, stopped after 60 s"),
    ],
)
def test_times_are_read_and_told(every: str | None, stop_after: str | None, text: str) -> None:
    times = parse_run_times(every, stop_after)
    assert times is not None
    assert times.text() == text


@pytest.mark.parametrize(
    ("every", "stop_after", "said"),
    [
        ("0", None, "the interval: 0 s is too short"),
        ("-5s", None, "'-5s' is not a time"),
        ("10m", "500ms", "the length of a run: 0.5 s is too short"),
        ("50d", "1h", "the interval: longer than 49 days"),
        (None, "50d", "the length of a run: longer than 49 days"),
        ("10m", "11m", "cannot last 11 min when the next one begins after 10 min"),
        ("soon", None, "'soon' is not a time"),
        ("10 weeks", None, "'10 weeks' is not a time"),
        ("", None, "'' is not a time"),
        ("1e9", None, "'1e9' is not a time"),
        ("٣s", None, "is not a time"),
    ],
)
def test_times_that_cannot_be_are_refused_with_the_reason(every: str | None, stop_after: str | None, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_run_times(every, stop_after)
    assert said in caught.value.message
    if "is not a time" not in said:  # a chat and a tool say it too, and have no options
        assert "--" not in f"{caught.value.message} {caught.value.next_step}"
    assert caught.value.next_step


@given(st.integers(LEAST_MS, MOST_MS))
def test_a_written_time_is_read_back_as_it_was(ms: int) -> None:
    assert parse_time_ms(time_word(ms), "--every") == ms


def test_nothing_given_is_no_times() -> None:
    assert parse_run_times(None, None) is None
    assert times_body(None, None) == {}
    assert times_body("10m", None) == {"every_ms": 600_000, "stop_after_ms": None}


def test_the_words_say_who_keeps_them() -> None:
    fan = RunTimes(600_000, 30_000)
    assert keeper_text(fan, "py").endswith("the board keeps it, also when this host is off")
    assert "needs the host" in keeper_text(fan, "wasm")
    assert "at each start of the board anew" in keeper_text(RunTimes(None, 30_000), "py")


def test_a_trial_goes_on_until_the_second_run_was_seen_but_for_two_hours_at_most() -> None:
    assert trial_ms(RunTimes(600_000, 30_000), 10_000) == 630_500
    assert trial_ms(RunTimes(600_000), 10_000) == 610_500
    assert trial_ms(RunTimes(None, 30_000), 10_000) == 30_500
    assert trial_ms(RunTimes(86_400_000), 10_000) == 10_500
    assert trial_ms(RunTimes(7_200_000), 10_000) == 10_500
    assert trial_ms(RunTimes(86_400_000, 3_600_000), 10_000) == 10_000, "a long run is not tried to its end"
