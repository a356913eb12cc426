"""The route of /metrics. The page itself is metrics_page.py's."""

from __future__ import annotations

from typing import Final

from fastapi import APIRouter, Response

from microclaw.api.parts import HostParts

_PROMETHEUS_TEXT: Final = "text/plain; version=0.0.4; charset=utf-8"


def metrics_router(parts: HostParts) -> APIRouter:
    router = APIRouter(tags=["host"])

    @router.get("/metrics", summary="Counters, gauges and histograms as Prometheus text", response_class=Response)
    async def read_metrics() -> Response:
        from microclaw.api.metrics_page import host_metrics, metrics_page  # the client takes 2 MB: for those who ask

        return Response(metrics_page(host_metrics(parts)), media_type=_PROMETHEUS_TEXT)

    return router
