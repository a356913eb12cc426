from __future__ import annotations

from pathlib import Path

import pytest

from microclaw.hardware.boards import load_board
from microclaw.programs.builds.cache import BuildCache
from microclaw.programs.proof.trial import Trial, TrialOptions, try_image
from microclaw.programs.py.compile import build

TOGGLE = """
from machine import Pin
from time import sleep_ms, ticks_diff, ticks_ms
button = Pin(15, Pin.IN, Pin.PULL_UP)
lamp = Pin(6, Pin.OUT, value=0)
last = 1
since = ticks_ms()
while True:
    level = button.value()
    if level != last and ticks_diff(ticks_ms(), since) >= WAIT_MS:
        since = ticks_ms()
        last = level
        if level == 0:
            lamp.value(not lamp.value())
    sleep_ms(1)
"""
FOLLOW = """
from machine import Pin
from time import sleep_ms
button = Pin(15, Pin.IN, Pin.PULL_UP)
lamp = Pin(6, Pin.OUT, value=0)
while True:
    lamp.value(not button.value())
    sleep_ms(1)
"""
WRITTEN = """
from machine import Pin
from time import sleep_ms
lamp = Pin(13, Pin.MODE)
while True:
    lamp.value(1)
    sleep_ms(500)
    lamp.value(0)
    sleep_ms(500)
"""


async def tried(source: str, folder: Path) -> Trial:
    board = load_board("virtual")
    image = await build(source, "probed", board=board, cache=BuildCache(folder))
    return await try_image(image, board, TrialOptions(2_000))


@pytest.mark.parametrize(
    ("source", "warns"),
    [(TOGGLE.replace("WAIT_MS", "0"), True), (TOGGLE.replace("WAIT_MS", "20"), False), (FOLLOW, False)],
)
async def test_one_press_that_switches_several_times_is_warned_of(source: str, warns: bool, tmp_path: Path) -> None:
    trial = await tried(source, tmp_path)
    (probe,) = trial.probes
    assert "at 0 s, and at 0.6 s with bounce: " in probe
    assert any("moves pin 6 2 times, a clean one 1" in warning for warning in trial.warnings) == warns


@pytest.mark.parametrize(("mode", "warns"), [("IN", True), ("OUT", False)])
async def test_a_level_that_is_written_to_an_input_is_warned_of(mode: str, warns: bool, tmp_path: Path) -> None:
    trial = await tried(WRITTEN.replace("MODE", mode), tmp_path)
    assert any("pin 13 is an input" in warning for warning in trial.warnings) == warns
