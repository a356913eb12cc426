"""The sentences that the offline model gets right or acts wrongly on, and the time one takes it."""

from __future__ import annotations

import asyncio
import statistics
import time
from functools import partial

from tests.agent.offline.turns import WORLDS, Turn, Vector, converse, vectors

from bench.report import Metric, median, timed
from microclaw.agent.offline.sentences import english

RUNS = 5


def measure() -> list[Metric]:
    english().parse("blink the led every second")
    everything = [vector for vector in vectors() if vector.part]
    shared = [vector for vector in everything if vector.part == "shared"]
    held_out = [vector for vector in everything if vector.part == "held out"]
    # CPU time, the least of a few runs: what the sentence costs, not what else the machine did.
    took = [
        min(timed(partial(english().parse_anew, one.chat), time.thread_time) for _ in range(RUNS)) for one in everything
    ]
    total, wrong_acts = _score(everything)
    return [
        Metric("not right, shared sentences", _score(shared)[0], "%", 0),
        Metric("not right, all sentences", total, "%", 15),
        Metric("not right, held out", _score(held_out)[0], "%", 15),
        Metric("acted wrongly", wrong_acts, "", 0),
        Metric("CPU a sentence, median", median(took) * 1000, "ms", 5),
        Metric("CPU a sentence, p99", statistics.quantiles(took, n=100)[98] * 1000, "ms", 5),
    ]


def _score(sentences: list[Vector]) -> tuple[float, int]:
    """Percent that are not right, and how many acted wrongly."""

    async def turns() -> list[Turn]:
        return [await converse(WORLDS[one.world], one.chat) for one in sentences]

    found = list(zip(sentences, asyncio.run(turns()), strict=True))
    wrong = [(one, turn) for one, turn in found if not one.is_right or turn.outcome != one.outcome]
    return 100 * len(wrong) / len(found), sum(bool(turn.acts) for _, turn in wrong)
