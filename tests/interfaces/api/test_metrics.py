"""The metrics page: every name of docs/observability.md, with what was counted; labels are bounded and escaped."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families

from microclaw.agent.tasks.setup import task_metrics
from microclaw.devices.link.meter import LaneName, LinkMeter
from microclaw.devices.telemetry.setup import MAX_SERIES as MAX_TELEMETRY
from microclaw.devices.telemetry.setup import telemetry_metrics
from microclaw.host.builder.hooks import HostHooks
from microclaw.host.cluster.status import COUNTS
from microclaw.interfaces.api.loop_watch import LoopWatch
from microclaw.interfaces.api.metrics_page import MAX_SERIES, host_metrics, metrics_page
from microclaw.interfaces.mqtt.setup import mqtt_metrics
from microclaw.programs.changes.reconciler import DeviceCheck

DOCS = Path(__file__).parents[3] / "docs/observability.md"
NO_DEPTHS: Mapping[LaneName, int] = {"media": 0, "control": 0, "telemetry": 0}


MQTT: Mapping[str, Any] = {
    "state": "on",
    "buffer": {"events": 3, "telemetry": 5, "bytes": 900, "lost_events": 0, "lost_telemetry": 2, "lost_unwritten": 1},
    "acknowledged": 17,
    "commands": {"done": 4, "refused": 1, "failed": 0, "unknown": 0, "dropped": 9},
}


CLUSTER = dict.fromkeys(
    ("connected", "member", "hosts", "hosts_gone", "entries", "entries_behind", "conflicts", *COUNTS), 1.0
)


def metrics(
    link: LinkMeter | None = None,
    kept: Iterable[DeviceCheck] = (),
    depths: Mapping[LaneName, int] = NO_DEPTHS,
    mqtt: Mapping[str, Any] | None = None,
    cluster: Mapping[str, float] | None = None,
    telemetry: Iterable[tuple[str, str, float]] = (),
) -> Iterable[Metric]:
    """Of a host with these parts."""
    of = SimpleNamespace
    history: Any = of(recent=lambda: telemetry)
    tasks: Any = of(counts=lambda: {"running": 0, "waiting": 0, "endings": {}})
    hooks = HostHooks(metrics=[lambda: telemetry_metrics(history), lambda: task_metrics(tasks)])
    if mqtt is not None:
        hooks.metrics.append(lambda: mqtt_metrics(mqtt))
    host = of(
        link=None if link is None else of(meter=link, links=of(depths=lambda: depths)),
        apps=of(reconciler=of(status=lambda: kept)),
        devices=of(list=lambda: range(7)),
        hooks=hooks,
    )
    if cluster is None:
        view: Any = None
    else:
        view = of(gauges=lambda: cluster)
    parts: dict[str, Any] = {"host": host, "live": of(listeners=2), "cluster": view}
    return host_metrics(**parts, loop_watch=LoopWatch())


def lines(what: Iterable[Metric]) -> list[str]:
    return [line for line in metrics_page(what).decode().splitlines() if not line.startswith("#")]


def device(name: str, *, unreachable_since_ms: int | None = None) -> DeviceCheck:
    return DeviceCheck("d-1", name, unreachable_since_ms)


def test_every_metric_of_the_docs_is_there_with_its_kind_and_no_other() -> None:
    rows = re.findall(r"^\| (`[a-z].*?) \| (\w+) \|", DOCS.read_text(), re.MULTILINE)
    documented = {name: kind for names, kind in rows for name in re.findall(r"`(\w+)", names) if kind in KINDS}
    found = {
        family.name + ("_total" if family.type == "counter" else ""): family.type
        for family in text_string_to_metric_families(
            metrics_page(metrics(LinkMeter(), mqtt=MQTT, cluster=CLUSTER)).decode()
        )
    }
    assert found == documented


KINDS = ("counter", "gauge", "histogram")


def test_histogram_buckets_add_up_and_a_bound_is_inclusive() -> None:
    meter = LinkMeter()
    for value in (0.0005, 0.005, 0.004, 70):
        meter.count_rtt(value)
    found = [line.removeprefix("microclaw_link_rtt_seconds_") for line in lines(metrics(meter)) if "rtt" in line]
    assert found[:3] == ['bucket{le="0.001"} 1.0', 'bucket{le="0.0025"} 1.0', 'bucket{le="0.005"} 3.0']
    assert found[-4:] == ['bucket{le="10"} 3.0', 'bucket{le="+Inf"} 4.0', "count 4.0", "sum 70.0095"]


def test_device_names_are_escaped_and_series_bounded() -> None:
    found = lines(metrics(kept=[device('kit"chen\\\n'), device("hall", unreachable_since_ms=1)]))
    assert 'microclaw_device_reachable{device="kit\\"chen\\\\\\n"} 1.0' in found
    assert 'microclaw_device_reachable{device="hall"} 0.0' in found
    found = lines(metrics(telemetry=[("lamp", "room/temperature", 21.5), ('k"x', "rssi", -56)]))
    assert 'microclaw_device_telemetry{device="lamp",key="room/temperature"} 21.5' in found
    assert 'microclaw_device_telemetry{device="k\\"x",key="rssi"} -56.0' in found
    for name, many, most in (
        ("reachable", metrics(kept=[device(f"d{n}") for n in range(MAX_SERIES + 50)]), MAX_SERIES),
        ("telemetry", metrics(telemetry=((f"d{n}", "r", 1.0) for n in range(MAX_TELEMETRY + 9))), MAX_TELEMETRY),
    ):
        assert sum(line.startswith(f"microclaw_device_{name}") for line in lines(many)) == most
