"""The sentences that the offline model gets right or acts wrongly on, and the time one takes it."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections import Counter
from collections.abc import Callable
from functools import partial

from tests.offline.score import Row, Verdict, judge, observe, rows

from bench.report import Metric, median
from microclaw.offline.sentences import english

RUNS = 5


def measure() -> list[Metric]:
    english().parse("blink the led every second")
    shared, own = rows("sentences.tsv"), rows("sentences_own.tsv")
    held_out = [row for row in own if row.held_out]
    everything = [*shared, *own]
    # CPU time, the least of a few runs: what the sentence costs, not what else the machine did.
    took = [min(_cpu_s(partial(english().parse_anew, row.utterance)) for _ in range(RUNS)) for row in everything]
    total, wrong_acts = _score(everything)
    return [
        Metric("not right, shared sentences", _score(shared)[0], "%", 0),
        Metric("not right, all sentences", total, "%", 15),
        Metric("not right, held out", _score(held_out)[0], "%", 15),
        Metric("acted wrongly", wrong_acts, "", 0),
        Metric("CPU a sentence, median", median(took) * 1000, "ms", 5),
        Metric("CPU a sentence, p99", statistics.quantiles(took, n=100)[98] * 1000, "ms", 5),
    ]


def _cpu_s(action: Callable[[], object]) -> float:
    started = time.thread_time()
    action()
    return time.thread_time() - started


def _score(sentences: list[Row]) -> tuple[float, int]:
    """Percent that are not right, and how many acted wrongly."""

    async def verdicts() -> Counter[Verdict]:
        return Counter([judge(row, await observe(row.utterance)) for row in sentences])

    counted = asyncio.run(verdicts())
    return 100 * (1 - counted[Verdict.RIGHT] / counted.total()), counted[Verdict.ACTED_WRONGLY]
