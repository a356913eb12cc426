"""The device link: its cost, full-duplex streams, hostile devices, a lossy network. It takes under four minutes.

Each part is also a benchmark of its own: link_cost, link_streams, link_hostile, link_lossy.
"""

from __future__ import annotations

import os

from bench import link_cost, link_hostile, link_lossy, link_streams
from bench.report import Metric

PARTS = (link_cost, link_streams, link_hostile, link_lossy)


def measure() -> list[Metric]:
    before = Metric("load average of the machine, before", os.getloadavg()[0], "")
    return [before, *(metric for part in PARTS for metric in part.measure())]
