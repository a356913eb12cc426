"""The virtual board: how soon it is ready, what it weighs, how fast board time passes on the virtual clock."""

from __future__ import annotations

import asyncio
from pathlib import Path

from bench.processes import running
from bench.report import Metric, median
from microclaw.apps.terms import TrialTerms
from microclaw.apps.trial import try_image
from microclaw.boards import load_board
from microclaw.wasm import compile_module

RUNS = 7
TEN_MINUTES_MS = 600_000.0
_PATTERN = Path(__file__).parent.parent / "src" / "microclaw" / "patterns" / "blink.c"


def measure() -> list[Metric]:
    ready_s, rss_mb = [], []
    for _ in range(RUNS):
        with running("microclaw.virtual", "--wasmachine", "0", "--serial", "0", "--die-with-parent") as board:
            ready_s.append(board.ready_s)
            rss_mb.append(board.rss_mb())
    ten_minutes, edges = asyncio.run(_ten_minutes())
    return [
        Metric("ready, from process start", median(ready_s), "s", 1.5),
        Metric("resident memory at rest", median(rss_mb), "MB", 75),
        Metric("ten minutes of a blink, process start included", ten_minutes, "s", 1.0),
        Metric("edges in those ten minutes", edges, "edges"),
    ]


async def _ten_minutes() -> tuple[float, int]:
    board = load_board("virtual")
    image = await compile_module(_PATTERN.read_text(), board, name="blink")
    trials = [await try_image(image, board, TrialTerms(for_ms=TEN_MINUTES_MS)) for _ in range(RUNS)]
    assert all(t.ok for t in trials), trials[0].error
    return median([t.took_ms for t in trials]) / 1000, len(trials[0].edges)
