"""Board profiles: what they must say, and that bad ones are refused."""

from __future__ import annotations

import pytest

from microclaw.errors import ConfigError
from microclaw.hardware.boards import board_ids, load_board
from microclaw.hardware.boards.reader import parse_board

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
def test_each_fact_names_its_source_and_led_and_i2c_pins_can_do_what_they_are_for(board_id: str) -> None:
    board = load_board(board_id)
    if board.led is not None:
        pin = board.pins[board.led.pin]
        assert {"output", "pwm"} <= pin.uses
        assert pin.reserved is None
        assert (board.led.kind == "addressable") == (pin.caution is not None)
    assert board.i2c is not None
    for pin in (board.pins[board.i2c.sda], board.pins[board.i2c.scl]):
        assert "i2c" in pin.uses
        assert pin.reserved is None
    assert board.board_id == board_id
    assert all(pin.source for pin in board.pins.values())
    assert board.firmware.source
    assert (board.led is None) == (board.no_led is not None)
    assert board.led.source if board.led is not None else board.no_led_source
    assert board.i2c.source
    assert board.power_cut.endswith(".")


# Of each chip: its pins, those that are reserved on its development board, those of ADC1, and those with a caution.
REFERENCE = {
    "esp32-s3-devkitc-1-v1.0": (
        {*range(22), *range(26, 49)},
        {19, 20, *range(26, 38), 43, 44},
        set(range(1, 11)),
        {0, 3, 45, 46, 48},
    ),
    "esp32-devkitc-v4": (
        {*range(0, 20), *range(21, 24), *range(25, 28), *range(32, 40)},
        {1, 3, *range(6, 12)},
        set(range(32, 40)),
        {0, 2, 5, 12, 15, *range(34, 40)},
    ),
    "esp32-c3-devkitm-1": (set(range(22)), set(range(11, 22)), set(range(5)), {2, 8, 9}),
    "esp32-c6-devkitc-1": (
        set(range(31)),
        {12, 13, 16, 17, *range(24, 31)},
        set(range(7)),
        {4, 5, 8, 9, 14, 15},
    ),
}


@pytest.mark.parametrize("board_id", REFERENCE)
def test_pins_are_those_of_the_chips_gpio_reference(board_id: str) -> None:
    pins, reserved, adc, cautions = REFERENCE[board_id]
    found = load_board(board_id).pins
    assert set(found) == pins
    assert {n for n, pin in found.items() if pin.reserved} == reserved
    assert {n for n, pin in found.items() if "adc" in pin.uses} == adc
    assert cautions <= {n for n, pin in found.items() if pin.caution}


@pytest.mark.parametrize(
    "rows",
    [
        'gpio = ["1"]\nuses = ["fly"]\nsource = "s"',
        'gpio = ["5-2"]\nuses = ["adc"]\nsource = "s"',
        'gpio = ["1"]\nuses = ["adc"]',
        'gpio = ["1"]\nnote = "x"\nsource = "s"',
        "gpio = [",
    ],
)
def test_wrong_profile_is_refused_with_the_field(rows: str) -> None:
    with pytest.raises(ConfigError):
        parse_board("mine", f"{MINIMAL}\n[[pins]]\n{rows}\n")
