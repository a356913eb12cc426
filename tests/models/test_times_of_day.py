"""Times are taken off a sentence, what is to be done stays."""

from __future__ import annotations

import pytest

from microclaw.models.quantities import normalize_quantities
from microclaw.models.times_of_day import When, split_when


@pytest.mark.parametrize(
    ("said", "what", "when"),
    [
        ("turn on pin 4 at 23:30", "turn on pin 4", When("23:30")),
        ("turn on pin 4 at 7 pm every day", "turn on pin 4", When("19:00", "daily")),
        ("at 6.45 am turn on pin 4", "turn on pin 4", When("06:45")),
        ("turn on pin 4 at 12 am", "turn on pin 4", When("00:00")),
        ("every weekday at 6:45 turn on pin 4", "turn on pin 4", When("06:45", "weekdays")),
        ("turn on pin 4 on weekends at noon", "turn on pin 4", When("12:00", "weekends")),
        ("each monday at 7 o'clock turn on pin 4", "turn on pin 4", When("07:00", "monday")),
        ("tomorrow at 6 turn on pin 4", "turn on pin 4", When("06:00", None, "tomorrow")),
        ("tonight turn off the led", "turn off the led", When(None, None, "tonight")),
        ("next friday at midnight blink pin 2", "blink pin 2", When("00:00", None, "friday")),
        ("at sunset turn on pin 4", "turn on pin 4", When("sunset")),
        ("in 10 minutes turn on pin 4", "turn on pin 4", When(delay_ms=600_000)),
        ("turn on pin 4 after half an hour", "turn on pin 4", When(delay_ms=1_800_000)),
        (
            "tomorrow at noon read the temperature and send it to me",
            "read the temperature",
            When("12:00", None, "tomorrow", notify=True),
        ),
        ("turn on pin 4 for 10 seconds today at 8:00", "turn on pin 4 for 10000 ms", When("08:00")),
    ],
)
def test_a_time_is_taken_off(said: str, what: str, when: When) -> None:
    assert split_when(normalize_quantities(said)) == (what, when)


@pytest.mark.parametrize(
    "said",
    [
        "turn on pin 4",
        "blink pin 2 every 10 seconds",
        "fade the led in and out",
        "turn on pin 4 when the temperature is above 28",
        "what is the temperature today",
        "read the temperature every minute",
        "set the led to 50%",
    ],
)
def test_a_sentence_without_a_time_has_none(said: str) -> None:
    assert split_when(normalize_quantities(said)) is None
