"""The ASGI apps: the API on the control socket (mode 0600), and the API with tokens and sessions. It opens no port."""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from typing import Any

from starlette.routing import Route, Router
from starlette.types import ASGIApp

from microclaw.api.access import access_from_network, access_of
from microclaw.api.by_hand import load_by_hand
from microclaw.api.caller import LOCAL_OWNER, BearerAuth, as_caller
from microclaw.api.chat_routes import ChatService
from microclaw.api.compile_routes import CompileService
from microclaw.api.credential_end import EndsWithCredential
from microclaw.api.failures import AnswersInForm
from microclaw.api.host_routes import Document
from microclaw.api.openai import OpenAiService
from microclaw.api.operation_routes import by_hand_routes, operation_routes
from microclaw.api.parts import HostParts
from microclaw.api.request_check import LOOPBACK_NAMES, RequestCheck
from microclaw.api.shares import Shares
from microclaw.api.tool_routes import ToolService
from microclaw.api.waiting import TellsWaiting
from microclaw.apps.queues import CompileQueue
from microclaw.operations.operation import Operation, load


def host_api(parts: HostParts, tools: ToolService, mcp: ASGIApp) -> ASGIApp:
    """Every route, for both apps: the caller is in the request (api.caller)."""
    by_hand = {
        **_open(parts),
        **dict.fromkeys(("job", "install", "metrics", "backup", "event"), parts),
        "chat": ChatService(parts),
        "compile": CompileService(parts.services["program"].compiling),
        "caller": parts.admission,
        "openai": OpenAiService(parts),
        "task": parts.services["task"],
        "tool": tools,
        "mcp": mcp,
    }
    return _app(by_hand, load(), operation_routes(parts))


def control_socket_app(parts: HostParts, api: ASGIApp) -> ASGIApp:
    """The whole API. Whoever can open the socket is the owner."""
    limits = parts.settings.limits
    app = as_caller(api, LOCAL_OWNER)
    return RequestCheck(app, body_bytes=limits.control_body_bytes, body_s=limits.body_s)


def api_app(
    parts: HostParts, api: ASGIApp, allowed_hosts: Container[str] = LOOPBACK_NAMES, *, on_network: bool = False
) -> ASGIApp:
    """With a token or a session: the whole API, as far as the person's role allows. Without one: nothing that touches
    a device, and `on_network` only the pages and the sign-in. `allowed_hosts`: the names by which it may be called."""
    limits, admission = parts.settings.limits, parts.admission
    by_hand = _open(parts)
    if not on_network:
        by_hand |= {"compile": CompileService(CompileQueue(parts.apps.compile)), "metrics": parts}
    outside = _app(by_hand)
    shares = Shares(admission.people)

    def checked(app: ASGIApp, body_bytes: int) -> ASGIApp:
        return RequestCheck(app, body_bytes=body_bytes, body_s=limits.body_s)

    inside = TellsWaiting(checked(api, limits.control_body_bytes), admission.approvals, parts.requests)
    app = BearerAuth(
        inside=shares.limit(EndsWithCredential(inside, admission.watching, admission.people, admission.approvals)),
        outside=shares.limit(checked(outside, limits.body_bytes)),
        tokens=admission.tokens,
        sign_ins=admission.sign_ins,
        access=access_from_network if on_network else access_of,
    )
    return RequestCheck(app, body_bytes=None, body_s=limits.body_s, allowed_hosts=allowed_hosts)


def _open(parts: HostParts) -> dict[str, Any]:
    """What the routes that ask for no token work with."""
    return {"page": None, "health": parts, "signin": parts.admission.sign_ins}


def _app(by_hand: Mapping[str, Any], acts: Sequence[Operation[..., Any]] = (), routes: Sequence[Route] = ()) -> ASGIApp:
    documented = [*acts, *(one for one in load_by_hand() if one.noun in by_hand or one.noun == "document")]
    services = {**by_hand, "document": Document(documented)}
    return AnswersInForm(Router([*routes, *by_hand_routes(services)]))
