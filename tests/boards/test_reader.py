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


S3 = [board_id for board_id in board_ids() if load_board(board_id).chip == "ESP32-S3"]


def test_every_board_of_the_list_has_a_profile() -> None:
    assert board_ids() == (
        "esp32-c3-devkitm-1",
        "esp32-c6-devkitc-1",
        "esp32-devkitc-v4",
        "esp32-s3-devkitc-1-v1.0",
        "esp32-s3-devkitc-1-v1.1",
        "esp32-s3-touch-lcd-1.85c",
        "virtual",
        "xiao-esp32s3",
    )


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


@pytest.mark.parametrize("board_id", S3)
def test_flash_psram_and_usb_pins_are_reserved_on_every_s3(board_id: str) -> None:
    pins = load_board(board_id).pins
    assert {19, 20, *range(26, 38)} <= {n for n, pin in pins.items() if pin.reserved}
    assert not set(range(22, 26)) & set(pins)
    assert max(pins) == 48
    assert {n for n, pin in pins.items() if "adc" in pin.uses} == set(range(1, 11))
    assert all(pins[n].caution for n in (0, 3, 45, 46))


@pytest.mark.parametrize("board_id", ["virtual", "esp32-s3-devkitc-1-v1.0", "esp32-s3-devkitc-1-v1.1"])
def test_an_s3_board_reserves_nothing_but_flash_psram_usb_and_console(board_id: str) -> None:
    pins = load_board(board_id).pins
    assert {n for n, pin in pins.items() if pin.reserved} == {19, 20, *range(26, 38), 43, 44}


def test_esp32_pins_are_those_of_the_gpio_reference() -> None:
    pins = load_board("esp32-devkitc-v4").pins
    assert set(pins) == {*range(0, 20), *range(21, 24), *range(25, 28), *range(32, 40)}
    assert {n for n, pin in pins.items() if pin.reserved} == {1, 3, *range(6, 12)}
    assert {n for n, pin in pins.items() if not pin.uses & {"output", "pwm", "i2c"}} == set(range(34, 40))
    assert {n for n, pin in pins.items() if "adc" in pin.uses} == set(range(32, 40))
    assert all(pins[n].caution for n in (0, 2, 5, 12, 15, *range(34, 40)))
    assert pins[4].caution is None


def test_c3_pins_are_those_of_the_gpio_reference() -> None:
    pins = load_board("esp32-c3-devkitm-1").pins
    assert set(pins) == set(range(22))
    assert {n for n, pin in pins.items() if pin.reserved} == set(range(11, 22))
    assert {n for n, pin in pins.items() if "adc" in pin.uses} == set(range(5))
    assert {n for n, pin in pins.items() if pin.caution} == {2, 8, 9}


def test_c6_pins_are_those_of_the_gpio_reference() -> None:
    pins = load_board("esp32-c6-devkitc-1").pins
    assert set(pins) == set(range(31))
    assert {n for n, pin in pins.items() if pin.reserved} == {12, 13, 16, 17, *range(24, 31)}
    assert {n for n, pin in pins.items() if "adc" in pin.uses} == set(range(7))
    assert {n for n, pin in pins.items() if pin.caution} == {4, 5, 8, 9, 14, 15}
    assert not pins[14].uses


@pytest.mark.parametrize(
    ("board_id", "led"),
    [
        ("virtual", (2, "simple", 1)),
        ("xiao-esp32s3", (21, "simple", 0)),
        ("esp32-s3-devkitc-1-v1.0", (48, "addressable", 1)),
        ("esp32-s3-devkitc-1-v1.1", (38, "addressable", 1)),
        ("esp32-c3-devkitm-1", (8, "addressable", 1)),
        ("esp32-c6-devkitc-1", (8, "addressable", 1)),
        ("esp32-devkitc-v4", None),
        ("esp32-s3-touch-lcd-1.85c", None),
    ],
)
def test_each_board_has_its_led_or_says_why_not(board_id: str, led: tuple[int, str, int] | None) -> None:
    board = load_board(board_id)
    if led is None:
        assert board.led is None
        assert board.no_led
    else:
        assert board.led is not None
        assert (board.led.pin, board.led.kind, board.led.active_level) == led
        assert ("WS2812" in (board.pins[led[0]].caution or "")) == (led[1] == "addressable")


def test_display_board_keeps_its_chips_pins_to_itself() -> None:
    board = load_board("esp32-s3-touch-lcd-1.85c")
    assert board.free_pins("output") == (1, 12, 13)
    assert {n for n, pin in board.pins.items() if pin.reserved == "the display"} == {18, 21, 40, 41, 42, 45, 46}


@pytest.mark.parametrize("board_id", board_ids())
def test_board_without_a_stock_build_says_so(board_id: str) -> None:
    lacks = {"esp32-c3-devkitm-1": "no build for the ESP32-C3", "esp32-devkitc-v4": "expects PSRAM"}
    said = load_board(board_id).firmware.no_stock_build
    assert (said is not None) == (board_id in lacks)
    assert lacks.get(board_id, "") in (said or "")


def test_virtual_board_has_two_sensors() -> None:
    board = load_board("virtual")
    assert board.i2c is not None
    assert dict(board.i2c.sensors) == {"bme280": 0x76, "ina219": 0x40}
    assert board.firmware.max_apps == 3


def test_unknown_board_lists_the_known_ones() -> None:
    with pytest.raises(UnknownName) as caught:
        load_board("virtul")
    assert caught.value.next_step is not None
    assert "esp32-s3-devkitc-1-v1.1" in caught.value.next_step


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


def test_a_voice_device_has_a_profile_without_pins_that_is_no_board_of_the_list() -> None:
    board = load_board("voice")
    assert board.pins == {}
    assert board.free_pins("output") == ()
    assert board.firmware.max_apps == 0
    assert "voice" not in board_ids()
