"""Sentences that no template has, understood by the nearest that is known."""

from __future__ import annotations

import pytest

from microclaw.language.numbers import tag_numbers
from microclaw.offline.parse import Parse
from microclaw.offline.sentences import english, near_sentences

UNDERSTOOD = [
    ("the relay is on pin 10, switch it on", "set_pin", {"pin": 10, "level": 1}),
    ("turn pin 4 on and pin 5 off", "set_pin", {"pin": 4, "level": 1, "pin_2": 5, "level_2": 0}),
    ("change pin 4 to the opposite", "toggle_pin", {"pin": 4}),
    ("run the fan on gpio 11 at half speed", "dim_pin", {"pin": 11, "milli": 50_000}),
    ("blink twice with the led", "blink_times", {"thing": "led", "times": 2}),
    ("run a 5 Hz square wave on gpio 16", "blink", {"pin": 16, "period_ms": 200}),
    ("when someone presses the switch on pin 10, light the led on pin 11", "button", {"button_pin": 10, "pin": 11}),
    ("cool with the fan on pin 6 if it exceeds 27 degrees", "threshold", {"pin": 6, "milli": 27_000, "side": "above"}),
    ("the heater is at pin 12, keep 19 degrees please", "thermostat", {"pin": 12, "milli": 19_000, "heats": "heater"}),
    ("show me the pressure every 5 sec", "read_sensor_every", {"quantity": "pressure", "ms": 5000}),
    ("how damp is the air", "read_sensor", {"quantity": "humidity"}),
    ("is somebody pressing the button on pin 6", "read_pin", {"pin": 6}),
    ("analog value of gpio 7 please", "read_adc", {"pin": 7}),
    ("since when is the board running", "device_status", {"field": "uptime"}),
    ("how much free memory", "device_status", {"field": "heap"}),
    ("you can take the fade program off the board", "remove_app", {"app": "fade"}),
]


def _reading(sentence: str) -> Parse | None:
    return english().parse_anew(sentence)


@pytest.mark.parametrize(("sentence", "kind", "values"), UNDERSTOOD)
def test_words_are_understood_in_any_order(sentence: str, kind: str, values: dict[str, object]) -> None:
    reading = _reading(sentence)
    assert reading is not None
    assert (reading.kind, {name: reading.values.get(name) for name in values}) == (kind, values)


def test_so_much_less_is_no_brightness() -> None:
    reading = _reading("dim the led by 20 percent")
    assert reading is None or reading.number("milli") is None


def test_either_of_two_pins_is_none() -> None:
    reading = _reading("turn on either pin 10 or pin 11")
    assert reading is None or reading.number("pin") is None


@pytest.mark.parametrize("sentence", ["dont blink anymore", "please don't blink any more", "do not fade any longer!"])
def test_no_more_of_something_means_that_it_stops(sentence: str) -> None:
    reading = _reading(sentence)
    assert reading is not None
    assert reading.kind == "remove_app"


def test_each_nearest_sentence_is_a_template_with_the_same_numbers() -> None:
    sentences = english()
    for meant, said in near_sentences().items():
        parse = sentences.parse(meant)
        assert parse is not None
        assert not parse.loose, meant
        assert all(tag_numbers(one).units == tag_numbers(meant).units for one in said), meant
