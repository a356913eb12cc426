"""The values of a labelled sentence: every number has its place, and one left over means that nothing is read."""

from __future__ import annotations

import pytest

from microclaw.language.numbers import tag_numbers
from microclaw.offline.slot_filling import Kind, SlotInput, values_of


def read(label: str, text: str, *roles: str | None, words: str = "", **answers: str) -> Kind | None:
    said = tag_numbers(text)
    numbers = list(zip(said.numbers, roles, strict=True))
    return values_of(label, SlotInput(said.text, numbers, answers, frozenset(words.split())))


@pytest.mark.parametrize(
    ("kind", "found"),
    [
        (("set_pin", {"level": 1, "pin": 12}), read("on", "stick 12 on", "pin")),
        (("set_pin", {"level": 0, "pin": 4, "pin_2": 5}), read("off", "kill 4 and 5", "pin", "pin")),
        (("set_pin", {"level": 1, "thing": "led"}), read("on", "wake the little light", thing="led")),
        (("set_pin", {"level": 1, "pin": 4}), read("on", "write 1 to pin 4", "level", "pin")),
        (("dim_pin", {"pin": 18, "milli": 75_000}), read("dim", "push 18 up to 75", "pin", "percent")),
        (("dim_pin", {"pin": 5, "milli": 75_000}), read("dim", "three quarters on pin 5", None, "pin")),
        (("dim_pin", {"thing": "led", "milli": 50_000}), read("dim", "half on the led", thing="led", words="half")),
        (("dim_pin", {"pin": 5}), read("dim", "dim pin 5 by 20 percent", "pin", None)),
        (("pulse", {"pin": 14, "ms": 10_000}), read("pulse", "open 14 for ten seconds", "pin", "lasting")),
        (("blink_times", {"pin": 4, "times": 3}), read("times", "flash 4 three times", "pin", None)),
        (("blink_times", {"pin": 4, "for_ms": 9000}), read("times", "flash 4 for 9 s", "pin", "lasting")),
        (("blink", {"pin": 2, "ms": 2000}), read("blink", "2 s on, 2 s off on pin 2", None, None, "pin")),
        (("blink", {"pin": 2, "period_ms": 500}), read("blink", "pin 2 at 2 Hz", "pin", None)),
        (("blink", {"thing": "led", "speed": "slow"}), read("blink", "wink lazily", thing="led", speed="slow")),
        (
            ("threshold", {"pin": 5, "quantity": "temperature", "milli": 30_000, "side": "above"}),
            read("rule", "hits 30: 5 on", "limit", "pin", quantity="temperature", side="above", level="1"),
        ),
        (
            ("threshold", {"pin": 5, "quantity": "temperature", "milli": 30_000, "side": "above", "level": 0}),
            read("rule", "over 30: 5 off", "limit", "pin", quantity="temperature", side="above", level="0"),
        ),
        (
            (
                "threshold_pulse",
                {"pin": 6, "quantity": "humidity", "milli": 40_000, "unit": "percent", "side": "below", "ms": 5000},
            ),
            read("rule", "6 for 5 s under 40%", "pin", "lasting", None, quantity="humidity", side="below", level="1"),
        ),
        (
            (
                "thermostat",
                {"pin": 17, "milli": 22_000, "unit": "degrees", "quantity": "temperature", "heats": "heater"},
            ),
            read("thermostat", "22 degrees by 17", None, "pin", quantity="temperature", words="heater load"),
        ),
        (("button", {"pin": 2, "button_pin": 7}), read("button", "7 lights 2", "button", "pin")),
        (("traffic_light", {"pin": 4, "pin_2": 5, "pin_3": 6}), read("traffic", "4 5 6", "pin", "pin", "pin")),
        (
            ("traffic_light", {"pin": 4, "pin_2": 5, "pin_3": 6}),
            read("traffic", "green on 6, red on 4, amber on 5", "pin", "pin", "pin"),
        ),
        (
            ("read_sensor_every", {"quantity": "humidity", "ms": 60_000}),
            read("log", "each minute", None, quantity="humidity"),
        ),
        (
            ("read_sensor", {"quantity": "humidity", "quantity_2": "pressure"}),
            read("sensor", "both", quantity="humidity", quantity_2="pressure"),
        ),
        (("remove_app", {"app": ""}), read("stop", "stop it", what="it")),
        (("remove_on_pin", {"pin": 5}), read("stop", "whatever runs on 5", "pin")),
        (("remove_all", {}), read("stop", "everything", what="all")),
        (("device_status", {"field": "heap"}), read("fact", "memory?", field="heap")),
        (("blink", {"several": True}), read("blink", "blink 4 and 5", "pin", "pin")),
    ],
)  # fmt: skip
def test_values_are_read(kind: Kind, found: Kind | None) -> None:
    assert found == kind


@pytest.mark.parametrize(
    "found",
    [
        read("on", "turn on pin 4 with 12 V", "pin", None),
        read("on", "turn on pin 4 at 7", "pin", "none"),
        read("on", "pin -1 on", "pin"),
        read("on", "pin 4.5 on", "pin"),
        read("dim", "pin 5 to 30% then 60%", "pin", None, None),
        read("pulse", "pin 4 for 5 s each 10 s", "pin", "lasting", None),
        read("times", "4 3 times 2 times", "pin", None, None),
        read("blink", "2 s on, 1 s off on pin 2", None, None, "pin"),
        read("rule", "between 20 and 30: 5", "limit", "limit", "pin", quantity="temperature", side="above", level="1"),
        read("rule", "over 30: 5", "limit", "pin", side="above", level="1"),
        read("rule", "30: 5", "limit", "pin", quantity="temperature", level="1"),
        read("blink", "blink pin 4 ten seconds", "pin", "pace"),
        read("traffic", "4 and 5", "pin", "pin"),
        read("traffic", "red 4, red 5, green 6", "pin", "pin", "pin"),
        read("log", "each minute", None, quantity="humidity", quantity_2="pressure"),
        read("told", "anything"),
    ],
)
def test_what_does_not_fit_is_not_read(found: Kind | None) -> None:
    assert found is None


def test_once_it_is_warm_is_no_count() -> None:
    found = read(
        "rule", "once it is over 30: 5 on", None, "limit", "pin", quantity="temperature", side="above", level="1"
    )
    assert found is not None
