"""The board's own addressable LED: a program for it is not warned of its pin, one that sets a level is."""

from __future__ import annotations

import pytest
from tests.programs.py.conftest import Build

from microclaw.hardware.boards.reader import load_board

BOARD = load_board("esp32-s3-devkitc-1-v1.1")


@pytest.mark.parametrize(
    ("source", "warned"),
    [
        ("from machine import Pin\nfrom neopixel import NeoPixel\nNeoPixel(Pin(38), 1).write()\n", False),
        ("from microclaw import neopixel\nneopixel(38).fill('red')\n", False),
        ("from machine import Pin\nPin(38, Pin.OUT, value=1)\n", True),
    ],
)
async def test_only_a_level_on_the_leds_pin_is_warned_of(build_py: Build, source: str, warned: bool) -> None:
    image = await build_py(source, board=BOARD)
    assert any("WS2812" in str(warning) for warning in image.warnings) is warned
