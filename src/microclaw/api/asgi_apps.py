"""The ASGI apps: the API on the control socket (mode 0600), and the API with tokens and sessions. It opens no port."""

from __future__ import annotations

from collections.abc import Container
from typing import Any, Final

from fastapi import APIRouter, Depends, FastAPI
from fastapi.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from typing_extensions import TypedDict

from microclaw import __version__
from microclaw.api.access import access_from_network, access_of
from microclaw.api.answers import answers
from microclaw.api.backup_routes import backup_router
from microclaw.api.body import check_form
from microclaw.api.caller import LOCAL_OWNER, BearerAuth, CallerMiddleware, RequestCaller
from microclaw.api.chat_routes import ChatService
from microclaw.api.compile_routes import CompileService
from microclaw.api.credential_end import EndsWithCredential
from microclaw.api.event_routes import events_router
from microclaw.api.failures import add_failure_handlers
from microclaw.api.fleet_routes import fleet_router
from microclaw.api.openai import OpenAiService
from microclaw.api.openapi_document import openapi_of
from microclaw.api.operation_routes import by_hand_routes, operation_routes
from microclaw.api.parts import HostParts
from microclaw.api.request_check import LOOPBACK_NAMES, RequestCheck
from microclaw.api.shares import Shares, WithinShare
from microclaw.api.tool_routes import ToolService
from microclaw.api.waiting import TellsWaiting
from microclaw.apps.queues import CompileQueue

_PROMETHEUS_TEXT: Final = "text/plain; version=0.0.4; charset=utf-8"


class Health(TypedDict):
    """`failing`: background tasks that are tried again and again."""

    ok: bool
    version: str
    failing: list[str]


def host_api(parts: HostParts) -> FastAPI:
    """Every route, for both apps: the caller is in the request (api.caller)."""
    app, admission = _base("microclaw", parts), parts.admission
    app.include_router(fleet_router(parts))
    app.router.routes.extend(operation_routes(parts))
    by_hand = {
        "chat": ChatService(parts),
        "compile": CompileService(parts.services["program"].compiling),
        "job": parts,
        "signin": admission.sign_ins,
        "caller": admission,
        "openai": OpenAiService(parts),
        "task": parts.services["task"],
        "tool": ToolService(parts),
    }
    app.router.routes.extend(by_hand_routes(by_hand))
    app.include_router(backup_router(admission.gate, parts.backups.reading))
    app.include_router(metrics_router(parts))
    app.include_router(
        events_router(parts.live, admission.watching, admission.people, parts.settings.limits.keepalive_s, parts.pins)
    )

    @app.get(
        "/v1/firmware/parts/{name}",
        tags=["install"],
        summary="A part that a manifest named, its bytes",
        response_class=Response,
    )
    async def board_part(name: str, by: RequestCaller) -> Response:
        admission.gate.check_owner(by.person_id, "set up boards")
        data = parts.services["install"].kept(name.removesuffix(".bin"))
        return Response(data, media_type="application/octet-stream")

    return app


def control_socket_app(parts: HostParts, api: ASGIApp) -> ASGIApp:
    """The whole API. Whoever can open the socket is the owner."""
    limits = parts.settings.limits
    app = CallerMiddleware(api, LOCAL_OWNER)
    return RequestCheck(AnswersHead(app), body_bytes=limits.control_body_bytes, body_s=limits.body_s)


def api_app(
    parts: HostParts, api: ASGIApp, allowed_hosts: Container[str] = LOOPBACK_NAMES, *, on_network: bool = False
) -> ASGIApp:
    """With a token or a session: the whole API, as far as the person's role allows. Without one: nothing that touches
    a device, and `on_network` only the pages and the sign-in. `allowed_hosts`: the names by which it may be called."""
    limits, admission = parts.settings.limits, parts.admission
    outside = _base("microclaw", parts)
    outside.router.routes.extend(by_hand_routes({"signin": admission.sign_ins}))
    if not on_network:
        compiling = CompileService(CompileQueue(parts.apps.compile))
        outside.router.routes.extend(by_hand_routes({"compile": compiling}))
        outside.include_router(metrics_router(parts))
    shares = Shares(admission.people)

    def checked(app: ASGIApp, body_bytes: int) -> ASGIApp:
        return RequestCheck(app, body_bytes=body_bytes, body_s=limits.body_s)

    inside = TellsWaiting(checked(api, limits.control_body_bytes), admission.approvals, parts.requests)
    app = BearerAuth(
        inside=WithinShare(
            EndsWithCredential(inside, admission.watching, admission.people, admission.approvals), shares
        ),
        outside=WithinShare(checked(outside, limits.body_bytes), shares),
        tokens=admission.tokens,
        sign_ins=admission.sign_ins,
        access=access_from_network if on_network else access_of,
    )
    return RequestCheck(AnswersHead(app), body_bytes=None, body_s=limits.body_s, allowed_hosts=allowed_hosts)


class AnswersHead:
    """HEAD is GET without its content (RFC 9110, 9.3.2), and what is behind sees GET: it is checked as GET is.

    The server leaves the content away; a stream ends with its headers.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "HEAD":
            await self._app(scope, receive, send)
            return
        is_over = False

        async def send_head(message: Message) -> None:
            nonlocal is_over
            if message["type"] == "http.response.start":
                await send(message)
            elif not is_over:
                is_over = True  # for a stream: `receive` tells it now that nobody listens
                await send({"type": "http.response.body", "body": b""})

        await self._app({**scope, "method": "GET"}, receive, send_head)


def metrics_router(parts: HostParts) -> APIRouter:
    router = APIRouter(tags=["host"])

    @router.get("/metrics", summary="Counters, gauges and histograms as Prometheus text", response_class=Response)
    async def read_metrics() -> Response:
        from microclaw.api.metrics_page import host_metrics, metrics_page  # the client takes 2 MB: for those who ask

        return Response(metrics_page(host_metrics(parts)), media_type=_PROMETHEUS_TEXT)

    return router


def _base(title: str, parts: HostParts) -> FastAPI:
    app = FastAPI(
        title=title,
        version=__version__,
        docs_url=None,
        redoc_url=None,
        openapi_url="/api/openapi.json",
        dependencies=[Depends(check_form)],
    )
    add_failure_handlers(app)
    app.router.routes.extend(by_hand_routes({"page": None}))

    def document() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = openapi_of(app)
        return app.openapi_schema

    app.openapi = document  # type: ignore[method-assign]  # FastAPI's own way to give another document

    @app.get("/healthz", tags=["host"], summary="Alive", responses=answers(Health))
    async def healthz() -> dict[str, Any]:
        """`failing` names the background tasks that are tried again and again. 503 while the disk takes no writes."""
        if (refusal := await parts.database.refusal()) is not None:
            raise refusal
        return {"ok": True, "version": __version__, "failing": list(parts.tasks.failing())}

    return app
