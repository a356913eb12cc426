"""Times are taken off a sentence, what is to be done stays."""

from __future__ import annotations

import pytest

from microclaw.language.quantities import normalize_quantities
from microclaw.language.times import When, split_when, when_text


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
        ("next friday at midnight blink pin 2", "blink pin 2", When("00:00", None, "next friday")),
        ("at sunset turn on pin 4", "turn on pin 4", When("sunset")),
        ("in 10 minutes turn on pin 4", "turn on pin 4", When(delay_ms=600_000)),
        ("turn on pin 4 after half an hour", "turn on pin 4", When(delay_ms=1_800_000)),
        (
            "tomorrow at noon read the temperature and send it to me",
            "read the temperature",
            When("12:00", None, "tomorrow", notify=True),
        ),
        ("turn on pin 4 for 10 seconds today at 8:00", "turn on pin 4 for 10000 ms", When("08:00", None, "today")),
        ("on 3 December at 14:00 turn on pin 4", "turn on pin 4", When("14:00", None, "3 december")),
        ("turn on pin 4 on Dec 24th at 6 pm", "turn on pin 4", When("18:00", None, "24 december")),
        ("every evening at 7 turn on pin 4", "turn on pin 4", When("19:00", "daily")),
        ("tonight at 10 turn off pin 4", "turn off pin 4", When("22:00", None, "tonight")),
        ("every night at 1 am turn off pin 4", "turn off pin 4", When("01:00", "daily")),
        ("turn pin 4 on at 7 in the evening", "turn pin 4 on", When("19:00")),
        ("turn on pin 4 at half past six", "turn on pin 4", When()),
        ("turn on pin 4 at quarter to eight in the evening", "turn on pin 4", When()),
        ("every weekday at five past eight pm turn on pin 4", "turn on pin 4", When(repeat="weekdays")),
        ("every monday and thursday at 7:30 turn on pin 4", "turn on pin 4", When("07:30", "monday and thursday")),
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
        "drive pin 21 to 1",
        "dim pin 5 from 50 to 9 percent",
    ],
)
def test_a_sentence_without_a_time_has_none(said: str) -> None:
    assert split_when(normalize_quantities(said)) is None


def test_an_hour_alone_is_a_time_only_where_it_is_asked_for() -> None:
    said = normalize_quantities("turn on pin 4 at 7")
    assert split_when(said) is None
    assert split_when(said, bare_hour=True) == ("turn on pin 4", When(hour=7))


@pytest.mark.parametrize(
    "said",
    ["every weekday at 07:00", "on weekends at 12:00", "tomorrow at 08:00", "in 20 minutes", "on 3 december at 14:00",
     "every monday and friday at 06:30", "at 22:00", "on 2026-12-03 at 14:00", "every day at 00:00", "in 90 seconds"],
)  # fmt: skip
def test_a_time_in_words_is_read_as_the_same_time(said: str) -> None:
    found = split_when(normalize_quantities(said))
    assert found is not None
    assert found[0] == ""
    assert when_text(found[1]) == said
