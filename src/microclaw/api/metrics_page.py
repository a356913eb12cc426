"""What the host measures, as families of Prometheus' client (docs/observability.md lists them). It counts nothing."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import accumulate, islice
from typing import Any, Final

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from microclaw import __version__
from microclaw.api.parts import HostParts
from microclaw.api.status import resident_mb
from microclaw.link_server.meter import RTT_BOUNDS_S, LaneName, LinkMeter
from microclaw.voice.trace import BOUNDS_S, VoiceTraces

MAX_SERIES: Final = 1_100  # every device of a full host
MAX_TELEMETRY: Final = 5_000
RTT_LABELS: Final = (*(f"{bound:g}" for bound in RTT_BOUNDS_S), "+Inf")
VOICE_LABELS: Final = (*(f"{bound:g}" for bound in BOUNDS_S), "+Inf")


def metrics_page(metrics: Iterable[Metric]) -> bytes:
    """Prometheus text 0.0.4."""
    registry = CollectorRegistry()  # not the library's own, which is one for the whole process
    registry.register(_Collector(metrics))
    return generate_latest(registry)


class _Collector(Collector):
    def __init__(self, metrics: Iterable[Metric]) -> None:
        self._metrics = list(metrics)

    def collect(self) -> Iterable[Metric]:
        return self._metrics


def host_metrics(parts: HostParts) -> Iterator[Metric]:
    """Every metric of a host."""
    if parts.link is not None:
        yield from link_metrics(parts.link.meter, parts.link.links.depths())
    if parts.voice.service is not None:
        yield _voice_metric(parts.voice.service.parts.traces)
    mqtt = parts.mqtt()
    if mqtt["state"] != "off":
        yield from _mqtt_metrics(mqtt)
    if parts.cluster is not None:
        yield from cluster_metrics(parts.cluster.gauges())
    info = GaugeMetricFamily("microclaw_info", "The host's version", labels=("version",))
    yield _filled(info, [(__version__, 1)])
    yield GaugeMetricFamily("microclaw_devices", "Devices the host knows", value=len(parts.devices.list()))
    reachable = GaugeMetricFamily(
        "microclaw_device_reachable", "1 when a device with programs answered the last check", labels=("device",)
    )
    kept = parts.apps.reconciler.status()
    answers = ((each.device_name, float(each.unreachable_since_ms is None)) for each in kept)
    yield _filled(reachable, list(islice(answers, MAX_SERIES)))
    telemetry = GaugeMetricFamily(
        "microclaw_device_telemetry", "The last value of each series of a device", labels=("device", "key")
    )
    for device, key, value in islice(parts.history.recent(), MAX_TELEMETRY):
        telemetry.add_metric((device, key), value)
    yield telemetry
    yield from _code_metrics(parts.code.counts())
    yield GaugeMetricFamily("microclaw_event_listeners", "Open streams of live events", value=parts.live.listeners)
    yield GaugeMetricFamily("process_resident_memory_bytes", "Memory in RAM", value=resident_mb() * (1 << 20))
    seconds = time.process_time()
    yield GaugeMetricFamily("microclaw_process_cpu_seconds", "User and system time spent", value=seconds)


def link_metrics(meter: LinkMeter, depths: Mapping[LaneName, int]) -> Iterator[Metric]:
    depth = GaugeMetricFamily(
        "microclaw_link_queue_depth", "Messages waiting to be sent, all connections together", labels=("lane",)
    )
    yield _filled(depth, list(depths.items()))
    yield GaugeMetricFamily(
        "microclaw_link_connections", "Devices connected over the link now", value=meter.connections
    )
    buckets = list(zip(RTT_LABELS, map(float, accumulate(meter.rtt_counts)), strict=True))
    yield HistogramMetricFamily(
        "microclaw_link_rtt_seconds", "Round trip of the link's own pings", buckets, meter.rtt_sum_s
    )
    dropped = CounterMetricFamily("microclaw_link_dropped_total", "Messages that a full lane lost", labels=("lane",))
    yield _filled(dropped, [(lane, count) for lane, count in meter.dropped_by_lane.items()])
    yield CounterMetricFamily(
        "microclaw_link_replayed_total", "Durable messages sent again", value=meter.replayed_messages
    )
    yield CounterMetricFamily(
        "microclaw_link_glitches_total", "Audio frames dropped because they were too old", value=meter.glitches
    )
    refused = CounterMetricFamily(
        "microclaw_link_refused_total", "Connections refused or broken off", labels=("reason",)
    )
    yield _filled(refused, [(reason, count) for reason, count in meter.refused_by_reason.items()])


def _mqtt_metrics(mqtt: Mapping[str, Any]) -> Iterator[Metric]:
    """`mqtt` is its part of the host's status."""
    buffer, commands = mqtt["buffer"], mqtt["commands"]
    connected = float(mqtt["state"] == "on")
    yield GaugeMetricFamily("microclaw_mqtt_connected", "1 while the broker has this host", value=connected)
    waiting = GaugeMetricFamily("microclaw_mqtt_buffered", "Messages that wait for the broker", labels=("kind",))
    yield _filled(waiting, [("event", buffer["events"]), ("telemetry", buffer["telemetry"])])
    yield GaugeMetricFamily("microclaw_mqtt_buffer_bytes", "What they take on the disk", value=buffer["bytes"])
    lost = CounterMetricFamily("microclaw_mqtt_lost_total", "Messages that the full buffer lost", labels=("kind",))
    kinds = ("event", "lost_events"), ("telemetry", "lost_telemetry"), ("unwritten", "lost_unwritten")
    yield _filled(lost, [(kind, buffer[name]) for kind, name in kinds])
    acknowledged = mqtt["acknowledged"]
    yield CounterMetricFamily("microclaw_mqtt_acknowledged_total", "Messages that the broker has", value=acknowledged)
    if commands is not None:
        done = CounterMetricFamily("microclaw_mqtt_commands_total", "Commands by how they ended", labels=("outcome",))
        yield _filled(done, list(commands.items()))


