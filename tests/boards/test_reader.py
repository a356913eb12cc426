"""Board profiles: what they must say, and that bad ones are refused."""

from __future__ import annotations

import pytest

from microclaw.boards import board_ids, load_board
from microclaw.boards.reader import parse_board
from microclaw.errors import ConfigError, UnknownName

MINIMAL = """
title = "t"
chip = "c"
flash_mb = 4
psram_mb = 0
power_cut = "p"
[firmware]
native_groups = []
device_nodes = []
attribute_generation = "new"
max_apps = 1
app_heap_bytes = 1
max_module_bytes = 1
max_memory_bytes = 1
apps_survive_reset = false
"""


@pytest.mark.parametrize("board_id", board_ids())
def test_each_fact_names_its_source(board_id: str) -> None:
    board = load_board(board_id)
    assert board.board_id == board_id
    assert all(pin.source for pin in board.pins.values())
    assert board.firmware.source
    assert board.led is not None
    assert board.led.source
    assert board.i2c is None or board.i2c.source
    assert board.power_cut.endswith(".")


@pytest.mark.parametrize("board_id", board_ids())
def test_flash_psram_usb_and_console_pins_are_reserved_on_every_s3(board_id: str) -> None:
    pins = load_board(board_id).pins
    assert {n for n, pin in pins.items() if pin.reserved} == {19, 20, *range(26, 38), 43, 44}
    assert not set(range(22, 26)) & set(pins)
    assert {n for n, pin in pins.items() if "adc" in pin.uses} == set(range(1, 11))
    assert all(pins[n].caution for n in (0, 3, 45, 46))


@pytest.mark.parametrize(("board_id", "pin"), [("esp32-s3-devkitc-1-v1.0", 48), ("esp32-s3-devkitc-1-v1.1", 38)])
def test_devkit_led_is_addressable_and_moved_between_versions(board_id: str, pin: int) -> None:
    led = load_board(board_id).led
    assert led is not None
    assert (led.pin, led.kind) == (pin, "addressable")
    assert load_board(board_id).pins[pin].caution


def test_virtual_board_has_a_plain_led_and_two_sensors() -> None:
    board = load_board("virtual")
    assert board.led is not None
    assert (board.led.pin, board.led.kind) == (2, "simple")
    assert board.i2c is not None
    assert dict(board.i2c.sensors) == {"bme280": 0x76, "ina219": 0x40}
    assert board.firmware.max_apps == 3


def test_unknown_board_lists_the_known_ones() -> None:
    with pytest.raises(UnknownName, match="virtul") as caught:
        load_board("virtul")
    assert caught.value.next_step is not None
    assert "did you mean virtual?" in caught.value.next_step
    assert "esp32-s3-devkitc-1-v1.1" in caught.value.next_step


@pytest.mark.parametrize(
    ("rows", "reason"),
    [
        ('gpio = ["1"]\nuses = ["fly"]\nsource = "s"', "unknown use 'fly'"),
        ('gpio = ["5-2"]\nuses = ["adc"]\nsource = "s"', "bad GPIO range '5-2'"),
        ('gpio = ["1"]\nuses = ["adc"]', "names no source"),
        ('gpio = ["1"]\nnote = "x"\nsource = "s"', "unknown field 'note'"),
        ("gpio = [", "TOMLDecodeError"),
    ],
)
def test_wrong_profile_is_refused_with_the_field(rows: str, reason: str) -> None:
    with pytest.raises(ConfigError, match=reason):
        parse_board("mine", f"{MINIMAL}\n[[pins]]\n{rows}\n")
