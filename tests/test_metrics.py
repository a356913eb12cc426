"""Metrics: the text format, bounded labels, misuse."""

from __future__ import annotations

import math

import pytest

from microclaw.metrics import MAX_SERIES, Label, Metrics


def test_counter_without_labels_is_one_line_with_help_and_type() -> None:
    metrics = Metrics()
    metrics.counter("seen_total", "Things seen").series().add(3)
    assert metrics.render() == "# HELP seen_total Things seen\n# TYPE seen_total counter\nseen_total 3\n"


def test_histogram_buckets_add_up_and_a_bound_is_inclusive() -> None:
    metrics = Metrics()
    rtt = metrics.histogram("rtt_seconds", "RTT", (0.01, 0.1)).series()
    for value in (0.005, 0.01, 0.05, 7):
        rtt.observe(value)
    assert metrics.render().splitlines()[2:] == [
        'rtt_seconds_bucket{le="0.01"} 2',
        'rtt_seconds_bucket{le="0.1"} 3',
        'rtt_seconds_bucket{le="+Inf"} 4',
        "rtt_seconds_sum 7.065",
        "rtt_seconds_count 4",
    ]


def test_label_values_and_help_are_escaped() -> None:
    metrics = Metrics()
    family = metrics.gauge("up", 'a\nb \\ "c"', Label("device"))
    family.series('kit"chen\\\n').set(1)
    assert metrics.render().splitlines() == [
        '# HELP up a\\nb \\\\ "c"',
        "# TYPE up gauge",
        'up{device="kit\\"chen\\\\\\n"} 1',
    ]


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0"), (2.5, "2.5"), (1e16, "1e+16"), (-3, "-3"), (math.inf, "+Inf"), (-math.inf, "-Inf"), (math.nan, "NaN")],
)
def test_numbers_are_written_as_the_format_wants_them(value: float, text: str) -> None:
    metrics = Metrics()
    metrics.gauge("g", "g").series().set(value)
    assert metrics.render().splitlines()[-1] == f"g {text}"


def test_series_known_beforehand_show_as_zero() -> None:
    metrics = Metrics()
    metrics.counter("lost_total", "x", Label("lane", frozenset({"media", "control"})))
    assert metrics.render().splitlines()[2:] == ['lost_total{lane="control"} 0', 'lost_total{lane="media"} 0']


def test_value_that_was_not_named_counts_as_other() -> None:
    metrics = Metrics()
    lost = metrics.counter("lost_total", "x", Label("lane", frozenset({"media"})))
    lost.series("surprise").add()
    lost.series("again").add()
    assert 'lost_total{lane="other"} 2' in metrics.render()


def test_series_are_bounded_and_the_rest_is_other() -> None:
    metrics = Metrics()
    seen = metrics.counter("seen_total", "x", Label("device"))
    for n in range(MAX_SERIES + 50):
        seen.series(f"d{n}").add()
    lines = metrics.render().splitlines()[2:]
    assert len(lines) == MAX_SERIES + 1
    assert lines[-1] == 'seen_total{device="other"} 50'


def test_forgotten_series_makes_room() -> None:
    metrics = Metrics()
    seen = metrics.gauge("seen", "x", Label("device"))
    seen.series("kitchen").set(1)
    seen.forget("kitchen")
    assert "kitchen" not in metrics.render()


def test_observed_gauge_is_read_at_each_page() -> None:
    metrics = Metrics()
    depth = {"media": 1}
    metrics.observed("depth", "x", lambda: [({"lane": name}, n) for name, n in depth.items()])
    assert 'depth{lane="media"} 1' in metrics.render()
    depth["media"] = 4
    assert 'depth{lane="media"} 4' in metrics.render()


def test_counter_cannot_go_down() -> None:
    with pytest.raises(ValueError, match="cannot go down"):
        Metrics().counter("seen_total", "x").series().add(-1)


@pytest.mark.parametrize("name", ["1st_total", "a-b_total", "seen"])
def test_bad_counter_name_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="name"):
        Metrics().counter(name, "x")


def test_label_le_belongs_to_histograms() -> None:
    with pytest.raises(ValueError, match="'le'"):
        Metrics().gauge("g", "x", Label("le"))


def test_name_is_given_once() -> None:
    metrics = Metrics()
    metrics.gauge("g", "x")
    with pytest.raises(ValueError, match="already"):
        metrics.gauge("g", "x")


def test_bounds_must_rise() -> None:
    with pytest.raises(ValueError, match="must rise"):
        Metrics().histogram("h", "x", (1, 1))


def test_wrong_number_of_label_values_is_refused() -> None:
    with pytest.raises(ValueError, match="1 labels, got 0"):
        Metrics().gauge("g", "x", Label("device")).series()
