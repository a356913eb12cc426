"""The metrics page: every name of docs/observability.md, with what was counted; labels are bounded and escaped."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from microclaw.api.metrics import MetricSources
from microclaw.api.metrics_page import MAX_SERIES, MAX_TELEMETRY, metrics_page
from microclaw.apps.reconciler import DeviceCheck
from microclaw.cluster.status import COUNTS
from microclaw.link_server.meter import LaneName, LinkMeter
from microclaw.voice.trace import VoiceTrace, VoiceTraces

DOCS = Path(__file__).parents[2] / "docs/observability.md"
NO_DEPTHS: Mapping[LaneName, int] = {"media": 0, "control": 0, "telemetry": 0}


MQTT_OFF: Mapping[str, Any] = {"state": "off"}
MQTT: Mapping[str, Any] = {
    "state": "on",
    "buffer": {"events": 3, "telemetry": 5, "bytes": 900, "lost_events": 0, "lost_telemetry": 2, "lost_unwritten": 1},
    "acknowledged": 17,
    "commands": {"done": 4, "refused": 1, "failed": 0, "unknown": 0, "dropped": 9},
}


CLUSTER = dict.fromkeys(
    ("connected", "member", "hosts", "hosts_gone", "entries", "entries_behind", "conflicts", *COUNTS), 1.0
)


def sources(
    link: LinkMeter | None = None,
    kept: Iterable[DeviceCheck] = (),
    depths: Mapping[LaneName, int] = NO_DEPTHS,
    voice: VoiceTraces | None = None,
    mqtt: Mapping[str, Any] = MQTT_OFF,
    cluster: Mapping[str, float] | None = None,
) -> MetricSources:
    parts = (lambda: 7, lambda: kept, lambda: 2, link, lambda: depths, lambda: voice, lambda: mqtt)
    return MetricSources(*parts, cluster=lambda: cluster)


def lines(what: MetricSources) -> list[str]:
    return [line for line in metrics_page(what).decode().splitlines() if not line.startswith("#")]


def device(name: str, *, unreachable_since_ms: int | None = None) -> DeviceCheck:
    return DeviceCheck("d-1", name, 0, unreachable_since_ms)


def test_every_metric_of_the_docs_is_there_with_its_kind_and_no_other() -> None:
    rows = re.findall(r"^\| (`[a-z].*?) \| (\w+) \|", DOCS.read_text(), re.MULTILINE)
    documented = {name: kind for names, kind in rows for name in re.findall(r"`(\w+)", names) if kind in KINDS}
    found = {
        family.name + ("_total" if family.type == "counter" else ""): family.type
        for family in text_string_to_metric_families(
            metrics_page(sources(LinkMeter(), voice=VoiceTraces(), mqtt=MQTT, cluster=CLUSTER)).decode()
        )
    }
    assert found == documented


def test_calls_and_events_of_a_cluster_are_counted_by_their_outcome() -> None:
    counted = {**CLUSTER, "calls_served": 5, "calls_refused": 2, "events_dropped": 3}
    assert set(lines(sources(cluster=counted))) >= {
        'microclaw_cluster_calls_total{outcome="served"} 5.0',
        'microclaw_cluster_calls_total{outcome="refused"} 2.0',
        'microclaw_cluster_events_total{outcome="dropped"} 3.0',
    }


def test_the_broker_s_buffer_and_commands_are_shown() -> None:
    assert set(lines(sources(mqtt=MQTT))) >= {
        "microclaw_mqtt_connected 1.0",
        'microclaw_mqtt_buffered{kind="telemetry"} 5.0',
        "microclaw_mqtt_buffer_bytes 900.0",
        'microclaw_mqtt_lost_total{kind="telemetry"} 2.0',
        "microclaw_mqtt_acknowledged_total 17.0",
        'microclaw_mqtt_commands_total{outcome="dropped"} 9.0',
    }
    assert not [line for line in lines(sources(mqtt={**MQTT, "commands": None})) if "commands" in line]
    assert not [line for line in lines(sources()) if "mqtt" in line]


KINDS = ("counter", "gauge", "histogram")


def test_quiet_link_shows_every_metric_as_zero() -> None:
    assert set(lines(sources(LinkMeter()))) >= {
        "microclaw_link_connections 0.0",
        "microclaw_link_rtt_seconds_count 0.0",
        'microclaw_link_queue_depth{lane="control"} 0.0',
        'microclaw_link_dropped_total{lane="telemetry"} 0.0',
        "microclaw_link_replayed_total 0.0",
        "microclaw_link_glitches_total 0.0",
        'microclaw_link_refused_total{reason="revoked"} 0.0',
        'microclaw_link_refused_total{reason="other"} 0.0',
    }


def test_what_the_link_reports_is_counted_under_its_name() -> None:
    meter = LinkMeter()
    meter.connected(+1)
    meter.connected(+1)
    meter.connected(-1)
    meter.dropped("telemetry", 5)
    meter.replayed(2)
    meter.glitched(7)
    meter.refused("not_authenticated")
    assert set(lines(sources(meter, depths={"media": 3, "control": 0, "telemetry": 1}))) >= {
        "microclaw_link_connections 1.0",
        'microclaw_link_queue_depth{lane="media"} 3.0',
        'microclaw_link_dropped_total{lane="telemetry"} 5.0',
        'microclaw_link_dropped_total{lane="media"} 0.0',
        "microclaw_link_replayed_total 2.0",
        "microclaw_link_glitches_total 7.0",
        'microclaw_link_refused_total{reason="not_authenticated"} 1.0',
    }


def test_histogram_buckets_add_up_and_a_bound_is_inclusive() -> None:
    meter = LinkMeter()
    for value in (0.0005, 0.005, 0.004, 70):
        meter.measured(value)
    found = [line.removeprefix("microclaw_link_rtt_seconds_") for line in lines(sources(meter)) if "rtt" in line]
    assert found[:3] == ['bucket{le="0.001"} 1.0', 'bucket{le="0.0025"} 1.0', 'bucket{le="0.005"} 3.0']
    assert found[-4:] == ['bucket{le="10"} 3.0', 'bucket{le="+Inf"} 4.0', "count 4.0", "sum 70.0095"]


def test_the_durations_of_spoken_turns_are_counted_by_their_names() -> None:
    traces = VoiceTraces()
    trace = VoiceTrace("kitchen", "wake", 1, lambda: 9.0)
    trace.mark("speech end", 1.0)
    trace.mark("end heard", 1.5)
    trace.mark("final", 1.7)
    traces.end(trace, "answered")
    found = {line.removeprefix("microclaw_voice_seconds_") for line in lines(sources(voice=traces)) if "voice" in line}
    assert found >= {
        'bucket{le="0.3",span="endpointing"} 0.0',
        'bucket{le="0.5",span="endpointing"} 1.0',
        'bucket{le="+Inf",span="recognition"} 1.0',
        'count{span="endpointing"} 1.0',
        'count{span="first_token"} 0.0',
    }
    assert not any("voice" in line for line in lines(sources()))


def test_a_host_without_a_link_shows_none_of_its_metrics() -> None:
    assert not any("link" in line for line in lines(sources()))


def test_the_page_is_what_is_so_when_it_is_asked_for() -> None:
    meter = LinkMeter()
    what = sources(meter)
    assert "microclaw_link_glitches_total 0.0" in lines(what)
    meter.glitched()
    assert "microclaw_link_glitches_total 1.0" in lines(what)
    assert {"microclaw_devices 7.0", "microclaw_event_listeners 2.0"} <= set(lines(what))


def test_device_names_are_escaped() -> None:
    found = lines(sources(kept=[device('kit"chen\\\n'), device("hall", unreachable_since_ms=1)]))
    assert 'microclaw_device_reachable{device="kit\\"chen\\\\\\n"} 1.0' in found
    assert 'microclaw_device_reachable{device="hall"} 0.0' in found


def test_series_are_bounded() -> None:
    found = lines(sources(kept=[device(f"d{n}") for n in range(MAX_SERIES + 50)]))
    assert sum(line.startswith("microclaw_device_reachable") for line in found) == MAX_SERIES


def test_the_last_value_of_each_series_is_told_by_device_and_bounded() -> None:
    what = replace(sources(), telemetry=lambda: [("lamp", "room/temperature", 21.5), ('k"x', "rssi", -56)])
    found = set(lines(what))
    assert 'microclaw_device_telemetry{device="lamp",key="room/temperature"} 21.5' in found
    assert 'microclaw_device_telemetry{device="k\\"x",key="rssi"} -56.0' in found
    many = replace(sources(), telemetry=lambda: ((f"d{n}", "rssi", 1.0) for n in range(MAX_TELEMETRY + 9)))
    assert sum(line.startswith("microclaw_device_telemetry") for line in lines(many)) == MAX_TELEMETRY


def test_two_hosts_in_one_process_count_apart() -> None:
    one, other = LinkMeter(), LinkMeter()
    one.glitched(3)
    assert "microclaw_link_glitches_total 3.0" in lines(sources(one))
    assert "microclaw_link_glitches_total 0.0" in lines(sources(other))
