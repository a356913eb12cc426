"""The figures that must not get worse, in four minutes: parts of the other benchmarks, with less effort.

How many streams a core carries is not among them: in so short a time a virtual machine's own pauses decide it.
`python -m bench quick` prints one JSON document, `--write` puts it into bench/quick.json, which is committed.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import Callable
from typing import Final

from bench import agent, deploy, host, link_cost, turn_cost, virtual, wasm, worst_texts
from bench.report import Metric

COST: Final = link_cost.Effort(echoes=4_000, idle=400, handshakes=0, storm=0)
PARTS: Final[dict[str, Callable[[], list[Metric]]]] = {
    "link_cost": lambda: link_cost.measure(COST),
    "install": lambda: asyncio.run(deploy.installs(5)),
    "trial": lambda: asyncio.run(virtual.ten_minutes()),
    "compile": lambda: wasm.measure(7),
    "host": lambda: host.started(3),
    "worst_texts": worst_texts.measure,
    "turn": agent.measure,
    "turn_cost": lambda: turn_cost.measure(rounds=2, cpu_rounds=2),
}


def measure() -> list[Metric]:
    began = time.monotonic()
    found = [Metric("load average of the machine, before", os.getloadavg()[0], "")]
    for name, part in PARTS.items():
        found += part()
        print(f"quick: {name}, {time.monotonic() - began:.0f} s", file=sys.stderr)
    return [*found, Metric("load average of the machine, after", os.getloadavg()[0], "")]
