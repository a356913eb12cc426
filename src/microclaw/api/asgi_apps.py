"""The ASGI apps: the API on the control socket (mode 0600), and the API with tokens and sessions. It opens no port."""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from typing import Any, Final

from starlette.routing import Route, Router
from starlette.types import ASGIApp, Receive, Scope, Send

from microclaw.api.access import access_from_network, access_of
from microclaw.api.by_hand import load_by_hand
from microclaw.api.caller import CALLER_KEY, LOCAL_OWNER
from microclaw.api.credential_end import EndsWithCredential
from microclaw.api.credentials import Callers
from microclaw.api.host_routes import Document
from microclaw.api.operation_routes import RouteParts, by_hand_routes, operation_routes
from microclaw.api.request_check import LOOPBACK_NAMES, check_head, with_body
from microclaw.api.shares import Shares
from microclaw.auth.admission import Admission
from microclaw.config.settings import Limits
from microclaw.operations.operation import Operation, load

_OPEN_HERE: Final = ("compile", "metrics")  # to this machine alone


def host_api(parts: RouteParts) -> ASGIApp:
    """Every route, for both apps: the caller is in the request (api.caller)."""
    return _app(parts.services, load(), operation_routes(parts))


def control_socket_app(api: ASGIApp, limits: Limits) -> ASGIApp:
    """The whole API. Whoever can open the socket is the owner."""
    app = with_body(api, limits.control_body_bytes, limits.body_s)

    async def of_owner(scope: Scope, receive: Receive, send: Send) -> None:
        check_head(scope)
        await app({**scope, CALLER_KEY: LOCAL_OWNER}, receive, send)

    return of_owner


def api_app(
    api: ASGIApp,
    strangers: Mapping[str, Any],
    admission: Admission,
    limits: Limits,
    allowed_hosts: Container[str] = LOOPBACK_NAMES,
    *,
    on_network: bool = False,
) -> ASGIApp:
    """With a token or a session: the whole API, as far as the person's role allows. Without one: what
    `strangers` (services by noun) serve, `on_network` less. `allowed_hosts`: the names by which it may be called."""
    open_here = _app({noun: one for noun, one in strangers.items() if not on_network or noun not in _OPEN_HERE})
    access = access_from_network if on_network else access_of
    callers, shares = Callers(admission.tokens, admission.sign_ins, access=access), Shares(admission.people)
    whole = with_body(api, limits.control_body_bytes, limits.body_s)
    inside = shares.limit(EndsWithCredential(whole, admission.watching, admission.people, admission.approvals))
    outside = shares.limit(with_body(open_here, limits.body_bytes, limits.body_s))

    async def known(scope: Scope, receive: Receive, send: Send) -> None:
        check_head(scope, allowed_hosts)
        caller = await callers.caller(scope)
        if caller is None:
            await outside(scope, receive, send)
        else:
            await inside({**scope, CALLER_KEY: caller}, receive, send)

    return known


def _app(by_hand: Mapping[str, Any], acts: Sequence[Operation[..., Any]] = (), routes: Sequence[Route] = ()) -> ASGIApp:
    documented = [*acts, *(one for one in load_by_hand() if one.noun in by_hand or one.noun == "document")]
    services = {**by_hand, "document": Document(documented)}
    return Router([*by_hand_routes(services), *routes])  # Starlette tries them in order: chats and streams first
