"""Quantities come out in one form, however they are said."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from microclaw.language.quantities import normalize_quantities

_TENS = ("", "", "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
_SMALL = (
    *("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"),
    *("ten", "eleven", "twelve", "thirteen", "fourteen"),
    *("fifteen", "sixteen", "seventeen", "eighteen", "nineteen"),
)


def _in_words(number: int) -> str:
    if number < 20:
        return _SMALL[number]
    if number < 100:
        return _TENS[number // 10] + (f"-{_SMALL[number % 10]}" if number % 10 else "")
    rest = f" and {_in_words(number % 100)}" if number % 100 else ""
    return f"{_SMALL[number // 100]} hundred{rest}"


@given(st.integers(0, 999))
def test_a_number_in_words_is_the_number_in_digits(number: int) -> None:
    assert normalize_quantities(f"every {_in_words(number)} milliseconds") == f"every {number} ms"


@given(st.text(max_size=200))
def test_any_text_is_normalized_without_error(text: str) -> None:
    normalized = normalize_quantities(text)
    assert "  " not in normalized
    assert normalized == normalized.strip()


@pytest.mark.parametrize(
    ("said", "normalized"),
    [
        ("every half second", "every 500 ms"),
        ("every half a second", "every 500 ms"),
        ("every quarter of a second", "every 250 ms"),
        ("every 1/2 second", "every 500 ms"),
        ("every two seconds and a half", "every 2500 ms"),
        ("every other minute", "every 120000 ms"),
        ("twice a second", "period 500 ms"),
        ("flash once every 5 seconds", "flash period 5000 ms"),
        ("read it once every 5 seconds", "read it every 5000 ms"),
        ("three times per minute", "period 20000 ms"),
        ("at 2 Hz", "at period 500 ms"),
        ("GPIO 07", "pin 7"),
        ("pin no. 12", "pin 12"),
        ("28.5 °C", "28500 milli degrees"),
        ("32 degrees Fahrenheit", "0 milli degrees"),
        ("30 %", "30000 milli percent"),
        ("3.3V", "3300 milli volts"),
        ("200 mA", "200 milli amps"),
        ("above 28", "above 28000 milli"),
        ("at 6:45 pm", "at clock 1845"),
        ("at 23:30", "at clock 2330"),
        ("scan the i2c bus", "scan the i2c bus"),
        ("pin 4, please!", "pin 4 please"),
    ],
)
def test_quantity_has_one_written_form(said: str, normalized: str) -> None:
    assert normalize_quantities(said) == normalized
