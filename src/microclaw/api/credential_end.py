"""Ends the long answers of a token or session that ends, or whose person has another role. It checks no token itself.

To what is behind it, it looks as if the client had left: streams end, and a job that has changed nothing is cancelled.
"""

from __future__ import annotations

import asyncio
from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from microclaw.api.caller import CALLER_KEY, Caller
from microclaw.api.event_routes import Watching
from microclaw.api.failures import failure_response
from microclaw.api.jobs import MEDIA_TYPE as JSON_LINES
from microclaw.auth.approvals import Approvals
from microclaw.auth.people import Roles
from microclaw.auth.tokens import RECHECK_S
from microclaw.wire.host_api import Failure, encode_event

ENDED_KEY: Final = "microclaw.ended"
ENDED: Final = Failure(
    "unauthorized",
    "the token or session of this request ended, or its person has another role",
    "sign in again, or use another token: microclaw person tokens --add NAME",
)
_READS: Final = frozenset({"GET", "HEAD"})


def has_ended(scope: Scope) -> bool:
    """Whether what the request came in with ended meanwhile."""
    ended = scope.get(ENDED_KEY)
    return isinstance(ended, asyncio.Event) and ended.is_set()


class EndsWithCredential:
    """ASGI: a request goes on for as long as what it came in with does.

    One that only reads is cancelled. One that changes something is told that its client left, its questions are
    withdrawn, and what it does comes to its end: nothing is left half-done.
    """

    def __init__(self, app: ASGIApp, watching: Watching, roles: Roles, approvals: Approvals) -> None:
        self._app = app
        self._watching = watching
        self._roles = roles
        self._approvals = approvals

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        caller = scope.get(CALLER_KEY)
        if scope["type"] != "http" or not isinstance(caller, Caller) or caller.token is None:
            await self._app(scope, receive, send)
            return
        role, answer = self._role(caller), _Answer(receive, send)
        inside = asyncio.ensure_future(self._app({**scope, ENDED_KEY: answer.ended}, answer.receive, answer.send))
        try:
            await asyncio.wait((inside,), timeout=RECHECK_S)  # most are done, and need no watch
            if not inside.done() and await self._ends_first(caller, role, inside):
                await self._end(caller, scope, answer, inside)
            else:
                await inside
        finally:
            inside.cancel()
            await asyncio.wait((inside,))

    async def _ends_first(self, caller: Caller, role: str | None, inside: asyncio.Future[None]) -> bool:
        async with self._watching(caller.token) as watch:
            if self._role(caller) != role:  # before the watch began
                return True
            ending = asyncio.ensure_future(watch.until_ended())
            try:
                await asyncio.wait((inside, ending), return_when=asyncio.FIRST_COMPLETED)
                return not inside.done()
            finally:
                ending.cancel()
                await asyncio.wait((ending,))

    async def _end(self, caller: Caller, scope: Scope, answer: _Answer, inside: asyncio.Future[None]) -> None:
        answer.ended.set()
        for pending in self._approvals.pending():
            if pending.chat_id.partition(".")[0] == caller.source:
                self._approvals.withdraw(pending.approval_id)
        if scope["method"] in _READS:
            inside.cancel()
        await asyncio.wait((inside,))
        if not inside.cancelled() and (failed := inside.exception()) is not None:
            raise failed
        await answer.close(scope)

    def _role(self, caller: Caller) -> str | None:
        person = self._roles.get(caller.person_id)
        return None if person is None else person.role


class _Answer:
    """The connection as what is behind sees it: once it is `ended`, its client has left, and no stream goes on.

    The answer to a change that had not begun then is still sent: it says what was done.
    """

    def __init__(self, receive: Receive, send: Send) -> None:
        self.ended = asyncio.Event()
        self._receive = receive
        self._send = send
        self._kind: bytes | None = None  # of a body; None before it begins
        self._has_length = self._is_over = False

    async def receive(self) -> Message:
        coming, ending = asyncio.ensure_future(self._receive()), asyncio.ensure_future(self.ended.wait())
        try:
            await asyncio.wait((coming, ending), return_when=asyncio.FIRST_COMPLETED)
            return {"type": "http.disconnect"} if self.ended.is_set() else coming.result()
        finally:
            coming.cancel()
            ending.cancel()

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = {bytes(key).lower(): bytes(value) for key, value in message.get("headers", ())}
            self._kind = headers.get(b"content-type", b"").partition(b";")[0]
            self._has_length = b"content-length" in headers
        elif self.ended.is_set() and not self._has_length:  # a stream
            return
        else:
            self._is_over = not message.get("more_body", False)
        await self._send(message)

    async def close(self, scope: Scope) -> None:
        """Say why to a client that still reads."""
        if self._kind is None:
            await failure_response(ENDED, 401, path=scope["path"])(scope, self.receive, self._send)
        elif not self._is_over and self._has_length:
            if (abort := scope.get("state", {}).get("abort")) is not None:
                abort()  # of so many bytes, some are missing
                while (await self._receive())["type"] != "http.disconnect":
                    pass
        elif not self._is_over:
            last = encode_event(ENDED) if self._kind == JSON_LINES.encode() else b""
            await self._send({"type": "http.response.body", "body": last})
