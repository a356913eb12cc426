"""The report of a benchmark: named metrics with units and goals, as a table or as one JSON document."""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Metric:
    """One figure; `goal` is the most it may be (the least, where `at_least`), None where it is only reported."""

    name: str
    value: float
    unit: str
    goal: float | None = None
    at_least: bool = False

    @property
    def ok(self) -> bool:
        if self.goal is None:
            return True
        if self.at_least:
            return self.value >= self.goal
        return self.value <= self.goal


def median(samples: Sequence[float]) -> float:
    return statistics.median(samples)


def percentile(samples: Sequence[float], share: int) -> float:
    """The sample that `share` percent of them are below."""
    ordered = sorted(samples)
    return ordered[min(len(ordered) - 1, len(ordered) * share // 100)]


def paired_ratio(subject: Callable[[], float], baseline: Callable[[], float], runs: int) -> tuple[float, float, float]:
    """Run the two in turn, each returning its own seconds; give the median of the ratios and both medians in ms."""
    pairs = [(subject(), baseline()) for _ in range(runs)]
    ratio = median([s / b for s, b in pairs])
    return ratio, median([s for s, _ in pairs]) * 1000, median([b for _, b in pairs]) * 1000


def timed(action: Callable[[], object], clock: Callable[[], float] = time.perf_counter) -> float:
    started = clock()
    action()
    return clock() - started


def as_json(bench: str, metrics: Sequence[Metric], indent: int | None = None) -> str:
    body = {m.name: {"value": round(m.value, 4), "unit": m.unit, "goal": m.goal, "ok": m.ok} for m in metrics}
    return json.dumps({"bench": bench, "metrics": body}, indent=indent)


def as_table(bench: str, metrics: Sequence[Metric]) -> str:
    rows = [bench]
    width = max((len(m.name) for m in metrics), default=0)
    for m in metrics:
        sign = ">=" if m.at_least else "<="
        if m.goal is None:
            goal = ""
        else:
            goal = f"goal {sign} {m.goal:g} {m.unit}  {'ok' if m.ok else 'MISSED'}"
        rows.append(f"  {m.name:<{width}} {m.value:>10.3f} {m.unit:<6} {goal}".rstrip())
    return "\n".join(rows)
