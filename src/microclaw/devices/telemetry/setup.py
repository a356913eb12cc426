"""Telemetry as a part of the host: it keeps what devices measure and report. This file starts nothing."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Iterator
from itertools import islice
from typing import Final

from microclaw.clock import now_ms
from microclaw.devices.link.device_facts import LastValues
from microclaw.devices.link.links import LinkRegistry
from microclaw.devices.registry.registry import Registry
from microclaw.devices.telemetry.history import FLUSH_S, STEP_S, TelemetryHistory
from microclaw.devices.telemetry.operations import refused_values, show
from microclaw.devices.telemetry.part_readings import PartReadings
from microclaw.devices.telemetry.reported import ReportedEvents
from microclaw.host.builder.builder import HostBuilder
from microclaw.host.builder.hooks import MetricFamily, Row
from microclaw.host.store.downsampling import Downsampling
from microclaw.host.store.telemetry import TelemetryTable

# Series in the metrics.
MAX_SERIES: Final = 5_000


def setup(host: HostBuilder) -> None:
    """Keep the values and the reports of devices."""
    registry = host.need(Registry)
    links = host.need(LinkRegistry)
    history = TelemetryHistory(
        TelemetryTable(host.database),
        Downsampling(host.database),
        registry,
        now_ms=now_ms,
        monotonic_s=time.monotonic,
    )
    reported = ReportedEvents(host.database, registry, links, history, publish=host.publish)
    reports = links.parts.reports
    reports.telemetry = history.add_message
    reports.impossible = history.count_impossible
    reports.event = reported.news
    host.offer(history)
    host.serves(show, history)
    host.task("keep telemetry", history.flush, every_s=FLUSH_S)
    host.task("make telemetry smaller", history.downsample, every_s=STEP_S)
    host.task("collect crashes and readings", reported.follow)
    host.task("read wired parts", PartReadings(registry, history).follow)
    # It writes the values that wait when the tasks have ended.
    host.at_end(history.flush)
    _show(host, history)


def _show(host: HostBuilder, history: TelemetryHistory) -> None:
    async def rows() -> AsyncIterator[Row]:
        for value in refused_values(history):
            yield "telemetry", f"{value.device}: {value.text}"

    host.need(LastValues).add(history.last)
    host.hooks.on_screen("events", rows)
    host.hooks.metrics.append(lambda: telemetry_metrics(history))


def telemetry_metrics(history: TelemetryHistory) -> Iterator[MetricFamily]:
    """Yield the metric with the last values of devices."""
    series = []
    for device, key, value in islice(history.recent(), MAX_SERIES):
        series.append(((device, key), value))
    about = "The last value of each series of a device"
    yield MetricFamily("gauge", "microclaw_device_telemetry", about, ("device", "key"), series)