def cluster_metrics(cluster: Mapping[str, float]) -> Iterator[Metric]:
    """`cluster` is what cluster/status.py counts."""
    gauges = {
        "connected": "1 while the shared database answers",
        "member": "1 while this host's lease is good",
        "hosts": "Hosts with a lease, as this one sees them",
        "hosts_gone": "Hosts whose lease ended without a goodbye within a day, and that are not back",
    }
    for name, about in gauges.items():
        yield GaugeMetricFamily(f"microclaw_cluster_{name}", about, value=cluster[name])
    for what, about, outcomes in (
        ("calls", "Calls of other hosts to devices here", ("served", "refused")),
        ("events", "Live events between this host and the others", ("sent", "taken", "dropped", "refused")),
    ):
        family = CounterMetricFamily(f"microclaw_cluster_{what}_total", about, labels=["outcome"])
        for outcome in outcomes:
            family.add_metric([outcome], cluster[f"{what}_{outcome}"])
        yield family


def _code_metrics(code: Mapping[str, Any]) -> Iterator[Metric]:
    """`code` is its part of the host's status."""
    tasks = GaugeMetricFamily("microclaw_code_tasks", "Code in the sandbox now", labels=("state",))
    yield _filled(tasks, [("running", code["running"]), ("queued", code["waiting"])])
    ended = CounterMetricFamily("microclaw_code_tasks_ended_total", "Tasks by how they ended", labels=("ending",))
    yield _filled(ended, list(code["endings"].items()))


def _voice_metric(voice: VoiceTraces) -> Metric:
    family = HistogramMetricFamily("microclaw_voice_seconds", "Durations within a spoken turn", labels=("span",))
    for name, found in voice.durations.items():
        buckets = list(zip(VOICE_LABELS, map(float, accumulate(found.counts)), strict=True))
        family.add_metric((name,), buckets, found.sum_s)
    return family


def _filled(family: GaugeMetricFamily | CounterMetricFamily, values: Sequence[tuple[str, float]]) -> Metric:
    """One series for each value of the family's label."""
    for label, value in values:
        family.add_metric((label,), value)
    return family
