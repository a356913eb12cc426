"""Builds what keeps the devices' telemetry and crashes, and runs it. It holds no logic of its own."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Final

from microclaw.app.devices import Apps, Base, Devices
from microclaw.clock import now_ms
from microclaw.devices.registry import Registry
from microclaw.store.downsampling import Downsampling
from microclaw.store.telemetry import TelemetryTable
from microclaw.supervision import SupervisedTasks
from microclaw.telemetry.history import FLUSH_S, STEP_S, TelemetryHistory
from microclaw.telemetry.reported import CrashLog, ReportedEvents

MAX_METRICS: Final = 16  # series a device


@dataclass(frozen=True, slots=True)
class DeviceRecords:
    """What devices measured, and how they failed."""

    history: TelemetryHistory
    crashes: CrashLog
    reported: ReportedEvents

    def metrics(self, devices: Registry) -> Iterator[tuple[str, str, float]]:
        """Device, series and last value, for /metrics."""
        names = {device.device_id: device.name for device in devices.list()}
        for last in self.history.recent(MAX_METRICS):
            yield names[last.device_id], last.key, last.value


def build_records(base: Base, devices: Devices, apps: Apps) -> DeviceRecords:
    """Telemetry is kept from now on; `keep_records` writes it."""
    history = TelemetryHistory(
        TelemetryTable(base.database),
        Downsampling(base.database),
        devices.registry,
        now_ms=now_ms,
        monotonic_s=time.monotonic,
    )
    reported = ReportedEvents(
        base.database,
        devices.registry,
        devices.links,
        history,
        in_source=apps.source_log.in_source,
        publish=base.publish,
    )
    devices.reports.telemetry = history.took
    devices.reports.impossible = history.impossible
    devices.reports.event = reported.news
    return DeviceRecords(history, CrashLog(base.database), reported)


def keep_records(records: DeviceRecords, tasks: SupervisedTasks, stack: AsyncExitStack) -> None:
    """As long as `stack`; what waits then is written."""
    stack.push_async_callback(records.history.flush)
    for task in (
        tasks.start("keep telemetry", records.history.flush, every_s=FLUSH_S),
        tasks.start("make telemetry smaller", records.history.downsample, every_s=STEP_S),
        tasks.start("collect crashes and readings", records.reported.follow),
    ):
        stack.callback(task.cancel)
