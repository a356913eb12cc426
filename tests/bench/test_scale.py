"""`bench scale` runs, with so little effort that its figures mean nothing: the goals are not looked at."""

from __future__ import annotations

import math

from bench.report import Metric

from bench import scale_devices

DEVICES = scale_devices.Effort(few=2, many=3, rest_s=0.2, settle_s=0.1, failover=3)


def test_devices_rest_at_a_host_and_leave_one_that_is_killed() -> None:
    metrics = _check(scale_devices.measure(DEVICES))
    assert metrics["devices lost of 3"] == 0
    assert metrics["kill -9 of a host with 3 devices: tries a device"] >= 1


def _check(metrics: list[Metric]) -> dict[str, float]:
    found = {metric.name: metric.value for metric in metrics}
    assert len(found) == len(metrics)
    assert all(math.isfinite(value) for value in found.values())
    return found
