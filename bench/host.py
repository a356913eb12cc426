"""The host process: how soon it is ready, what it weighs at rest, how quick `--help` is."""

from __future__ import annotations

import subprocess
import sys
import time

from bench.processes import private_home, running
from bench.report import Metric, median, timed

RUNS = 7


def measure() -> list[Metric]:
    ready_s, rss_mb = [], []
    for _ in range(RUNS):
        with (
            private_home() as environ,
            running("microclaw.cli", "up", "--json", "--port", "0", environ=environ) as host,
        ):
            ready_s.append(host.ready_s)
            time.sleep(1.5)  # at rest: what it warms up in the background is there
            rss_mb.append(host.rss_mb())
    help_s = [_run("-m", "microclaw.cli", "--help") for _ in range(RUNS)]
    python_s = [_run("-c", "pass") for _ in range(RUNS)]
    return [
        Metric("host ready, from process start", median(ready_s), "s", 1.5),
        Metric("host resident memory at rest, offline", median(rss_mb), "MB", 110),
        Metric("microclaw --help", median(help_s), "s", 0.25),
        Metric("python itself", median(python_s), "s"),
    ]


def _run(*words: str) -> float:
    return timed(lambda: subprocess.run([sys.executable, *words], check=True, capture_output=True))
