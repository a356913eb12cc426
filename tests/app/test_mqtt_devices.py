"""Pins with a name, as MQTT and Home Assistant have them."""

from __future__ import annotations

from dataclasses import replace

from microclaw.app.mqtt_devices import named_pins
from microclaw.boards import load_board


def test_pins_with_a_name_are_the_led_and_those_that_a_label_names() -> None:
    board = load_board("virtual")
    labels = ("room=kitchen", "pin-5=lamp", "pin-6=fan.2", "indoor")
    assert named_pins(board, labels) == {"led": (2, 1), "lamp": (5, 1), "fan.2": (6, 1)}


def test_label_of_a_pin_that_is_reserved_or_not_there_names_nothing() -> None:
    board = load_board("virtual")
    assert board.pins[33].reserved
    assert named_pins(board, ("pin-33=x", "pin-999=y", "pin-=z", "pin-4")) == {"led": (2, 1)}


def test_label_takes_no_other_pin_s_name_and_an_addressable_led_is_no_switch() -> None:
    board = load_board("virtual")
    assert named_pins(board, ("pin-5=led",)) == {"led": (2, 1)}
    assert board.led is not None
    low = replace(board, led=replace(board.led, active_level=0))
    assert named_pins(low, ()) == {"led": (2, 0)}
    assert named_pins(replace(board, led=replace(board.led, kind="addressable")), ()) == {}
