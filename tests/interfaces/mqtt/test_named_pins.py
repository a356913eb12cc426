"""Pins with a name and programs, as MQTT and Home Assistant have them."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec.structs import replace

from microclaw.devices.registry.device import Device
from microclaw.devices.registry.device_entry import with_labels, with_wired_labels
from microclaw.hardware.boards import load_board
from microclaw.hardware.boards.profile import BoardProfile
from microclaw.hardware.parts.named_parts import SwitchedPin
from microclaw.hardware.parts.wiring import read_wiring, wiring_tables
from microclaw.host.store.devices import DeviceRow
from microclaw.interfaces.mqtt.host_devices import named_pins

LED = SwitchedPin("led", 2, 1)


def _named(board: BoardProfile, *labels: str) -> Mapping[str, SwitchedPin]:
    row = with_wired_labels(DeviceRow("d1", "desk", "virtual", labels=labels), board)
    return named_pins(Device(row, board, ()))


def test_pins_with_a_name_are_the_led_and_those_of_parts_that_a_pin_switches() -> None:
    board = load_board("virtual")
    assert board.pins[33].reserved
    assert board.led is not None
    assert _named(board, "room=kitchen", "pin-5=lamp", "pin-6=fan.2", "indoor") == {
        "led": LED,
        "lamp": SwitchedPin("lamp", 5, 1, "lamp"),
        "fan-2": SwitchedPin("fan-2", 6, 1, "fan.2"),
    }
    for nothing in ("pin-33=x", "pin-999=y", "pin-4", "pin-5=led", "pin-5=button"):
        assert _named(board, nothing) == {"led": LED}
    assert _named(replace(board, led=replace(board.led, active_level=0))) == {"led": SwitchedPin("led", 2, 0)}
    assert _named(replace(board, led=replace(board.led, kind="addressable"))) == {}


def test_a_switch_has_the_polarity_of_its_part() -> None:
    board = load_board("virtual")
    row = with_labels(DeviceRow("d1", "desk", "virtual"), ["pin-5=lamp"], board)
    tables = wiring_tables(read_wiring(row.wiring))
    tables["lamp"]["active"] = "low"
    device = Device(replace(row, wiring=tables), board, ())
    assert named_pins(device)["lamp"] == SwitchedPin("lamp", 5, 0, "lamp")
