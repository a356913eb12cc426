"""A program whose part the trial has not is untried; what the trial has, it tries; a fault of the program stays one."""

from __future__ import annotations

from pathlib import Path

import pytest

from microclaw.hardware.boards.reader import load_board
from microclaw.hardware.parts.wiring import Wiring, parse_wiring
from microclaw.programs.builds.cache import BuildCache
from microclaw.programs.proof.expectation_text import parse_expectations
from microclaw.programs.proof.trial import Trial, TrialOptions, try_image
from microclaw.programs.py.compile import build

BOARD = load_board("esp32-devkitc-v4")
DHT = "import dht\nfrom machine import Pin\nair = dht.DHT11(Pin(4))\nair.measure()\nprint(air.temperature())\n"
DHT_CAUGHT = DHT.replace("air.measure()\n", "try:\n    air.measure()\nexcept OSError:\n    print('dark')\n").replace(
    "print(air", "import time; time.sleep_ms(20)\nprint(air"
)
DS18B20 = """\
import ds18x20, onewire
from machine import Pin
bus = ds18x20.DS18X20(onewire.OneWire(Pin(4)))
bus.scan()
bus.convert_temp()
"""
RECORD = parse_wiring('[lamp]\npart = "led"\npin = 2\n')  # of the device: nothing hangs on pin 4
I2C = "from machine import I2C, Pin\nbus = I2C(0, scl=Pin(22), sda=Pin(21))\n"
RAISED_ANEW = "try:\n    bus.readfrom(0x6B, 1)\nexcept OSError as error:\n    raise Exception('none: ' + str(error))\n"
MISSING = [
    (DHT, "DHT11 on pin 4"),
    (DS18B20, "1-Wire part on pin 4"),
    (f"{I2C}bus.readfrom_mem(0x68, 0x75, 1)\n", "I2C device at 0x68"),
    (f"{DHT_CAUGHT}air.measure()\n", "DHT11 on pin 4"),
    (DHT_CAUGHT.replace("'dark')", "'dark')\n    raise"), "DHT11 on pin 4"),
    (f"{I2C}{RAISED_ANEW}", "I2C device at 0x6b"),
    ("import machine\nmachine.DAC(machine.Pin(25)).write(80)\n", "machine.DAC"),
    ("from machine import DAC\n", "machine.DAC"),
    ("from machine import Pin, TouchPad\nprint(TouchPad(Pin(4)).read())\n", "machine.TouchPad"),
]


async def tried(source: str, folder: Path, expect: str | None = None, record: Wiring | None = RECORD) -> Trial:
    image = await build(source, "part", board=BOARD, cache=BuildCache(folder))
    if expect is None:
        expectations = None
    else:
        expectations = parse_expectations(expect)
    return await try_image(image, BOARD, TrialOptions(for_ms=1_000, expectations=expectations, wiring=record))


@pytest.mark.parametrize(("source", "part"), MISSING)
async def test_a_program_that_ends_as_the_trial_has_not_its_part_is_untried_and_can_be_installed(
    source: str, part: str, tmp_path: Path
) -> None:
    trial = await tried(source, tmp_path)
    assert trial.ok, trial.error
    assert trial.untried == f"this trial has no {part}"
    assert trial.summary().startswith(f"untried: this trial has no {part}")
    assert trial.proof == f"untried: this trial has no {part}"


async def test_a_part_that_the_trial_has_not_leaves_an_expectation_untried(tmp_path: Path) -> None:
    trial = await tried(DHT, tmp_path, 'log ~ "21" within 1 s')
    assert [result.trial for result in trial.expected] == ["untried"]
    assert "DHT11" in trial.expected[0].found
    assert trial.proof == "untried: this trial has no DHT11 on pin 4"


async def test_a_fault_of_the_program_stays_one_and_a_caught_absence_is_a_warning(tmp_path: Path) -> None:
    trial = await tried(DHT_CAUGHT, tmp_path)
    assert (trial.ok, trial.untried) == (True, None)
    assert trial.warnings[0] == "this trial has no DHT11 on pin 4"
    assert not (await tried(f"{DHT_CAUGHT}print(1 // 0)\n", tmp_path)).ok
    assert not (await tried(f"{I2C}bus.scan()[0]\n", tmp_path)).ok
    assert not (await tried(f"{I2C}if not bus.scan():\n    raise Exception('no display')\n", tmp_path)).ok


async def test_a_part_that_only_the_program_names_is_wired_where_it_names_it(tmp_path: Path) -> None:
    trial = await tried(DHT, tmp_path, 'log ~ "22" within 1 s', record=None)
    assert (trial.ok, trial.proof) == (True, "met in the trial")


async def test_an_absent_dht_takes_the_time_that_the_driver_on_a_board_takes(tmp_path: Path) -> None:
    trial = await tried(DHT_CAUGHT, tmp_path)
    [dark_ms] = [line.t_ms for line in trial.lines if line.text == "dark"]
    assert 268 <= dark_ms < 400


async def test_a_program_names_its_files_as_it_likes_as_they_lie_in_a_folder_of_their_own(tmp_path: Path) -> None:
    names = ("data.csv", "/settings.json", "main.txt", "../fw.log")
    source = f"import os\nfor name in {names}:\n    with open(name, 'w') as file:\n        file.write('x')\n"
    trial = await tried(f"{source}print(sorted(os.listdir()))\n", tmp_path)
    assert trial.log == ("['data.csv', 'fw.log', 'main.txt', 'settings.json']",)
