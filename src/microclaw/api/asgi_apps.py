"""The ASGI apps: the API on the control socket (mode 0600), and the API with tokens and sessions. It opens no port."""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from typing import Any

from starlette.routing import Route, Router
from starlette.types import ASGIApp, Receive, Scope, Send

from microclaw.api.access import access_from_network, access_of
from microclaw.api.by_hand import load_by_hand
from microclaw.api.caller import CALLER_KEY, LOCAL_OWNER
from microclaw.api.chat_routes import ChatService
from microclaw.api.compile_routes import CompileService
from microclaw.api.credential_end import EndsWithCredential
from microclaw.api.credentials import Callers
from microclaw.api.host_routes import Document
from microclaw.api.openai import OpenAiService
from microclaw.api.operation_routes import by_hand_routes, operation_routes
from microclaw.api.parts import HostParts
from microclaw.api.request_check import LOOPBACK_NAMES, check_head, with_body
from microclaw.api.shares import Shares
from microclaw.api.tool_routes import ToolService
from microclaw.apps.queues import CompileQueue
from microclaw.operations.operation import Operation, load


def host_api(parts: HostParts) -> ASGIApp:
    """Every route, for both apps: the caller is in the request (api.caller)."""
    by_hand = {
        **_open(parts),
        **dict.fromkeys(("job", "install", "metrics", "backup", "event"), parts),
        "chat": ChatService(parts),
        "compile": CompileService(parts.services["program"].compiling),
        "caller": parts.admission,
        "openai": OpenAiService(parts),
        "task": parts.services["task"],
        "tool": ToolService(parts),
    }
    return _app(by_hand, load(), operation_routes(parts))


def control_socket_app(parts: HostParts, api: ASGIApp) -> ASGIApp:
    """The whole API. Whoever can open the socket is the owner."""
    limits = parts.settings.limits
    app = with_body(api, limits.control_body_bytes, limits.body_s)

    async def of_owner(scope: Scope, receive: Receive, send: Send) -> None:
        check_head(scope)
        await app({**scope, CALLER_KEY: LOCAL_OWNER}, receive, send)

    return of_owner


def api_app(
    parts: HostParts, api: ASGIApp, allowed_hosts: Container[str] = LOOPBACK_NAMES, *, on_network: bool = False
) -> ASGIApp:
    """With a token or a session: the whole API, as far as the person's role allows. Without one: nothing that touches
    a device, and `on_network` only the pages and the sign-in. `allowed_hosts`: the names by which it may be called."""
    limits, admission = parts.settings.limits, parts.admission
    open_here = _open(parts)
    if not on_network:
        open_here |= {"compile": CompileService(CompileQueue(parts.apps.compile)), "metrics": parts}
    access = access_from_network if on_network else access_of
    callers, shares = Callers(admission.tokens, admission.sign_ins, access=access), Shares(admission.people)
    told = with_body(api, limits.control_body_bytes, limits.body_s)
    inside = shares.limit(EndsWithCredential(told, admission.watching, admission.people, admission.approvals))
    outside = shares.limit(with_body(_app(open_here), limits.body_bytes, limits.body_s))

    async def known(scope: Scope, receive: Receive, send: Send) -> None:
        check_head(scope, allowed_hosts)
        caller = await callers.caller(scope)
        if caller is None:
            await outside(scope, receive, send)
        else:
            await inside({**scope, CALLER_KEY: caller}, receive, send)

    return known


def _open(parts: HostParts) -> dict[str, Any]:
    """What the routes that ask for no token work with."""
    return {"page": None, "health": parts, "signin": parts.admission.sign_ins}


def _app(by_hand: Mapping[str, Any], acts: Sequence[Operation[..., Any]] = (), routes: Sequence[Route] = ()) -> ASGIApp:
    documented = [*acts, *(one for one in load_by_hand() if one.noun in by_hand or one.noun == "document")]
    services = {**by_hand, "document": Document(documented)}
    return Router([*routes, *by_hand_routes(services)])
