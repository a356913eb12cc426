"""Arguments of a call that are wrong are told as sentences."""

from __future__ import annotations

import pytest

from microclaw.devices.call_text import arguments_from_words, call_from
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
    assert refused.value.next_step == "the form is: gpio.set pin=... level=..."


def test_a_wrong_value_of_a_request_says_what_it_should_be() -> None:
    with pytest.raises(ConfigError, match=r"level of gpio\.set is a whole number, not True"):
        call_from("gpio.set", {"pin": 2, "level": True})
