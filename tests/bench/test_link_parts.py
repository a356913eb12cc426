"""Parts of `bench link` run, with so little effort that their figures mean nothing: the goals are not looked at."""

from __future__ import annotations

import math

import pytest
from bench.lossy_network import missing
from bench.report import Metric, percentile

from bench import link_cost, link_lossy

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
LOSSY = link_lossy.Effort(losses=(0.03,), lasts_s=0.3, streams=1)


def test_the_costs_are_numbers_under_names_of_their_own() -> None:
    _check(link_cost.measure(COST), "RTT p99, link / raw TLS")


def test_lossy_part_carries_audio_over_a_network_of_its_own() -> None:
    lacks = missing()
    if lacks is not None:
        pytest.skip(lacks)
    metrics = link_lossy.measure(LOSSY)
    _check(metrics, "late frames at 3% loss, 30 ms RTT, link")
    slowest = next(m.value for m in metrics if m.name == "slowest round trip at 3% loss, 30 ms RTT, link")
    assert slowest >= 30


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
