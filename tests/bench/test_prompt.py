"""The prompt before a model's first word stays small: read off the wire of a running host, as in `bench prompt`."""

from __future__ import annotations

from bench.prompt import measure
from bench.report import percentile


def test_an_ordinary_device_turn_begins_within_3000_tokens_and_13_tools() -> None:
    metrics = measure()
    assert [(m.name, m.value) for m in metrics if not m.ok] == []
    assert [m.goal for m in metrics[:2]] == [3000, 3000]


def test_a_percentile_is_a_sample_that_so_many_are_below() -> None:
    samples = [float(n) for n in range(1, 101)]
    assert (percentile(samples, 50), percentile(samples, 99), percentile([1.0], 99)) == (51, 100, 1)
