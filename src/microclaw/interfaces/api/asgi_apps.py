"""The ASGI apps: the API on the control socket (mode 0600), and the API with tokens and sessions. It opens no port.

The number of requests at once is limited for each person and each address, so that none can shut the others out. A
request counts until it is answered. The numbers add up to less than the connections that a listener takes (api.server),
so that an owner's next request always has room.
"""

from __future__ import annotations

from collections.abc import Container
from contextlib import AbstractContextManager, ExitStack, nullcontext
from typing import Final

from starlette.datastructures import Headers
from starlette.routing import Router
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from microclaw.addresses import single_address
from microclaw.errors import Overloaded
from microclaw.host.auth.admission import Admission
from microclaw.host.auth.people import Roles, is_owner
from microclaw.host.config.settings import Limits
from microclaw.host.store.people import person_behind
from microclaw.interfaces.api.access import access_from_network, access_of
from microclaw.interfaces.api.caller import CALLER_KEY, LOCAL_OWNER, Caller, client_address
from microclaw.interfaces.api.credential_end import ends_with_credential
from microclaw.interfaces.api.credentials import Callers
from microclaw.interfaces.api.failures import Refused
from microclaw.interfaces.api.operation_routes import RouteParts, by_hand_routes, operation_routes
from microclaw.interfaces.api.page_address import page_address
from microclaw.interfaces.api.request_check import LOOPBACK_NAMES, check_head, with_body
from microclaw.programs.changes.queues import Places

OWNERS_REQUESTS: Final = 48
OTHERS_REQUESTS: Final = 48
REQUESTS_OF_PERSON: Final = 24
# Requests without a caller but with a body, from all addresses.
NAMELESS_REQUESTS: Final = 24
REQUESTS_OF_ADDRESS: Final = 16


def host_api(parts: RouteParts) -> ASGIApp:
    """Return all routes, for both apps; the caller is in the request (api.caller)."""
    # Starlette tries the routes in order, so chats and streams are first.
    routes = [*parts.pages.routes(), *by_hand_routes(parts.services), *operation_routes(parts)]
    return Router(routes)


def control_socket_app(api: ASGIApp, limits: Limits) -> ASGIApp:
    """Return the whole API for the control socket; whoever can open the socket is the owner."""
    app = with_body(api, limits.control_body_bytes, limits.body_s)

    async def call_as_owner(scope: Scope, receive: Receive, send: Send) -> None:
        check_head(scope)
        await app({**scope, CALLER_KEY: LOCAL_OWNER}, receive, send)

    return call_as_owner


def api_app(
    api: ASGIApp,
    admission: Admission,
    limits: Limits,
    allowed_hosts: Container[str] = LOOPBACK_NAMES,
    *,
    on_network: bool = False,
) -> ASGIApp:
    """Return the API for tokens and sessions, as far as the person's role allows.

    Without a token or a session only the open routes answer, and fewer of them `on_network`. `allowed_hosts` are the
    names by which it may be called.
    """
    access = access_from_network if on_network else access_of
    callers = Callers(admission.tokens, admission.sign_ins, access=access)
    shares = Shares(admission.people)
    full_app = with_body(api, limits.control_body_bytes, limits.body_s)
    authenticated_app = shares.limit(ends_with_credential(full_app, admission))
    open_app = shares.limit(with_body(api, limits.body_bytes, limits.body_s))

    async def call(scope: Scope, receive: Receive, send: Send) -> None:
        address = page_address(scope)
        check_head(scope, allowed_hosts, is_sandboxed=address is not None and address.secret != "")
        caller = await callers.caller(scope)
        if caller is None:
            await open_app(scope, receive, send)
        else:
            await authenticated_app({**scope, CALLER_KEY: caller}, receive, send)

    return call


class Shares:
    """The shares of owners, of other people, and of addresses without a caller: none takes another's."""

    def __init__(self, roles: Roles) -> None:
        self._roles = roles
        self._owners = Places(OWNERS_REQUESTS, OWNERS_REQUESTS)
        self._people = Places(REQUESTS_OF_PERSON, OTHERS_REQUESTS)
        self._addresses = Places(REQUESTS_OF_ADDRESS, NAMELESS_REQUESTS)

    def limit(self, app: ASGIApp) -> ASGIApp:
        """Return the app for requests within their sender's share; others are refused."""

        async def call_limited(scope: Scope, receive: Receive, send: Send) -> None:
            with ExitStack() as place:
                try:
                    place.enter_context(self._place(scope))
                except Overloaded as exc:
                    raise Refused(503, exc.code, exc.message, exc.next_step) from exc

                async def send_and_release(message: Message) -> None:
                    await send(message)
                    if message["type"] == "http.response.body" and not message.get("more_body", False):
                        # Work that continues after the answer, such as a waiting question, holds no connection.
                        place.close()

                await app(scope, receive, send_and_release)

        return call_limited

    def _place(self, scope: Scope) -> AbstractContextManager[None]:
        caller = scope.get(CALLER_KEY)
        if isinstance(caller, Caller):
            is_by_owner = is_owner(self._roles, caller.person_id)
            places = self._owners if is_by_owner else self._people
            return places.one(person_behind(caller.person_id))
        headers = Headers(scope=scope)
        has_body = "transfer-encoding" in headers or headers.get("content-length", "0") != "0"
        if has_body:
            return self._addresses.one(single_address(client_address(scope)))
        return nullcontext()
