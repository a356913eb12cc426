"""Pins with a name and programs, as MQTT and Home Assistant have them."""

from __future__ import annotations

from msgspec.structs import replace

from microclaw.hardware.boards import load_board
from microclaw.interfaces.mqtt.host_devices import named_pins


def test_pins_with_a_name_are_the_led_and_those_that_a_label_names() -> None:
    board = load_board("virtual")
    assert board.pins[33].reserved
    assert board.led is not None
    labels = ("room=kitchen", "pin-5=lamp", "pin-6=fan.2", "indoor")
    assert named_pins(board, labels) == {"led": (2, 1), "lamp": (5, 1), "fan.2": (6, 1)}
    for nothing in ("pin-33=x", "pin-999=y", "pin-=z", "pin-4", "pin-5=led"):
        assert named_pins(board, (nothing,)) == {"led": (2, 1)}
    for led, found in (
        (replace(board.led, active_level=0), {"led": (2, 0)}),
        (replace(board.led, kind="addressable"), {}),
    ):
        assert named_pins(replace(board, led=led), ()) == found
