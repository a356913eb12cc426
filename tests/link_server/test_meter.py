"""The link's metrics: every name of the contract, counted where it belongs."""

from __future__ import annotations

from microclaw.link_server.meter import LinkMetrics
from microclaw.metrics import Metrics


def _lines(metrics: Metrics) -> set[str]:
    return {line for line in metrics.render().splitlines() if not line.startswith("#")}


def test_quiet_link_shows_every_metric_as_zero() -> None:
    metrics = Metrics()
    LinkMetrics(metrics, lambda: {"media": 0, "control": 0, "telemetry": 0})
    assert _lines(metrics) >= {
        "microclaw_link_connections 0",
        "microclaw_link_rtt_seconds_count 0",
        'microclaw_link_queue_depth{lane="control"} 0',
        'microclaw_link_dropped_total{lane="telemetry"} 0',
        "microclaw_link_replayed_total 0",
        "microclaw_link_glitches_total 0",
        'microclaw_link_refused_total{reason="revoked"} 0',
    }


def test_what_the_link_reports_is_counted_under_its_name() -> None:
    metrics = Metrics()
    meter: LinkMetrics = LinkMetrics(metrics, lambda: {"media": 3, "control": 0, "telemetry": 1})
    meter.connected(+1)
    meter.connected(+1)
    meter.connected(-1)
    meter.measured(0.004)
    meter.dropped("telemetry", 5)
    meter.replayed(2)
    meter.glitched(7)
    meter.refused("not_authenticated")
    assert _lines(metrics) >= {
        "microclaw_link_connections 1",
        'microclaw_link_rtt_seconds_bucket{le="0.0025"} 0',
        'microclaw_link_rtt_seconds_bucket{le="0.005"} 1',
        'microclaw_link_queue_depth{lane="media"} 3',
        'microclaw_link_dropped_total{lane="telemetry"} 5',
        'microclaw_link_dropped_total{lane="media"} 0',
        "microclaw_link_replayed_total 2",
        "microclaw_link_glitches_total 7",
        'microclaw_link_refused_total{reason="not_authenticated"} 1',
    }
