"""MQTT as a part of the host: what it shows, and its opening. This file sends nothing."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

from msgspec import Struct

from microclaw.host.builder.builder import HostBuilder
from microclaw.host.builder.hooks import MetricFamily, Row, StatusField, label_series
from microclaw.interfaces.mqtt.text import mqtt_line


class _MqttState(Struct):
    read: Callable[[], Mapping[str, Any]]


def setup(host: HostBuilder) -> None:
    """Publish events and measurements to a broker, if the settings name one."""
    state = _MqttState(_without_broker)
    if host.settings.mqtt.url is not None:
        host.enter(_serving(host, state))
    _show(host, state)


def _without_broker() -> Mapping[str, Any]:
    return {"state": "off", "text": None, "next": "microclaw config set mqtt.url mqtt://HOST:1883"}


@asynccontextmanager
async def _serving(host: HostBuilder, state: _MqttState) -> AsyncIterator[None]:
    # Only a host with a broker needs its client.
    from microclaw.interfaces.mqtt.opening import open_mqtt

    async with AsyncExitStack() as stack:
        state.read = await open_mqtt(host, stack)
        yield


def _show(host: HostBuilder, state: _MqttState) -> None:
    async def rows() -> AsyncIterator[Row]:
        status = state.read()
        if status["state"] != "off":
            yield "mqtt", mqtt_line(status)

    def metrics() -> Iterator[MetricFamily]:
        status = state.read()
        if status["state"] != "off":
            yield from mqtt_metrics(status)

    host.hooks.on_screen("connections", rows)
    host.hooks.metrics.append(metrics)
    host.hooks.fields.append(StatusField("mqtt", dict[str, Any], lambda: dict(state.read()), for_owners=True))


def mqtt_metrics(status: Mapping[str, Any]) -> Iterator[MetricFamily]:
    """Yield the metrics of MQTT's part of the status."""
    buffer = status["buffer"]
    is_connected = float(status["state"] == "on")
    about = "1 while the broker has this host"
    yield MetricFamily("gauge", "microclaw_mqtt_connected", about, (), [((), is_connected)])
    waiting = {"event": buffer["events"], "telemetry": buffer["telemetry"]}
    about = "Messages that wait for the broker"
    yield MetricFamily("gauge", "microclaw_mqtt_buffered", about, ("kind",), label_series(waiting))
    about = "What they take on the disk"
    yield MetricFamily("gauge", "microclaw_mqtt_buffer_bytes", about, (), [((), buffer["bytes"])])
    kinds = {"event": "lost_events", "telemetry": "lost_telemetry", "unwritten": "lost_unwritten"}
    lost = {kind: buffer[name] for kind, name in kinds.items()}
    about = "Messages that the full buffer lost"
    yield MetricFamily("counter", "microclaw_mqtt_lost_total", about, ("kind",), label_series(lost))
    about = "Messages that the broker has"
    acknowledged = status["acknowledged"]
    yield MetricFamily("counter", "microclaw_mqtt_acknowledged_total", about, (), [((), acknowledged)])
    if status["commands"] is not None:
        about = "Commands by how they ended"
        outcomes = label_series(status["commands"])
        yield MetricFamily("counter", "microclaw_mqtt_commands_total", about, ("outcome",), outcomes)
