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
    "source",
    [
        f"{PIN}led = Pin(4, Pin.OUT)\nLed.on()\n",
        "def f():\n    count = 1\n    print(Count)\nf()\n",
        "while true:\n    pass\n",
        "import time\ntime.Sleep(1)\n",
        "import Time\n",
        "from machine import pin\n",
        f"{PIN}Pin(4, Pin.OUTPUT)\n",
        f"{PIN}Pin(4, Pin.IN, Pin.PULLUP)\n",
        "xyz()\n",
    ],
)
async def test_a_wrong_name_has_the_nearest_one_as_its_hint(build_py: Build, source: str) -> None:
    await refused(build_py, source)


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
    assert hint in (found.hint or "")


async def test_mqtt_is_imported_from_microclaw(build_py: Build) -> None:
    await refused(build_py, "import mqtt\n")


async def test_a_file_that_is_named_at_run_time_is_the_programs_own(build_py: Build) -> None:
    source = "import os\nfor n in (1, 2):\n    open(f'{n}.csv', 'w').close()\n    os.remove(f'{n}.csv')\n"
    assert (await build_py(source)).warnings == ()
