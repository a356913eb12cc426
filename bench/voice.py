"""Speech end to end: turns, barge-in, many devices, a lossy network, recognition. Under six minutes on a quiet machine.

Each part is also a benchmark of its own: voice_turn, voice_streams, voice_lossy, voice_recognition. With `quick` each
takes its least: the figures are good for a look.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Final

from bench import voice_lossy, voice_recognition, voice_streams, voice_turn
from bench.report import Metric

PARTS: Final[tuple[Callable[[bool], list[Metric]], ...]] = (
    lambda quick: voice_turn.measure(voice_turn.Effort(turns=6, interruptions=2) if quick else None),
    lambda quick: voice_streams.measure(
        voice_streams.Effort(numbers=(50, 200), lasts_s=6.0, warm=50, idle=100) if quick else None
    ),
    lambda quick: voice_lossy.measure(voice_lossy.Effort(losses=(0.0, 0.01), lasts_s=12.0) if quick else None),
    lambda quick: voice_recognition.measure(voice_recognition.Effort("few") if quick else None),
)


def measure(*, quick: bool = False) -> list[Metric]:
    before = Metric("load average of the machine, before", os.getloadavg()[0], "")
    return [before, *(metric for part in PARTS for metric in part(quick))]
