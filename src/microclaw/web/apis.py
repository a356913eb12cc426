"""The two HTTP apps: the control plane on the 0600 socket, and what is open on loopback. It listens on nothing."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from fastapi.responses import HTMLResponse
from starlette.types import ASGIApp

from microclaw import __version__
from microclaw.apps.ports import Compile
from microclaw.config import Limits
from microclaw.metrics import Metrics
from microclaw.web.app_api import app_router
from microclaw.web.chat_api import chat_router
from microclaw.web.compile_api import compile_router
from microclaw.web.device_api import device_router
from microclaw.web.docs_page import HEADERS, docs_page
from microclaw.web.events_api import events_router
from microclaw.web.failures import add_failure_handlers
from microclaw.web.guard import LOOPBACK_NAMES, Guard
from microclaw.web.link_api import link_router
from microclaw.web.metrics_api import metrics_router
from microclaw.web.parts import HostParts


def control_app(parts: HostParts) -> ASGIApp:
    """Everything; whoever can open the socket is the owner."""
    app = _base("microclaw control")
    app.include_router(chat_router(parts))
    app.include_router(link_router(parts))
    app.include_router(device_router(parts))
    app.include_router(app_router(parts))
    app.include_router(compile_router(parts.compile))
    app.include_router(metrics_router(parts.metrics))
    app.include_router(events_router(parts.live, parts.settings.limits.keepalive_s))

    @app.get("/v1/status", tags=["host"], summary="Model, devices, programs")
    async def status() -> dict[str, Any]:
        return await parts.status()

    limits = parts.settings.limits
    return Guard(app, body_bytes=limits.control_body_bytes, body_s=limits.body_s)


def people_app(compile_source: Compile, metrics: Metrics, limits: Limits) -> ASGIApp:
    """Nothing that touches a device: that stays on the socket until there are tokens."""
    app = _base("microclaw")
    app.include_router(compile_router(compile_source))
    app.include_router(metrics_router(metrics))
    return Guard(app, body_bytes=limits.body_bytes, body_s=limits.body_s, allowed_hosts=LOOPBACK_NAMES)


def _base(title: str) -> FastAPI:
    app = FastAPI(title=title, version=__version__, docs_url=None, redoc_url=None, openapi_url="/api/openapi.json")
    add_failure_handlers(app)

    @app.get("/api/docs", include_in_schema=False)
    async def docs() -> HTMLResponse:
        return HTMLResponse(docs_page(app.openapi()), headers=HEADERS)

    @app.get("/healthz", tags=["host"], summary="Alive")
    async def healthz() -> dict[str, Any]:
        return {"ok": True, "version": __version__}

    return app
