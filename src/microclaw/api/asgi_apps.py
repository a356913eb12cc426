"""The ASGI apps: the API on the control socket (mode 0600), and the API with tokens and sessions. It opens no port."""

from __future__ import annotations

from collections.abc import Container

from starlette.routing import Router
from starlette.types import ASGIApp, Receive, Scope, Send

from microclaw.api.access import access_from_network, access_of
from microclaw.api.caller import CALLER_KEY, LOCAL_OWNER
from microclaw.api.credential_end import ends_with_credential
from microclaw.api.credentials import Callers
from microclaw.api.operation_routes import RouteParts, by_hand_routes, operation_routes
from microclaw.api.request_check import LOOPBACK_NAMES, check_head, with_body
from microclaw.api.shares import Shares
from microclaw.auth.admission import Admission
from microclaw.config.settings import Limits


def host_api(parts: RouteParts) -> ASGIApp:
    """Every route, for both apps: the caller is in the request (api.caller)."""
    routes = [*by_hand_routes(parts.services), *operation_routes(parts)]
    return Router(routes)  # Starlette tries them in order: chats and streams first


def control_socket_app(api: ASGIApp, limits: Limits) -> ASGIApp:
    """The whole API. Whoever can open the socket is the owner."""
    app = with_body(api, limits.control_body_bytes, limits.body_s)

    async def of_owner(scope: Scope, receive: Receive, send: Send) -> None:
        check_head(scope)
        await app({**scope, CALLER_KEY: LOCAL_OWNER}, receive, send)

    return of_owner


def api_app(
    api: ASGIApp,
    admission: Admission,
    limits: Limits,
    allowed_hosts: Container[str] = LOOPBACK_NAMES,
    *,
    on_network: bool = False,
) -> ASGIApp:
    """With a token or a session: the whole API, as far as the person's role allows. Without one: the open
    routes, fewer `on_network`. `allowed_hosts`: the names by which it may be called."""
    access = access_from_network if on_network else access_of
    callers, shares = Callers(admission.tokens, admission.sign_ins, access=access), Shares(admission.people)
    whole = with_body(api, limits.control_body_bytes, limits.body_s)
    inside = shares.limit(ends_with_credential(whole, admission))
    outside = shares.limit(with_body(api, limits.body_bytes, limits.body_s))

    async def known(scope: Scope, receive: Receive, send: Send) -> None:
        check_head(scope, allowed_hosts)
        caller = await callers.caller(scope)
        if caller is None:
            await outside(scope, receive, send)
        else:
            await inside({**scope, CALLER_KEY: caller}, receive, send)

    return known
