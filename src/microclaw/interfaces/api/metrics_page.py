"""The host's measurements, as families of Prometheus' client (docs/observability.md lists them). It counts nothing."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import accumulate, islice
from typing import TYPE_CHECKING, Any, Final

from prometheus_client import generate_latest
from prometheus_client.metrics_core import CounterMetricFamily as Counter
from prometheus_client.metrics_core import GaugeMetricFamily as Gauge
from prometheus_client.metrics_core import HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from microclaw import __version__
from microclaw.devices.link.meter import RTT_BOUNDS_S, LaneName, LinkMeter
from microclaw.host.builder.hooks import MetricFamily
from microclaw.interfaces.api.event_routes import LiveFeed
from microclaw.interfaces.api.host import HostInfo
from microclaw.interfaces.api.loop_watch import LoopWatch
from microclaw.interfaces.api.status import resident_mb

if TYPE_CHECKING:
    from microclaw.host.cluster.status import ClusterView

# Enough for every device of a full host.
MAX_SERIES: Final = 1_100


def metrics_page(metrics: Iterable[Metric]) -> bytes:
    """Return the metrics as Prometheus text 0.0.4."""
    # The library's own registry is not used: there is only one for the whole process.
    return generate_latest(_Collected(metrics))


@dataclass(frozen=True)
class _Collected(Collector):
    metrics: Iterable[Metric]

    def collect(self) -> Iterable[Metric]:
        return self.metrics


def host_metrics(
    *, host: HostInfo, live: LiveFeed, cluster: ClusterView | None, loop_watch: LoopWatch
) -> Iterator[Metric]:
    """Yield every metric of a host and of its rooms."""
    if host.link is not None:
        yield from link_metrics(host.link.meter, host.link.links.depths())
    if cluster is not None:
        yield from cluster_metrics(cluster.gauges())
    yield _by(Gauge, "microclaw_info", "The host's version", "version", {__version__: 1})
    yield Gauge("microclaw_devices", "Devices the host knows", value=len(host.devices.list()))
    checks = islice(host.apps.reconciler.status(), MAX_SERIES)
    reached = {check.device_name: float(check.unreachable_since_ms is None) for check in checks}
    about = "1 when a device with programs answered the last check"
    yield _by(Gauge, "microclaw_device_reachable", about, "device", reached)
    yield from map(_family, host.hooks.read_metrics())
    yield Gauge("microclaw_event_listeners", "Open streams of live events", value=live.listeners)
    about = "Moments of a second or more in which the event loop stood still"
    yield Counter("microclaw_loop_stalls_total", about, value=loop_watch.stalls)
    yield Gauge("microclaw_loop_longest_stall_seconds", "The longest of them", value=loop_watch.longest_s)
    yield Gauge("process_resident_memory_bytes", "Memory in RAM", value=resident_mb() * (1 << 20))
    yield Gauge("microclaw_process_cpu_seconds", "User and system time spent", value=time.process_time())


def link_metrics(meter: LinkMeter, depths: Mapping[LaneName, int]) -> Iterator[Metric]:
    """Yield the metrics of the link to the devices."""
    about = "Messages waiting to be sent, all connections together"
    yield _by(Gauge, "microclaw_link_queue_depth", about, "lane", depths)
    yield Gauge("microclaw_link_connections", "Devices connected over the link now", value=meter.connections)
    bounds = (*(f"{bound:g}" for bound in RTT_BOUNDS_S), "+Inf")
    counts = map(float, accumulate(meter.rtt_counts))
    buckets = list(zip(bounds, counts, strict=True))
    about = "Round trip of the link's own pings"
    yield HistogramMetricFamily("microclaw_link_rtt_seconds", about, buckets, meter.rtt_sum_s)
    dropped = meter.dropped_by_lane
    yield _by(Counter, "microclaw_link_dropped_total", "Messages that a full lane lost", "lane", dropped)
    yield Counter("microclaw_link_replayed_total", "Durable messages sent again", value=meter.replayed_messages)
    about = "Audio frames dropped because they were too old"
    yield Counter("microclaw_link_glitches_total", about, value=meter.glitches)
    about = "Connections refused or broken off"
    yield _by(Counter, "microclaw_link_refused_total", about, "reason", meter.refused_by_reason)


def cluster_metrics(cluster: Mapping[str, float]) -> Iterator[Metric]:
    """Yield the metrics of `cluster`, the counts of host/cluster/status.py."""
    gauges = {
        "connected": "1 while the shared database answers",
        "member": "1 while this host's lease is good",
        "hosts": "Hosts with a lease, as this one sees them",
        "hosts_gone": "Hosts whose lease ended without a goodbye within a day, and that are not back",
    }
    for name, about in gauges.items():
        yield Gauge(f"microclaw_cluster_{name}", about, value=cluster[name])
    for what, about, outcomes in (
        ("calls", "Calls of other hosts to devices here", ("served", "refused")),
        ("events", "Live events between this host and the others", ("sent", "taken", "dropped", "refused")),
    ):
        values = {outcome: cluster[f"{what}_{outcome}"] for outcome in outcomes}
        yield _by(Counter, f"microclaw_cluster_{what}_total", about, "outcome", values)


def _family(added: MetricFamily) -> Metric:
    """Return the metric of a room in the form of the client library."""
    kind = Gauge if added.kind == "gauge" else Counter
    family = kind(added.name, added.about, labels=added.labels)
    for values, value in added.series:
        family.add_metric(values, value)
    return family


def _by(kind: type[Gauge | Counter], name: str, about: str, label: str, values: Mapping[Any, float]) -> Metric:
    """Return a family with one series for each value of the label."""
    family = kind(name, about, labels=(label,))
    for label_value, value in values.items():
        family.add_metric((label_value,), value)
    return family
