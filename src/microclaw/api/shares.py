"""Limits the requests of a person or an address at once. One person's never shut the others out.

A request counts until it is answered. The numbers add up to less than the connections that a listener takes
(api.server), so that an owner's next one always has room.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, ExitStack, nullcontext
from typing import Final

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from microclaw.addresses import single_address
from microclaw.api.caller import CALLER_KEY, Caller, client_address
from microclaw.api.failures import Refused
from microclaw.apps.queues import Places
from microclaw.auth.people import Roles, is_owner, person_behind
from microclaw.errors import Overloaded

OWNERS_REQUESTS: Final = 48
OTHERS_REQUESTS: Final = 48
REQUESTS_OF_PERSON: Final = 24
NAMELESS_REQUESTS: Final = 24  # with a body, from all addresses
REQUESTS_OF_ADDRESS: Final = 16


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
        return self._addresses.one(single_address(client_address(scope))) if _has_body(scope) else nullcontext()


def _has_body(scope: Scope) -> bool:
    headers = Headers(scope=scope)
    return "transfer-encoding" in headers or headers.get("content-length", "0") != "0"
