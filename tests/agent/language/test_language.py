"""Quantities come out in one form however they are said; times are taken off a sentence."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import asdict
from tests.agent.language.phrases import phrases

from microclaw.agent.language.quantities import normalize_quantities
from microclaw.agent.language.times import When, format_when, split_when

_TENS = ("", "", "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
_SMALL = (
    *("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"),
    *("thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen"),
)


def _in_words(number: int) -> str:
    if number < 20:
        return _SMALL[number]
    if number < 100:
        return _TENS[number // 10] + (f"-{_SMALL[number % 10]}" if number % 10 else "")
    if number % 100:
        rest = f" and {_in_words(number % 100)}"
    else:
        rest = ""
    return f"{_SMALL[number // 100]} hundred{rest}"


@given(st.integers(0, 999))
def test_a_number_in_words_is_the_number_in_digits(number: int) -> None:
    assert normalize_quantities(f"every {_in_words(number)} milliseconds") == f"every {number} ms"


@given(st.text(max_size=200))
def test_any_text_is_normalized_without_error(text: str) -> None:
    normalized = normalize_quantities(text)
    assert "  " not in normalized
    assert normalized == normalized.strip()


def test_quantity_has_one_written_form() -> None:
    rows = phrases("a quantity in its one form")
    assert [(said, normalize_quantities(said)) for said, _ in rows] == rows


def test_a_time_is_taken_off() -> None:
    def taken(said: str) -> str:
        found = split_when(normalize_quantities(said))
        if found is None:
            return "no time"
        what, when = found
        values = {name: value for name, value in asdict(when).items() if value}
        return " ".join([what, "@", *(f"{name}={value}" for name, value in values.items())])

    rows = phrases("a time that is taken off a sentence")
    assert [(said, taken(said)) for said, _ in rows] == rows
    assert split_when(normalize_quantities("turn on pin 4 at 7"), bare_hour=True) == ("turn on pin 4", When(hour=7))


def test_a_time_in_words_is_read_as_the_same_time() -> None:
    for said in (
        "every weekday at 07:00", "on weekends at 12:00", "tomorrow at 08:00", "in 20 min", "in 90 s",
        "on 3 december at 14:00", "every monday and friday at 06:30", "at 22:00", "on 2026-12-03 at 14:00",
        "every day at 00:00", "in 1234567 s", "in 1234.567 s",
    ):  # fmt: skip
        what, when = split_when(normalize_quantities(said)) or ("nothing", When())
        assert (what, format_when(when)) == ("", said)
