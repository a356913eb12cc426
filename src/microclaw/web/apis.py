"""The HTTP apps: the control plane on the 0600 socket, and the people plane on loopback. It listens on nothing."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from fastapi.responses import HTMLResponse
from starlette.types import ASGIApp

from microclaw import __version__
from microclaw.web.app_api import app_router
from microclaw.web.approval_api import approval_router
from microclaw.web.bearer import Bearer
from microclaw.web.caller import OWNER_HERE, As, By
from microclaw.web.chat_api import chat_router
from microclaw.web.compile_api import compile_router
from microclaw.web.device_api import device_router
from microclaw.web.docs_page import HEADERS, docs_page
from microclaw.web.events_api import events_router
from microclaw.web.failures import add_failure_handlers
from microclaw.web.guard import LOOPBACK_NAMES, Guard
from microclaw.web.knowledge_api import KnowledgeParts, knowledge_router
from microclaw.web.link_api import link_router
from microclaw.web.metrics_api import metrics_router
from microclaw.web.openai_api import openai_router
from microclaw.web.parts import HostParts
from microclaw.web.people_api import people_router, token_router
from microclaw.web.schedule_api import schedule_router
from microclaw.web.status import for_everybody
from microclaw.web.subagent_api import subagent_router
from microclaw.web.tools_api import tools_router
from microclaw.web.usage_api import usage_router


def host_api(parts: HostParts) -> FastAPI:
    """Every route, for both planes: who calls is in the request (web.caller)."""
    app = _base("microclaw")
    app.include_router(chat_router(parts))
    app.include_router(openai_router(parts))
    app.include_router(link_router(parts))
    app.include_router(device_router(parts))
    app.include_router(app_router(parts))
    app.include_router(tools_router(parts))
    app.include_router(approval_router(parts))
    app.include_router(people_router(parts))
    app.include_router(token_router(parts))
    app.include_router(usage_router(parts))
    if parts.knowledge is not None:
        names = frozenset(tool.name for tool in parts.toolbox.tools)
        app.include_router(knowledge_router(KnowledgeParts(parts.settings, parts.gate, parts.knowledge, names)))
    if parts.schedules is not None:
        app.include_router(schedule_router(parts.schedules))
        app.include_router(subagent_router(parts.schedules.subagents, parts.gate))
    app.include_router(compile_router(parts.compile))
    app.include_router(metrics_router(parts.metrics))
    app.include_router(events_router(parts.live, parts.settings.limits.keepalive_s))

    @app.get("/v1/status", tags=["host"], summary="Model, devices, programs")
    async def status(by: By) -> dict[str, Any]:
        found = await parts.status()
        person = parts.people.get(by.principal)
        return found if person is not None and person.role == "owner" else for_everybody(found)

    return app


def control_app(parts: HostParts, api: ASGIApp) -> ASGIApp:
    """Everything; whoever can open the socket is the owner."""
    limits = parts.settings.limits
    app = As(api, OWNER_HERE)
    return Guard(app, body_bytes=limits.control_body_bytes, body_s=limits.body_s)


def people_app(parts: HostParts, api: ASGIApp) -> ASGIApp:
    """With a token the whole API, as far as its person's role goes; without one nothing that touches a device."""
    limits = parts.settings.limits
    outside = _base("microclaw")
    outside.include_router(compile_router(parts.compile))
    outside.include_router(metrics_router(parts.metrics))
    app = Bearer(
        inside=Guard(api, body_bytes=limits.control_body_bytes, body_s=limits.body_s),
        outside=Guard(outside, body_bytes=limits.body_bytes, body_s=limits.body_s),
        tokens=parts.tokens,
    )
    return Guard(app, body_bytes=None, body_s=limits.body_s, allowed_hosts=LOOPBACK_NAMES)


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
