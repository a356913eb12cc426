"""What is read although more is said: remarks, addresses, names with adjectives, lists of levels, beats per minute."""

from __future__ import annotations

import pytest

from microclaw.offline.parse import Parse
from microclaw.offline.sentences import english

READ: dict[str, tuple[str, dict[str, int | str | bool]]] = {
    "Switch the led on, sweetheart": ("set_pin", {"thing": "led", "level": 1}),
    "Print the temperature every 20 seconds from now on": (
        "read_sensor_every",
        {"quantity": "temperature", "ms": 20_000},
    ),
    "what's the air pressure this morning": ("read_sensor", {"quantity": "pressure"}),
    "Is pin 4 high? I can't tell from over here": ("read_pin", {"pin": 4}),
    "blink the led every second without stopping": ("blink", {"thing": "led", "ms": 1000}),
    "remove the thermostat, winter is over": ("remove_app", {"app": "thermostat"}),
    "the shop is open, turn the sign on pin 18 on": ("set_pin", {"level": 1, "pin": 18}),
    "I'm ready, turn on pin 4": ("set_pin", {"pin": 4, "level": 1}),
    "I need a status lamp, blink the led every second": ("blink", {"thing": "led", "ms": 1000}),
    "make the closed sign on pin 18 blink every second": ("blink", {"pin": 18, "ms": 1000}),
    "switch on the low beam on pin 12": ("set_pin", {"level": 1, "pin": 12}),
    "give me one single 100 ms pulse on pin 9": ("pulse", {"pin": 9, "ms": 100}),
    "set 4 and 5 low and 6 high": (
        "set_pin",
        {"pin": 4, "pin_2": 5, "pin_3": 6, "level": 0, "level_2": 0, "level_3": 1},
    ),
    "flash pin 9 at 60 beats a minute": ("blink", {"pin": 9, "period_ms": 1000}),
    "how humid and how warm is it": ("read_sensor", {"quantity": "humidity", "quantity_2": "temperature"}),
    "how many volts is the slider on pin 5 giving": ("read_adc", {"pin": 5}),
    "scan i2c, anyone answering?": ("scan_i2c", {}),
    "which boards are you taking care of": ("list_devices", {}),
    "quick traffic light demo on 4, 5 and 6": ("traffic_light", {"pin": 4, "pin_2": 5, "pin_3": 6}),
    "make the led breathe slowly, like an old steam engine": ("fade", {"thing": "led", "speed": "slow"}),
}


@pytest.mark.parametrize("sentence", READ)
def test_what_is_said_beside_the_order_changes_nothing(sentence: str) -> None:
    found = english().parse(sentence)
    kind, values = READ[sentence]
    assert found is not None
    assert Parse(found.kind, dict(found.values)) == Parse(kind, values)
