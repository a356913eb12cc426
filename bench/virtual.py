"""The virtual board: how soon it is ready, what it weighs, how fast board time passes, how punctual its timers are."""

from __future__ import annotations

import asyncio
import resource
import statistics
import time
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

from bench.processes import running
from bench.report import Metric, median
from bench.wasm import POLLS
from microclaw.devices.registry.calls import AppInstall
from microclaw.devices.virtual_boards.trial_board import trial_board
from microclaw.hardware.boards import load_board
from microclaw.programs.proof.trial import TrialOptions, try_image
from microclaw.programs.wasm.compile import compile_module

RUNS = 7
TEN_MINUTES_MS = 600_000.0
WAKE_UPS = 500
PERIOD_MS = 20.0
STARTING = 10  # the first ones are late for other reasons: the board has just begun to run wasm
_PATTERN = Path(__file__).parent.parent / "src" / "microclaw" / "programs" / "patterns" / "blink.c"

_SLEEPER = """#include "microclaw.h"
#include <unistd.h>
int main(void) {
    int led = gpio_open(2, GPIO_OUT);
    while (1) { gpio_toggle(led); usleep(20000); }
}
"""


def measure() -> list[Metric]:
    ready_s = []
    rss_mb = []
    for _ in range(RUNS):
        with running("microclaw.virtual", "--wasmachine", "0", "--serial", "0", "--die-with-parent") as board:
            ready_s.append(board.ready_s)
            rss_mb.append(board.rss_mb())
    return [
        Metric("ready, from process start", median(ready_s), "s", 1.5),
        Metric("resident memory at rest", median(rss_mb), "MB", 75),
        *asyncio.run(ten_minutes()),
        Metric("CPU for 20 s of board time of a program that polls", asyncio.run(_polling()), "s", 0.3),
        *asyncio.run(_wake_ups()),
    ]


async def _polling() -> float:
    """The board's CPU, beyond its start: a long trial minus a short one."""
    board = load_board("virtual")
    image = await compile_module(POLLS, board, name="polls")
    cpu_s = []
    for for_ms in (20_000, 220_000):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        trial = await try_image(image, board, TrialOptions(for_ms=for_ms))
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        assert trial.ok, trial.error
        cpu_s.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return (cpu_s[1] - cpu_s[0]) / 10


async def ten_minutes() -> list[Metric]:
    board = load_board("virtual")
    image = await compile_module(_PATTERN.read_text(), board, name="blink")
    trials = [await try_image(image, board, TrialOptions(for_ms=TEN_MINUTES_MS)) for _ in range(RUNS)]
    assert all(t.ok for t in trials), trials[0].error
    return [
        Metric("ten minutes of a blink, process start included", median([t.took_ms for t in trials]) / 1000, "s", 1.0),
        Metric("edges in those ten minutes", len(trials[0].edges), "edges"),
    ]


async def _wake_ups() -> list[Metric]:
    """The lateness of a program that sleeps in main on the real clock, beside a bare sleep on this machine."""
    board = load_board("virtual")
    image = await compile_module(_SLEEPER, board, name="sleeper")
    async with trial_board(board, clock="real") as bench, asyncio.TaskGroup() as tasks:
        bare = tasks.create_task(asyncio.to_thread(_bare_sleeps), name="bare sleeps")
        await bench.install(AppInstall(image.name, image.code), 30.0)
        await asyncio.sleep(WAKE_UPS * PERIOD_MS / 1000)
        edges = (await bench.control.edges()).edges
    late_ms = [b.t_ms - a.t_ms - PERIOD_MS for a, b in pairwise(edges)][STARTING:]
    own = _p99(late_ms)
    machine = _p99(bare.result())
    return [
        Metric("wake-up of a sleeping program, p50 late", median(late_ms), "ms"),
        Metric("wake-up of a sleeping program, p99 late", own, "ms"),
        Metric("a bare sleep at the same time, p99 late", machine, "ms"),
        Metric("wake-up jitter beyond the machine's own, p99", max(0.0, own - machine), "ms", 2.0),
    ]


def _bare_sleeps() -> list[float]:
    late_ms = []
    for _ in range(WAKE_UPS):
        began = time.perf_counter()
        time.sleep(PERIOD_MS / 1000)
        late_ms.append((time.perf_counter() - began) * 1000 - PERIOD_MS)
    return late_ms


def _p99(samples: Sequence[float]) -> float:
    return statistics.quantiles(samples, n=100)[98]
