"""Python programs: what a build takes beside the compiler alone, and a trial beside the same program in C."""

from __future__ import annotations

import asyncio
import subprocess
import tempfile
import time
from pathlib import Path

from bench.report import Metric, median, timed
from microclaw.hardware.boards import load_board
from microclaw.programs.building import ProgramImage
from microclaw.programs.builds.cache import BuildCache
from microclaw.programs.patterns.library import fill
from microclaw.programs.proof.trial import TrialOptions, try_image
from microclaw.programs.py.compile import build, find_mpy_cross
from microclaw.programs.wasm.compile import compile_module

RUNS = 7
TEN_MINUTES_MS = 600_000.0


def measure() -> list[Metric]:
    return asyncio.run(_measure())


async def _measure() -> list[Metric]:
    board = load_board("virtual")
    source = fill("blink", {}, kind="py").source
    build_ms, compiler_ms = await _builds(source)
    python = await build(source, "blink", board=board)
    c = await compile_module(fill("blink", {}).source, board, name="blink")
    ten_minutes_s = [await _trial_s(python, TEN_MINUTES_MS) for _ in range(RUNS)]
    ten_seconds_s = [await _trial_s(python, 10_000) for _ in range(RUNS)]
    in_c_s = [await _trial_s(c, TEN_MINUTES_MS) for _ in range(RUNS)]
    return [
        Metric("build, not cached", build_ms, "ms", 200.0),
        Metric("  / the compiler alone", build_ms / compiler_ms, "x"),
        Metric("size of a blink", python.size_bytes, "B"),
        Metric("ten minutes of a blink, board's start included", median(ten_minutes_s), "s", 2.0),
        Metric("  / the same in C", median(ten_minutes_s) / median(in_c_s), "x"),
        Metric("ten seconds of a blink, board's start included", median(ten_seconds_s), "s", 1.0),
    ]


async def _builds(source: str) -> tuple[float, float]:
    """Milliseconds of our build and of mpy-cross on the same text, medians of turns."""
    ours = []
    alone = []
    compiler, _ = find_mpy_cross()
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "blink.py"
        file.write_text(source)
        for turn in range(RUNS):
            began = time.perf_counter()
            cache = BuildCache(Path(folder) / str(turn))
            await build(source, "blink", board=load_board("virtual"), cache=cache)
            ours.append((time.perf_counter() - began) * 1000)
            alone.append(timed(lambda: subprocess.run([compiler, str(file)], check=True)) * 1000)
    return median(ours), median(alone)


async def _trial_s(image: ProgramImage, for_ms: float) -> float:
    trial = await try_image(image, load_board("virtual"), TrialOptions(for_ms=for_ms))
    assert trial.ok, trial.error
    return trial.took_ms / 1000
