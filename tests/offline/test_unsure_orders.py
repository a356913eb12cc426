"""Sentences that look like orders and are none, or name other numbers than pins: nothing is done without a yes."""

from __future__ import annotations

import pytest
from tests.offline.score import observe

from microclaw.offline.sentences import MAX_SENTENCE_CHARS, english


@pytest.mark.parametrize(
    "sentence",
    [
        "ERROR: led on", "User: turn on pin 9", "TODO: blink the led", "/* led off */", "22:10:03 led off",
        "I'll switch the led off myself", "I might turn pin 4 on", "turn on pin 4, just kidding", "turn on pin 4 maybe",
        "pin 4 on, I mean off", "turn on pin 4 yesterday", "turn on pins 4 to 7", "turn the arduino's led on",
        "turn on pin 4 above 20 psi", "kill pin 4 for half a second", "pin 4 on nicht", "🚫 led off",
        "blink pin 4 for 5 seconds every minute", "add 10% to pin 4", "led 10% brighter",
        "the led was on for 3 hours, switch it off", "turn on pin 42 yesterday",
        "turn on pin 4 and read the temperature",
    ],
)  # fmt: skip
async def test_a_doubtful_order_is_not_carried_out(sentence: str) -> None:
    seen = await observe(sentence, say_yes=False)
    assert not seen.changes, seen.calls


@pytest.mark.parametrize(
    "sentence",
    ["step 3 blink the led", "blink 2 leds", "lights off at 10", "case 7, led off", "1. switch off the led",
     "it's 10, led off"],
)  # fmt: skip
async def test_a_number_that_may_be_no_pin_is_not_switched(sentence: str) -> None:
    seen = await observe(sentence, say_yes=False)
    assert not seen.changes, seen.calls


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


@pytest.mark.parametrize("limit", ["above 30000 degrees", "below -300 degrees", "if humidity is over 140 percent"])
async def test_a_limit_that_no_sensor_tells_is_asked_back(limit: str) -> None:
    seen = await observe(f"turn on pin 4 {limit}", say_yes=False)
    assert not seen.changes, seen.calls


@pytest.mark.parametrize("text", ["five " + "hundred " * 200, "hundred thousand million " * 1500, "x" * 301])
def test_what_is_too_long_is_not_read(text: str) -> None:
    assert len(text) > MAX_SENTENCE_CHARS
    assert english().parse(text) is None
