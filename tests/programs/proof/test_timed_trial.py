"""Runs at an interval in a trial: the first one, on the virtual board's clock."""

from __future__ import annotations

from pathlib import Path

from tests.programs.conftest import tried

from microclaw.programs.proof.stimuli import PinStimulus
from microclaw.programs.run_times import RunTimes

PULSE_PY = """
from machine import Pin
import time
runs = 0
fan = Pin(4, Pin.OUT)
fan.value(1)
time.sleep(2)
fan.value(0)
runs += 1
print("run", runs)
"""
FAN_PY = """
from machine import Pin
import time
fan = Pin(4, Pin.OUT)
fan.value(1)
while True:
    time.sleep(1)
"""
LATER_INPUT_PY = """
from machine import Pin
from time import sleep
Pin(14, Pin.OUT)
button = Pin(14, Pin.IN)
led = Pin(18, Pin.OUT, value=1)
sleep(2)
led.init(Pin.IN)
while True:
    sleep(1)
"""


async def test_a_run_is_tried_until_it_has_to_be_over(build_cache: Path) -> None:
    trial = await tried(PULSE_PY, build_cache, times=RunTimes(600_000))
    assert trial.ok, trial.error
    assert (trial.log, trial.board_ms, trial.pins, trial.driven) == (("run 1",), 599_999, (4,), (4,))
    assert [(round(e.t_ms / 1000), e.level) for e in trial.edges] == [(0, 1), (2, 0)]


async def test_a_run_is_tried_until_it_is_stopped(build_cache: Path) -> None:
    trial = await tried(FAN_PY, build_cache, times=RunTimes(600_000, 30_000))
    assert trial.ok, trial.error
    assert (trial.board_ms, [(round(e.t_ms / 1000), e.level) for e in trial.edges]) == (29_999, [(0, 1)])
    talks = "import time\nwhile True:\n    print(1)\n    time.sleep(0.05)\n"  # its last lines are read behind its end
    assert (await tried(talks, build_cache, times=RunTimes(None, 5_000))).ok


async def test_one_that_never_ends_needs_a_time_to_be_stopped_after_and_one_that_traps_fails(build_cache: Path) -> None:
    trial = await tried(FAN_PY, build_cache, times=RunTimes(60_000))
    assert not trial.ok
    assert trial.next_step
    trial = await tried("import time\ntime.sleep(0.1)\n1 // 0\n", build_cache, times=RunTimes(60_000, 30_000))
    assert not trial.ok
    assert "ZeroDivisionError" in (trial.error or "")


async def test_expectations_are_of_the_first_run(build_cache: Path) -> None:
    times = RunTimes(10_000, 5_000)
    trial = await tried(PULSE_PY, build_cache, "pin 4: low at 1 s\npin 4: never high", times=times)
    assert [result.trial for result in trial.expected] == ["not met", "not met"]
    trial = await tried(PULSE_PY, build_cache, "pin 4: rises at 0 s\npin 4: high for 2 s", times=times)
    assert trial.ok, trial.error


async def test_a_pin_that_was_moved_before_it_became_an_input_counts_and_a_button_does_not(build_cache: Path) -> None:
    press = (PinStimulus(14, 1, 3_000),)
    trial = await tried(LATER_INPUT_PY, build_cache, "pin 18: never high", inputs=press)
    assert [result.trial for result in trial.expected] == ["not met"]
    assert {edge.pin for edge in trial.edges} == {18}
    assert trial.roles[14] == "input"
    assert trial.driven == (18,)
