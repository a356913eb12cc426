"""Names of pins: what is told, what is not, and what a sentence becomes with them."""

from __future__ import annotations

import pytest

from microclaw.boards.reader import load_board
from microclaw.models.protocol import DeviceContext, KnownApp, KnownDevice, NamedPin
from microclaw.offline.names import asked_name, named_pins, names_to_pins, told_name

FACTS = (
    "# What to remember",
    "- the fan is on pin 10",
    "- the fan is on pin 11",
    "- my button is on GPIO 4",
    "- the kitchen lamp is on pin 6",
    "- the valve is on pin 7 of desk",
    "- the dog is called Rex",
)
HERE = KnownDevice("virtual-1", load_board("virtual"), (KnownApp("waterfall", (12,)),))
DESK = KnownDevice("desk", load_board("virtual"))
KNOWN = DeviceContext((HERE, DESK), HERE, named_pins(FACTS))


@pytest.mark.parametrize(
    ("said", "name", "pin"),
    [
        ("the fan is on pin 11", "fan", 11),
        ("My grow light is connected to GPIO 7.", "grow light", 7),
        ("pin 9 is the pump", "pump", 9),
        ("call pin 9 the water pump", "water pump", 9),
        ("Fan is on pin eleven", "fan", 11),
    ],
)
def test_a_told_name_is_known(said: str, name: str, pin: int) -> None:
    assert told_name(said) == NamedPin(name, pin)


@pytest.mark.parametrize(
    "said",
    [
        "is the fan on pin 11?",
        "the fan is on pin 11?",
        "what is on pin 4",
        "it is on pin 4",
        "the led is not on pin 4",
        "pin 4 is high",
        "the fan and the pump are on pin 4",
        "stop whatever is on pin 5",
        "turn on the led on pin 4",
        "if the fan is on pin 4",
    ],
)
def test_what_tells_no_name_is_none(said: str) -> None:
    assert told_name(said) is None


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("turn on the fan", "turn on pin 11"),
        ("is the fan on?", "is pin 11 on?"),
        ("dim the kitchen lamp to 30%", "dim pin 6 to 30%"),
        ("turn on the fan on pin 3", "turn on the fan on pin 3"),
        ("turn on the fans", "turn on the fans"),
        (
            "hold the temperature at 22 degrees with the fan",
            "hold the temperature at 22 degrees with the fan on pin 11",
        ),
        ("turn on the fan when the button is pressed", "turn on pin 11 when the button on pin 4 is pressed"),
        ("start the fan", "turn on pin 11"),
        ("stop the fan", "turn off pin 11"),
        ("start pin 5", "start pin 5"),
    ],
)
def test_a_name_becomes_its_pin(said: str, meant: str) -> None:
    assert names_to_pins(said, KNOWN, None) == (meant, None)


def test_a_name_that_was_told_with_its_device_brings_the_device() -> None:
    assert names_to_pins("turn on the valve", KNOWN, None) == ("turn on pin 7", DESK)


def test_the_name_of_a_program_stays_the_program() -> None:
    known = DeviceContext((HERE,), HERE, named_pins(["the waterfall is on pin 5"]))
    assert names_to_pins("stop the waterfall", known, None) == ("stop the waterfall", None)


def test_where_a_name_is_comes_from_what_was_told() -> None:
    assert asked_name("which pin is the fan on?", KNOWN) == NamedPin("fan", 11)
    assert asked_name("which pin is the lamp on?", KNOWN) is None
