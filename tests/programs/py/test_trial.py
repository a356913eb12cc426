"""A trial sees a program that is busy like any other, and says of a crash, or of an input that nothing reads, so."""

from __future__ import annotations

from pathlib import Path

import pytest

from microclaw.errors import TrialFailed
from microclaw.hardware.boards.reader import load_board
from microclaw.programs.builds.cache import BuildCache
from microclaw.programs.proof.stimuli import AdcStimulus, PinStimulus
from microclaw.programs.proof.trial import Trial, TrialOptions, try_image
from microclaw.programs.py.compile import build

BOARD = load_board("virtual")
FOLLOWS_A_BUTTON = """\
from machine import Pin
led = Pin(2, Pin.OUT)
button = Pin(14, Pin.IN, Pin.PULL_UP)
while True:
    led.value(not button.value())
"""
BLINKS_BY_TICKS = """\
import time
from machine import Pin
led = Pin(2, Pin.OUT)
last = time.ticks_ms()
while True:
    if time.ticks_diff(time.ticks_ms(), last) >= 500:
        last = time.ticks_ms()
        led.value(not led.value()){wait}
"""

CRASHES = "import time\nn = 2\nwhile True:\n    print(n)\n    1 // n\n    n -= 1\n    time.sleep(0.1)\n"
READS_ADC = """\
import time
from machine import ADC, Pin
adc = ADC(Pin(1), atten=ADC.ATTN_11DB)
while True:
    print(adc.read_u16())
    time.sleep(1)
"""


async def tried(source: str, folder: Path, *inputs: PinStimulus | AdcStimulus, for_ms: float = 2_000) -> Trial:
    image = await build(source, "busy", board=BOARD, cache=BuildCache(folder))
    return await try_image(image, BOARD, TrialOptions(for_ms=for_ms, inputs=inputs))


async def test_a_loop_that_polls_a_pin_passes(tmp_path: Path) -> None:
    trial = await tried(FOLLOWS_A_BUTTON, tmp_path, PinStimulus(14, 0, 500), PinStimulus(14, 1, 900))
    assert trial.ok, trial.error
    assert [(edge.pin, edge.level) for edge in trial.edges] == [(2, 1), (2, 0)]


@pytest.mark.parametrize("wait", ["", "\n    time.sleep_us(100)"])
async def test_a_loop_without_a_long_wait_passes(wait: str, tmp_path: Path) -> None:
    trial = await tried(BLINKS_BY_TICKS.replace("{wait}", wait), tmp_path)
    assert trial.ok, trial.error
    assert [edge.level for edge in trial.edges] == [1, 0, 1]
    assert all(
        abs(after.t_ms - edge.t_ms - 500) < 20 for edge, after in zip(trial.edges, trial.edges[1:], strict=False)
    )


async def test_each_crash_is_in_the_log(tmp_path: Path) -> None:
    trial = await tried(CRASHES, tmp_path, for_ms=10_000)
    assert not trial.ok
    assert sum("ZeroDivisionError" in line for line in trial.log) == 3


async def test_volts_reach_an_adc_and_a_level_is_refused(tmp_path: Path) -> None:
    trial = await tried(READS_ADC, tmp_path, AdcStimulus(1, 2.5, 2_500), for_ms=6_000)
    assert [line != "0" for line in trial.log[:5]] == [False, False, False, True, True]
    assert trial.warnings == ()
    with pytest.raises(TrialFailed):
        await tried(READS_ADC, tmp_path, PinStimulus(1, 1, 1_000))
