"""A trial of a program that crashes, or that an input cannot reach, says so in one place."""

from __future__ import annotations

from pathlib import Path

import pytest

from microclaw.apps.expectations import AdcStimulus, PinStimulus
from microclaw.apps.trial import Trial, TrialOptions, try_image
from microclaw.boards.reader import load_board
from microclaw.builds.cache import BuildCache
from microclaw.errors import TrialFailed
from microclaw.py.compile import build

BOARD = load_board("virtual")
CRASHES = "import time\nn = 2\nwhile True:\n    print(n)\n    1 // n\n    n -= 1\n    time.sleep({wait})\n"
READS_ADC = """\
import time
from machine import ADC, Pin
adc = ADC(Pin(1))
while True:
    print(adc.read_u16())
    time.sleep(1)
"""


async def tried(source: str, folder: Path, *inputs: PinStimulus | AdcStimulus) -> Trial:
    image = await build(source, "crashing", board=BOARD, cache=BuildCache(folder))
    return await try_image(image, BOARD, TrialOptions(for_ms=10_000, inputs=inputs))


@pytest.mark.parametrize(("wait", "crashes"), [("0.1", 3), ("2.5", 1), ("4.8", 1)])
async def test_each_crash_is_in_the_log(tmp_path: Path, wait: str, crashes: int) -> None:
    trial = await tried(CRASHES.format(wait=wait), tmp_path)
    assert not trial.ok
    assert sum("ZeroDivisionError" in line for line in trial.log) == crashes
    assert len(trial.warnings) == 1


async def test_a_program_that_does_not_crash_has_no_word_of_it(tmp_path: Path) -> None:
    assert (await tried(READS_ADC, tmp_path)).warnings == ()


async def test_volts_reach_an_adc_and_a_level_is_refused(tmp_path: Path) -> None:
    trial = await tried(READS_ADC, tmp_path, AdcStimulus(1, 2.5, 2_500))
    assert [line != "0" for line in trial.log[:5]] == [False, False, False, True, True]
    with pytest.raises(TrialFailed):
        await tried(READS_ADC, tmp_path, PinStimulus(1, 1, 3_000))
