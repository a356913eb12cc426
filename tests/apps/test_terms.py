from __future__ import annotations

import pytest

from microclaw.apps.trial import TrialInput, parse_duration_ms, parse_input
from microclaw.errors import ConfigError


@pytest.mark.parametrize(
    ("text", "ms"),
    [("10s", 10_000), ("500ms", 500), ("2min", 120_000), ("2m", 120_000), ("1h", 3_600_000), ("1.5", 1_500)],
)
def test_durations_are_read_in_every_unit(text: str, ms: float) -> None:
    assert parse_duration_ms(text) == ms


@pytest.mark.parametrize("text", ["", "s", "-1s", "ten", "1d", "25h", "0s", "1e9s", "nan", "1ss"])
def test_other_durations_are_refused_with_a_next_step(text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_duration_ms(text)
    assert caught.value.next_step


@pytest.mark.parametrize(
    ("text", "given"),
    [
        ("1=1@2s", TrialInput(1, 1, 2_000)),
        ("0=0", TrialInput(0, 0, 0)),
        ("12=1@0", TrialInput(12, 1, 0)),
        ("3=0@250ms", TrialInput(3, 0, 250)),
    ],
)
def test_inputs_are_pin_level_and_time(text: str, given: TrialInput) -> None:
    assert parse_input(text) == given


@pytest.mark.parametrize("text", ["", "1", "1=2", "a=1", "1=1@", "1=1@soon", "1=1@-2s", "=1"])
def test_other_inputs_are_refused_with_a_next_step(text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_input(text)
    assert caught.value.next_step
