"""How many requests a person or an address has at once. One person's never shut the others out.

A request counts until it is answered. The numbers add up to less than the connections that a listener takes
(api.server), so that an owner's next one always has room.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from microclaw.addresses import single_address
from microclaw.api.caller import CALLER_KEY, Caller, client_address
from microclaw.api.failures import failure_response
from microclaw.api.request_check import refuse
from microclaw.apps.queues import Places
from microclaw.auth.people import Roles, person_behind
from microclaw.errors import Overloaded
from microclaw.wire.host_api import failure_of

OWNERS_REQUESTS: Final = 48
OTHERS_REQUESTS: Final = 48
REQUESTS_OF_PERSON: Final = 24
NAMELESS_REQUESTS: Final = 24  # with a body, from all addresses
REQUESTS_OF_ADDRESS: Final = 16


class Shares:
    """Of owners, of other people, and of addresses without a name, each kind apart: none takes another one's."""

    def __init__(self, roles: Roles) -> None:
        self._roles = roles
        self._requests = {
            "owner": Places(OWNERS_REQUESTS, OWNERS_REQUESTS),
            "person": Places(REQUESTS_OF_PERSON, OTHERS_REQUESTS),
            "address": Places(REQUESTS_OF_ADDRESS, NAMELESS_REQUESTS),
        }

    def request(self, scope: Scope) -> Callable[[], None]:
        """Take a place, and return what gives it back; Overloaded."""
        kind, name = self._sender(scope)
        place = ExitStack()
        if kind != "address" or _has_body(scope):
            place.enter_context(self._requests[kind].one(name))
        return place.close

    def _sender(self, scope: Scope) -> tuple[str, str]:
        caller = scope.get(CALLER_KEY)
        if not isinstance(caller, Caller):
            return "address", single_address(client_address(scope))
        person = self._roles.get(caller.person_id)
        return "owner" if person is not None and person.role == "owner" else "person", person_behind(caller.person_id)


class WithinShare:
    """ASGI: refuses what is more than the sender's share."""

    def __init__(self, app: ASGIApp, shares: Shares) -> None:
        self._app = app
        self._shares = shares

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        try:
            give_back = self._shares.request(scope)
        except Overloaded as exc:
            await refuse(failure_response(failure_of(exc), path=scope["path"]), scope, receive, send)
            return

        async def sending(message: Message) -> None:
            await send(message)
            if message["type"] == "http.response.body" and not message.get("more_body", False):
                give_back()  # what goes on behind it, such as a question that waits, holds no connection

        try:
            await self._app(scope, receive, sending)
        finally:
            give_back()


def _has_body(scope: Scope) -> bool:
    return any(
        key == b"transfer-encoding" or (key == b"content-length" and value != b"0") for key, value in scope["headers"]
    )
