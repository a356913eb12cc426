"""Every part of `bench link` runs, with so little effort that its figures mean nothing: the goals are not looked at."""

from __future__ import annotations

import json
import math
from collections.abc import Callable

import pytest
from bench.lossy_network import missing
from bench.report import Metric, as_json, as_table, percentile

from bench import link_cost, link_hostile, link_lossy, link_streams

COST = link_cost.Effort(
    rtt_rounds=1,
    rtt_a_round=10,
    devices=2,
    echoes=40,
    echo_rounds=1,
    idle_warm=2,
    idle=4,
    handshakes=4,
    storm=4,
    settle_s=0.05,
)
STREAMS = link_streams.Effort(first=2, most=2, step=1, warm_s=0.1, lasts_s=0.3)
HOSTILE = link_hostile.Effort(devices=2, hostile=30, lasts_s=0.3, warm_s=0.1)
LOSSY = link_lossy.Effort(losses=(0.03,), lasts_s=0.3, streams=1)


@pytest.mark.parametrize(
    ("measure", "some"),
    [
        (lambda: link_cost.measure(COST), "RTT p99, link / raw TLS"),
        (lambda: link_streams.measure(STREAMS), "full-duplex streams a core, link"),
        (lambda: link_hostile.measure(HOSTILE), "RTT p99, hostile / quiet"),
    ],
    ids=["cost", "streams", "hostile"],
)
def test_a_part_measures_numbers_under_names_of_their_own(measure: Callable[[], list[Metric]], some: str) -> None:
    _check(measure(), some)


def test_lossy_part_carries_audio_over_a_network_of_its_own() -> None:
    lacks = missing()
    if lacks is not None:
        pytest.skip(lacks)
    metrics = link_lossy.measure(LOSSY)
    _check(metrics, "late frames at 3% loss, 30 ms RTT, link")
    slowest = next(m.value for m in metrics if m.name == "slowest round trip at 3% loss, 30 ms RTT, link")
    assert slowest >= 30


def test_a_document_holds_value_unit_goal_and_whether_it_was_met() -> None:
    metrics = [Metric("most", 3.0, "x", 2.0), Metric("least", 3.0, "x", 2.0, at_least=True), Metric("any", 1.0, "s")]
    assert json.loads(as_json("link", metrics)) == {
        "bench": "link",
        "metrics": {
            "most": {"value": 3.0, "unit": "x", "goal": 2.0, "ok": False},
            "least": {"value": 3.0, "unit": "x", "goal": 2.0, "ok": True},
            "any": {"value": 1.0, "unit": "s", "goal": None, "ok": True},
        },
    }
    assert "goal <= 2 x  MISSED" in as_table("link", metrics)
    assert "goal >= 2 x  ok" in as_table("link", metrics)


def test_a_percentile_is_a_sample_that_so_many_are_below() -> None:
    samples = [float(n) for n in range(1, 101)]
    assert percentile(samples, 50) == 51
    assert percentile(samples, 99) == 100
    assert percentile([1.0], 99) == 1


def _check(metrics: list[Metric], some: str) -> None:
    names = [metric.name for metric in metrics]
    assert some in names
    assert len(set(names)) == len(names)
    assert all(math.isfinite(metric.value) and metric.value >= 0 for metric in metrics)
