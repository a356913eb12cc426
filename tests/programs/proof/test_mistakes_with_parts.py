"""Mistakes in programs for parts that a trial must show, because the models behave as the parts do."""

from __future__ import annotations

from pathlib import Path

import pytest

from microclaw.hardware.boards.reader import load_board
from microclaw.hardware.parts.wiring import parse_wiring
from microclaw.programs.builds.cache import BuildCache
from microclaw.programs.proof.expectation_text import parse_expectations
from microclaw.programs.proof.trial import Trial, TrialOptions, try_image
from microclaw.programs.py.compile import build

BOARD = load_board("virtual")
WIRING = parse_wiring("""
btn1 = { part = "button", pin = 4 }
probe1 = { part = "ds18b20", data = 15 }
""")

# It has no debounce. With an odd number of edges at each press the lamp would be right by chance.
TOGGLE = """
from machine import Pin
button = Pin(4, Pin.IN, Pin.PULL_UP)
lamp = Pin(5, Pin.OUT, value=0)
before = 1
while True:
    now = button.value()
    if before == LEVEL_BEFORE and now != before:
        lamp.value(not lamp.value())
    before = now
"""
THERMOMETER = """
from machine import Pin
from onewire import OneWire
from ds18x20 import DS18X20
import time
bus = DS18X20(OneWire(Pin(15)))
rom = bus.scan()[0]
while True:
    bus.convert_temp()
    time.sleep_ms(WAIT_MS)
    print("temp", bus.read_temp(rom))
    time.sleep(2)
"""


async def tried(source: str, expect: str, folder: Path) -> Trial:
    image = await build(source, "mistake", board=BOARD, cache=BuildCache(folder))
    return await try_image(image, BOARD, TrialOptions(expectations=parse_expectations(expect), wiring=WIRING))


@pytest.mark.parametrize("level_before", ["1", "0"])
async def test_the_first_press_already_shows_that_a_program_has_no_debounce(level_before: str, tmp_path: Path) -> None:
    expect = "press btn1 at 1 s for 200 ms\npin 5: high at 1500 ms"
    trial = await tried(TOGGLE.replace("LEVEL_BEFORE", level_before), expect, tmp_path)
    assert trial.proof == "not met"


@pytest.mark.parametrize(("wait_ms", "first"), [("750", r"temp 2\d.*"), ("700", r"temp 85.0")])
async def test_a_thermometer_has_no_temperature_until_its_conversion_has_had_its_time(
    wait_ms: str, first: str, tmp_path: Path
) -> None:
    trial = await tried(THERMOMETER.replace("WAIT_MS", wait_ms), f'log ~ "{first}" within 1 s\nfor 3 s', tmp_path)
    assert (trial.ok, trial.proof) == (True, "met in the trial"), trial.error
