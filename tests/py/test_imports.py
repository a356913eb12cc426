"""What was meant by a name that nothing defines, and what is said of a pin that is no number."""

from __future__ import annotations

import pytest
from tests.py.conftest import Build

from microclaw.boards.reader import load_board
from microclaw.errors import BuildError, Diagnostic

PIN = "from machine import Pin\n"


async def refused(build_py: Build, source: str, board: str = "esp32-devkitc-v4") -> Diagnostic:
    with pytest.raises(BuildError) as caught:
        await build_py(source, board=load_board(board))
    return next(d for d in caught.value.diagnostics if d.severity == "error")


@pytest.mark.parametrize(
    ("source", "hint"),
    [
        (f"{PIN}led = Pin(4, Pin.OUT)\nLed.on()\n", "did you mean led?"),
        ("def f():\n    count = 1\n    print(Count)\nf()\n", "did you mean count?"),
        ("Print(1)\n", "did you mean print?"),
        ("while true:\n    pass\n", "did you mean True?"),
        ("import time\ntime.Sleep(1)\n", "did you mean time.sleep?"),
        ("import Time\n", "did you mean time?"),
        ("from machine import pin\n", "did you mean Pin?"),
        (f"{PIN}Pin(4, Pin.OUTPUT)\n", "did you mean Pin.OUT?"),
        (f"{PIN}Pin(4, Pin.INPUT)\n", "did you mean Pin.IN?"),
        (f"{PIN}Pin(4, Pin.out)\n", "did you mean Pin.OUT?"),
        (f"{PIN}Pin(4, Pin.IN, Pin.PULLUP)\n", "did you mean Pin.PULL_UP?"),
        (f"{PIN}Pin(4, Pin.INPUT_PULLUP)\n", "write Pin.IN, Pin.PULL_UP"),
        ("xyz()\n", None),
    ],
)
async def test_a_wrong_name_has_the_nearest_one_as_its_hint(build_py: Build, source: str, hint: str | None) -> None:
    assert (await refused(build_py, source)).hint == hint


@pytest.mark.parametrize(
    ("board", "hint"),
    [
        ("virtual", "is on pin 2: Pin(2, Pin.OUT)"),
        ("esp32-s3-devkitc-1-v1.1", "is addressable, on pin 38: NeoPixel(Pin(38), 1)"),
        ("esp32-devkitc-v4", "has no LED that a program can switch: its only LED shows"),
    ],
)
@pytest.mark.parametrize("source", [f'{PIN}Pin("LED", Pin.OUT)\n', f'{PIN}NAME = "LED"\nPin(NAME, Pin.OUT)\n'])
async def test_a_pin_by_name_is_refused_with_the_boards_led(
    build_py: Build, source: str, board: str, hint: str
) -> None:
    found = await refused(build_py, source, board)
    assert found.message == "a pin is a number: 'LED' is none"
    assert hint in (found.hint or "")


async def test_mqtt_is_imported_from_microclaw(build_py: Build) -> None:
    assert "from microclaw import mqtt" in str((await refused(build_py, "import mqtt\n")).hint)
