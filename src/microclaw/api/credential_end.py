"""Cuts off the long answers of a token or session that ends, or whose person has another role. It checks no token.

To what is behind it, its client has left: streams end, and a job that has changed nothing is cancelled.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Final, TypeAlias

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from microclaw.api.caller import CALLER_KEY, Caller
from microclaw.auth.admission import Admission
from microclaw.auth.approvals import Approvals
from microclaw.auth.people import Roles
from microclaw.auth.tokens import RECHECK_S, TokenWatch
from microclaw.errors import StoreError

Watching: TypeAlias = Callable[[str | None], AbstractAsyncContextManager[TokenWatch]]
"""The watch of a connection, by the id of its token or session (auth.admission)."""
ENDED_KEY: Final = "microclaw.ended"


def has_ended(scope: Scope) -> bool:
    """Whether what the request came in with ended meanwhile."""
    ended = scope.get(ENDED_KEY)
    return isinstance(ended, asyncio.Event) and ended.is_set()


class EndsWithCredential:
    """ASGI: a request's connection is there for as long as what it came in with; its questions wait so long."""

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
        scope, role, is_answered = {**scope, ENDED_KEY: asyncio.Event()}, _role(self._roles, caller), False

        async def sending(message: Message) -> None:
            nonlocal is_answered
            await send(message)
            is_answered = message["type"] == "http.response.body" and not message.get("more_body", False)

        async def cut_at_end() -> None:
            await _until_ended(self._watching, self._roles, caller, role)
            scope[ENDED_KEY].set()
            for pending in self._approvals.pending():
                if pending.chat_id.partition(".")[0] == caller.source:
                    self._approvals.withdraw(pending.approval_id)
            if not is_answered:  # else the connection may have another request by now
                scope["state"]["abort"]()

        watching = asyncio.create_task(cut_at_end(), name="api: credential")
        try:
            await self._app(scope, receive, sending)
        finally:
            watching.cancel()
            await asyncio.wait((watching,))


@asynccontextmanager
async def when_credential_ends(admission: Admission, caller: Caller, act: Callable[[], object]) -> AsyncGenerator[None]:
    """Inside, `act` is done once what the caller came in with has ended; on the control socket that is nothing."""
    role = _role(admission.people, caller)
    watch = asyncio.create_task(_acting(admission, caller, role, act), name=f"{caller.source}: credential")
    try:
        yield
    finally:
        watch.cancel()
        await asyncio.wait((watch,))


async def _acting(admission: Admission, caller: Caller, role: str | None, act: Callable[[], object]) -> None:
    if caller.token is not None:
        await _until_ended(admission.watching, admission.people, caller, role)
        act()


async def _until_ended(watching: Watching, roles: Roles, caller: Caller, role: str | None) -> None:
    await asyncio.sleep(RECHECK_S)  # most are done by then, and need no watch
    try:
        async with watching(caller.token) as watch:
            if _role(roles, caller) == role:  # else it changed before the watch began
                await watch.until_ended()
    except StoreError:
        pass  # nobody knows whether it is still there


def _role(roles: Roles, caller: Caller) -> str | None:
    person = roles.get(caller.person_id)
    return None if person is None else person.role
