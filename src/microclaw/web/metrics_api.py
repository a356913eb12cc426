"""GET /metrics and what the host says of itself there. Devices appear by name; no payloads, no people's names."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable

from fastapi import APIRouter, Response

from microclaw import __version__
from microclaw.apps.keeper import KeptDevice
from microclaw.metrics import CONTENT_TYPE, Labels, Metrics
from microclaw.web.status import resident_mb


def metrics_router(metrics: Metrics) -> APIRouter:
    router = APIRouter(tags=["host"])

    @router.get("/metrics", summary="Counters, gauges and histograms as Prometheus text", response_class=Response)
    async def read_metrics() -> Response:
        return Response(metrics.render(), media_type=CONTENT_TYPE)

    return router


def add_host_metrics(
    metrics: Metrics,
    *,
    devices: Callable[[], int],
    kept: Callable[[], Iterable[KeptDevice]],
    listeners: Callable[[], int],
) -> None:
    """The host's own series; everything is read when somebody asks."""

    def up() -> Iterable[tuple[Labels, float]]:
        return [({"device": each.device_name}, each.unreachable_since_ms is None) for each in kept()]

    metrics.observed("microclaw_info", "The host's version", lambda: [({"version": __version__}, 1)])
    metrics.observed("microclaw_devices", "Devices the host knows", lambda: [({}, devices())])
    metrics.observed("microclaw_device_reachable", "1 when a device with programs answered the last check", up)
    metrics.observed("microclaw_event_listeners", "Open streams of live events", lambda: [({}, listeners())])
    metrics.observed("process_resident_memory_bytes", "Memory in RAM", lambda: [({}, resident_mb() * (1 << 20))])
    metrics.observed("microclaw_process_cpu_seconds", "User and system time spent", lambda: [({}, time.process_time())])
