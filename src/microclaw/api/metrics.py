"""The route of /metrics and what it is read from. The page itself is metrics_page.py's."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from fastapi import APIRouter, Response

from microclaw.apps.reconciler import DeviceCheck
from microclaw.link_server.meter import LaneName, LinkMeter
from microclaw.voice.trace import VoiceTraces

_PROMETHEUS_TEXT: Final = "text/plain; version=0.0.4; charset=utf-8"


@dataclass(frozen=True, slots=True)
class MetricSources:
    """Where the metrics are read from. `link` is None in a host without one, `voice` gives None without a voice.

    `telemetry` gives a device's name, its series and the last value; `cluster` None in a host that is alone.
    """

    devices: Callable[[], int]
    kept: Callable[[], Iterable[DeviceCheck]]
    listeners: Callable[[], int]
    link: LinkMeter | None
    depths: Callable[[], Mapping[LaneName, int]]
    voice: Callable[[], VoiceTraces | None] = lambda: None
    mqtt: Callable[[], Mapping[str, Any]] = lambda: {"state": "off"}
    telemetry: Callable[[], Iterable[tuple[str, str, float]]] = lambda: ()
    code: Callable[[], Mapping[str, Any]] = lambda: {"running": 0, "waiting": 0, "endings": {}}
    cluster: Callable[[], Mapping[str, float] | None] = lambda: None


def metrics_router(sources: MetricSources) -> APIRouter:
    router = APIRouter(tags=["host"])

    @router.get("/metrics", summary="Counters, gauges and histograms as Prometheus text", response_class=Response)
    async def read_metrics() -> Response:
        from microclaw.api.metrics_page import metrics_page  # the client takes 2 MB: for those who ask

        return Response(metrics_page(sources), media_type=_PROMETHEUS_TEXT)

    return router
