"""Runs at an interval in a trial, on the virtual board's clock: by the board itself, and by the host for wasm."""

from __future__ import annotations

from pathlib import Path

import pytest

from microclaw.apps.board_time import SeenRuns
from microclaw.apps.claims import claims_of
from microclaw.apps.run_times import RunTimes
from microclaw.apps.timed_trial import runs_text
from microclaw.apps.trial import Trial, TrialOptions, try_image
from microclaw.boards.reader import load_board
from microclaw.py.compile import build
from microclaw.wasm import BuildCache, compile_module

BOARD = load_board("virtual")
PULSE_C = """
#include "microclaw.h"
static int runs;
int main(void) {
    int fan = gpio_open(4, GPIO_OUT);
    gpio_set(fan, 1);
    delay(2000);
    gpio_set(fan, 0);
    printf("run %d\\n", ++runs);
}
"""
FAN_C = """
#include "microclaw.h"
int main(void) {
    int fan = gpio_open(4, GPIO_OUT);
    gpio_set(fan, 1);
    for (;;) delay(1000);
}
"""
ONCE_C = """
#include "microclaw.h"
int main(void) { gpio_set(gpio_open(4, GPIO_OUT), 1); printf("once\\n"); }
"""
TRAP_C = """
#include "microclaw.h"
int main(void) { delay(100); __builtin_trap(); }
"""
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
EVENTS_PY = """
from microclaw import on, pin
led = pin(4)
on(pin(14, "in", pull="up"), "falling", led.toggle)
"""


async def attempt(source: str, cache: Path, times: RunTimes) -> Trial:
    options = TrialOptions(times=times)
    if "microclaw.h" in source:
        image = await compile_module(source, BOARD, name="tried", cache=BuildCache(cache))
        return await try_image(image, BOARD, options)
    return await try_image(await build(source, "tried", board=BOARD, cache=BuildCache(cache)), BOARD, options)


@pytest.mark.parametrize("source", [PULSE_C, PULSE_PY], ids=["c", "py"])
async def test_a_program_that_returns_is_begun_anew_with_fresh_globals(build_cache: Path, source: str) -> None:
    trial = await attempt(source, build_cache, RunTimes(600_000))
    assert trial.ok, trial.error
    assert trial.log == ("run 1", "run 1")
    assert [(round(e.t_ms / 1000), e.level) for e in trial.edges] == [(0, 1), (2, 0), (600, 1), (602, 0)]
    assert trial.runs is not None
    assert (trial.runs.runs, trial.runs.missed, trial.runs.last_how) == (2, 0, "returned")
    assert trial.pins == trial.driven == (4,)
    assert (trial.runs_line() or "").startswith(
        "2 runs in 10 min 10 s of board time (every 10 min); the last: ended by"
    )


@pytest.mark.parametrize("source", [FAN_C, FAN_PY], ids=["c", "py"])
async def test_each_run_is_stopped_after_its_time_and_the_pin_stays_claimed(build_cache: Path, source: str) -> None:
    times = RunTimes(600_000, 30_000)
    trial = await attempt(source, build_cache, times)
    assert trial.ok, trial.error
    assert [(round(e.t_ms / 1000), e.level) for e in trial.edges] == [(0, 1), (30, 0), (600, 1), (630, 0)]
    assert trial.runs is not None
    assert (trial.runs.runs, trial.runs.last_how) == (2, "stopped")
    assert trial.driven == (4,)
    assert trial.to_json()["runs"]["runs"] == 2


@pytest.mark.parametrize("source", [FAN_C, FAN_PY, EVENTS_PY], ids=["c", "py", "events"])
async def test_one_that_never_ends_needs_a_time_to_be_stopped_after(build_cache: Path, source: str) -> None:
    trial = await attempt(source, build_cache, RunTimes(60_000))
    assert not trial.ok
    assert "does not end by itself" in (trial.error or "")
    assert "--stop-after" in (trial.next_step or "")


async def test_a_main_that_never_sleeps_has_ended_when_it_returned(build_cache: Path) -> None:
    trial = await attempt(ONCE_C, build_cache, RunTimes(60_000))
    assert trial.ok, trial.error
    assert trial.log == ("once", "once")


async def test_a_run_that_traps_fails_the_trial(build_cache: Path) -> None:
    trial = await attempt(TRAP_C, build_cache, RunTimes(60_000, 30_000))
    assert not trial.ok
    assert "trapped" in (trial.error or "")


async def test_a_program_between_runs_has_not_ended(build_cache: Path) -> None:
    image = await compile_module(PULSE_C, BOARD, name="tried", cache=BuildCache(build_cache))
    trial = await try_image(image, BOARD, TrialOptions(times=RunTimes(600_000)))
    assert not claims_of(image, trial).ended


def test_a_second_run_that_was_not_seen_is_said() -> None:
    said = runs_text(SeenRuns(1, 0, "returned", 2_000), RunTimes(86_400_000), 10_500)
    assert "the second one was not seen" in said
