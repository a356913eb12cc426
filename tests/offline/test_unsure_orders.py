"""Numbers that are no pins, and sentences that are too long."""

from __future__ import annotations

import pytest

from microclaw.offline.sentences import MAX_SENTENCE_CHARS, english


@pytest.mark.parametrize("words", ["pin 15 to 35 percent", "gpio 15 to 35%", "pin 15 to thirty-five percent"])
def test_a_level_is_no_range_of_pins(words: str) -> None:
    reading = english().parse(f"set the grow lamp on {words}")
    assert reading is not None
    assert (reading.kind, reading.number("pin"), reading.number("milli")) == ("dim_pin", 15, 35_000)


@pytest.mark.parametrize("words", ["minus five degrees", "negative five degrees", "-5 °C", "minus 5 degrees"])
def test_a_limit_below_zero_stays_below_zero(words: str) -> None:
    reading = english().parse(f"turn on pin 4 below {words}")
    assert reading is not None
    assert (reading.kind, reading.number("milli")) == ("threshold", -5000)


@pytest.mark.parametrize("text", ["five " + "hundred " * 200, "hundred thousand million " * 1500, "x" * 301])
def test_what_is_too_long_is_not_read(text: str) -> None:
    assert len(text) > MAX_SENTENCE_CHARS
    assert english().parse(text) is None
