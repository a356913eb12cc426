"""Python programs on a board that is up for long, on the real interpreter: their clock starts again at 0."""

from __future__ import annotations

import pytest

from microclaw.apps.expectation_text import parse_expectations
from microclaw.apps.trial import Trial, TrialOptions, try_image
from microclaw.boards.reader import load_board
from microclaw.builds.cache import BuildCache
from microclaw.py.compile import build

BOARD = load_board("virtual")
POLL = """from machine import Pin
import time
led = Pin(2, Pin.OUT)
last = time.ticks_ms()
while True:
    now = time.ticks_ms()
    if IS_DUE:
        last = now
        led.value(not led.value())
    time.sleep_ms(10)
"""


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> BuildCache:
    return BuildCache(tmp_path_factory.mktemp("cache"))


async def tried(source: str, expect: str, cache: BuildCache) -> Trial:
    image = await build(source, "app", board=BOARD, cache=cache)
    return await try_image(image, BOARD, TrialOptions(expectations=parse_expectations(f"{expect}\nsoak 0 s")))


@pytest.mark.parametrize("is_due", ["now - last >= 500", "now >= last + 500"])
async def test_ticks_that_are_compared_plainly_fail_where_they_start_again(is_due: str, cache: BuildCache) -> None:
    trial = await tried(POLL.replace("IS_DUE", is_due), "pin 2: period 1 s", cache)
    assert not trial.ok
    assert trial.error
    assert trial.proof == "not met"
    line = (trial.next_step or "").rpartition("with the line: ")[2]
    again = await tried(POLL.replace("IS_DUE", is_due), f"pin 2: period 1 s\n{line}", cache)
    assert again.proof == "not met"


async def test_ticks_diff_is_right_across_the_wrap(cache: BuildCache) -> None:
    trial = await tried(POLL.replace("IS_DUE", "time.ticks_diff(now, last) >= 500"), "pin 2: period 1 s", cache)
    assert (trial.ok, trial.proof) == (True, "met in the trial")


async def test_only_what_reads_a_clock_is_tried_again(cache: BuildCache) -> None:
    image = await build("import time\ntime.sleep(1)\n", "app", board=BOARD, cache=cache)
    assert image.clocks == ()
    image = await build("import time\nprint(time.ticks_us(), time.ticks_ms())\n", "app", board=BOARD, cache=cache)
    assert image.clocks == ("ticks_ms", "ticks_us")


async def test_lines_that_are_lost_at_the_end_of_a_trial_are_heard_of(cache: BuildCache) -> None:
    source = """import time
time.sleep_ms(2700)
for i in range(400):
    print("ERROR" if i == 399 else i)
time.sleep_ms(1000)
print("after the trial")
time.sleep(9)
"""
    trial = await tried(source, 'log never ~ "ERROR"\nfor 3 s', cache)
    assert trial.proof == "untried"
    assert trial.error
