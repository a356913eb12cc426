"""Arguments of a call that are wrong are told as sentences."""

from __future__ import annotations

from typing import Any

import pytest

from microclaw.devices import calls
from microclaw.devices.call_text import arguments_from_words, call_from, call_words
from microclaw.devices.calls import Call
from microclaw.errors import ConfigError


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["x"], "pin of gpio.set is a whole number, not 'x'"),
        (["2", "high"], "level of gpio.set is a whole number, not 'high'"),
        (["pin=2", "level=1.5"], "level of gpio.set is a whole number, not '1.5'"),
    ],
)
def test_a_wrong_argument_says_what_it_should_be(words: list[str], sentence: str) -> None:
    with pytest.raises(ConfigError) as refused:
        arguments_from_words("gpio.set", words)
    assert refused.value.message == sentence


def test_a_wrong_value_of_a_request_says_what_it_should_be() -> None:
    with pytest.raises(ConfigError):
        call_from("gpio.set", {"pin": 2, "level": True})


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (calls.GpioSet(2, 1), "set pin 2 of lamp high"),
        (calls.PwmSet(5, 51), "set PWM on pin 5 of lamp to 20 % (duty 51 of 255)"),
        (calls.PwmSet(5, 1, 2_000), "set PWM on pin 5 of lamp to about 0 % at 2,000 Hz (duty 1 of 255)"),
        (calls.DeviceRestart(), "restart lamp"),
        (calls.AppStart("blink"), "start blink on lamp"),
        (calls.AppStop("blink"), "stop blink on lamp"),
        (calls.AppUndo("blink"), "go back to the earlier blink on lamp"),
        (calls.I2cScan(), "i2c.scan on lamp"),
    ],
)
def test_a_call_is_asked_in_words(call: Call[Any], words: str) -> None:
    assert call_words(call, "lamp") == words
