"""A trial of a program that crashes, or that an input cannot reach, says so in one place."""

from __future__ import annotations

from pathlib import Path

import pytest

from microclaw.apps.crashes import told_once
from microclaw.apps.expectations import AdcStimulus
from microclaw.apps.trial import Trial, TrialInput, TrialOptions, try_image
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


async def tried(source: str, folder: Path, *inputs: TrialInput | AdcStimulus) -> Trial:
    image = await build(source, "crashing", board=BOARD, cache=BuildCache(folder))
    return await try_image(image, BOARD, TrialOptions(for_ms=10_000, inputs=inputs))


@pytest.mark.parametrize(
    ("wait", "crashes", "said"),
    [
        ("0.1", 3, "the board started it again: 3 crashes, then it stayed stopped"),
        ("2.5", 1, "it crashed and the board started it again"),
        ("4.8", 1, "the board starts it again after a crash, until it crashed 3 times in a row"),
    ],
)
async def test_a_crash_is_told_with_what_the_board_did_next(tmp_path: Path, wait: str, crashes: int, said: str) -> None:
    trial = await tried(CRASHES.format(wait=wait), tmp_path)
    assert not trial.ok
    assert sum("ZeroDivisionError" in line for line in trial.log) == crashes
    assert trial.warnings == (said,)
    told = told_once(trial.log)
    assert sum("ZeroDivisionError" in line for line in told) == 1
    assert told.count("Traceback (most recent call last): (3 times)") == (crashes == 3)
    assert told.count("(the same error again)") == crashes - 1


async def test_a_program_that_does_not_crash_has_no_word_of_it(tmp_path: Path) -> None:
    assert (await tried(READS_ADC, tmp_path)).warnings == ()


def test_different_tracebacks_are_all_told() -> None:
    head = "Traceback (most recent call last):"
    log = (
        head,
        '  File "a.py", line 1, in <module>',
        "ValueError: 1",
        head,
        '  File "a.py", line 2, in f',
        "OSError: 2",
    )
    assert told_once(log) == log


async def test_volts_reach_an_adc_and_a_level_is_refused(tmp_path: Path) -> None:
    trial = await tried(READS_ADC, tmp_path, AdcStimulus(1, 2.5, 2_500))
    assert [line != "0" for line in trial.log[:5]] == [False, False, False, True, True]
    with pytest.raises(TrialFailed, match="pin 1 as an ADC") as caught:
        await tried(READS_ADC, tmp_path, TrialInput(1, 1, 3_000))
    assert "adc 1 = 2.5 V at 3 s" in (caught.value.next_step or "")
