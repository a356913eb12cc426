"""The ASGI apps: the API on the control socket (mode 0600), and the API with tokens and sessions. It opens no port.

The requests of a person or an address at once are limited: one person's never shut the others out. A request counts
until it is answered. The numbers add up to less than the connections that a listener takes (api.server), so that an
owner's next one always has room.
"""

from __future__ import annotations

from collections.abc import Container
from contextlib import AbstractContextManager, ExitStack, nullcontext
from typing import Final

from starlette.datastructures import Headers
from starlette.routing import Router
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from microclaw.addresses import single_address
from microclaw.api.access import access_from_network, access_of
from microclaw.api.caller import CALLER_KEY, LOCAL_OWNER, Caller, client_address
from microclaw.api.credential_end import ends_with_credential
from microclaw.api.credentials import Callers
from microclaw.api.failures import Refused
from microclaw.api.operation_routes import RouteParts, by_hand_routes, operation_routes
from microclaw.api.request_check import LOOPBACK_NAMES, check_head, with_body
from microclaw.apps.queues import Places
from microclaw.auth.admission import Admission
from microclaw.auth.people import Roles, is_owner, person_behind
from microclaw.config.settings import Limits
from microclaw.errors import Overloaded

OWNERS_REQUESTS: Final = 48
OTHERS_REQUESTS: Final = 48
REQUESTS_OF_PERSON: Final = 24
NAMELESS_REQUESTS: Final = 24  # with a body, from all addresses
REQUESTS_OF_ADDRESS: Final = 16


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
    callers = Callers(admission.tokens, admission.sign_ins, access=access)
    shares = Shares(admission.people)
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


class Shares:
    """Of owners, of other people, and of addresses without a name, each kind apart: none takes another one's."""

    def __init__(self, roles: Roles) -> None:
        self._roles = roles
        self._owners = Places(OWNERS_REQUESTS, OWNERS_REQUESTS)
        self._people = Places(REQUESTS_OF_PERSON, OTHERS_REQUESTS)
        self._addresses = Places(REQUESTS_OF_ADDRESS, NAMELESS_REQUESTS)

    def limit(self, app: ASGIApp) -> ASGIApp:
        """The app, for requests within their sender's share; others are refused."""

        async def limited(scope: Scope, receive: Receive, send: Send) -> None:
            with ExitStack() as place:
                try:
                    place.enter_context(self._place(scope))
                except Overloaded as exc:
                    raise Refused(503, exc.code, exc.message, exc.next_step) from exc

                async def sending(message: Message) -> None:
                    await send(message)
                    if message["type"] == "http.response.body" and not message.get("more_body", False):
                        place.close()  # what goes on behind it, such as a question that waits, holds no connection

                await app(scope, receive, sending)

        return limited

    def _place(self, scope: Scope) -> AbstractContextManager[None]:
        caller = scope.get(CALLER_KEY)
        if isinstance(caller, Caller):
            places = self._owners if is_owner(self._roles, caller.person_id) else self._people
            return places.one(person_behind(caller.person_id))
        headers = Headers(scope=scope)
        has_body = "transfer-encoding" in headers or headers.get("content-length", "0") != "0"
        if has_body:
            return self._addresses.one(single_address(client_address(scope)))
        return nullcontext()
