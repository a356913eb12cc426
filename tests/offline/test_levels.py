"""Pins with a level each: read only where every word is known."""

from __future__ import annotations

import pytest

from microclaw.language.numbers import tag_numbers
from microclaw.offline.parse import Parse, Values
from microclaw.offline.sentences import levels_of


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("turn pin 4 on and pin 5 off", {"pin": 4, "level": 1, "pin_2": 5, "level_2": 0}),
        ("set 4 and 5 low and 6 high", {"pin": 4, "level": 0, "pin_2": 5, "level_2": 0, "pin_3": 6, "level_3": 1}),
        ("switch on pin 12 and switch off pin 13", {"pin": 12, "level": 1, "pin_2": 13, "level_2": 0}),
        ("pin 6 high, pin 14 low", {"pin": 6, "level": 1, "pin_2": 14, "level_2": 0}),
    ],
)
def test_each_pin_gets_its_own_level(text: str, values: Values) -> None:
    assert levels_of(tag_numbers(text)) == Parse("set_pin", values)


@pytest.mark.parametrize(
    "text",
    ["turn on pin 4", "pin 4 on and pin 4 off", "pin 4 on, pin 5 off and 6", "is pin 4 on and pin 5 off?",
     "pin 4 on and pin 5 ready", "pin 4 on and pin 5 off at 3 V",
     "don't turn pin 4 on and pin 5 off", "on and off", ""],
)  # fmt: skip
def test_anything_else_is_left_to_others(text: str) -> None:
    assert levels_of(tag_numbers(text)) is None
