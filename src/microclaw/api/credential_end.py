"""Cuts off the long answers of a token or session that ends, or whose person has another role. It checks no token.

To what is behind it, its client has left: streams end, and a job that has changed nothing is cancelled.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from typing import Final, TypeAlias

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from microclaw.api.caller import CALLER_KEY, Caller
from microclaw.auth.approvals import Approvals
from microclaw.auth.people import Roles
from microclaw.auth.tokens import RECHECK_S, TokenWatch
from microclaw.errors import StoreError

Watching: TypeAlias = Callable[[str | None], AbstractAsyncContextManager[TokenWatch]]
"""The watch of a connection, by the id of its token or session (auth.admission)."""
ENDED_KEY: Final = "microclaw.ended"


def has_ended(scope: Scope) -> bool:
    """True if what the request came in with ended meanwhile."""
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
        scope, is_answered = {**scope, ENDED_KEY: asyncio.Event()}, False

        async def sending(message: Message) -> None:
            nonlocal is_answered
            await send(message)
            is_answered = message["type"] == "http.response.body" and not message.get("more_body", False)

        def cut() -> None:
            scope[ENDED_KEY].set()
            for pending in self._approvals.pending():
                if pending.chat_id.partition(".")[0] == caller.source:
                    self._approvals.withdraw(pending.approval_id)
            if not is_answered:  # else the connection may have another request by now
                scope["state"]["abort"]()

        async with when_credential_ends(self._watching, self._roles, caller, cut):
            await self._app(scope, receive, sending)


@asynccontextmanager
async def when_credential_ends(
    watching: Watching, roles: Roles, caller: Caller, act: Callable[[], object]
) -> AsyncGenerator[None]:
    """Inside, `act` is done once what the caller came in with has ended; on the control socket that is nothing."""

    def role() -> str | None:
        person = roles.get(caller.person_id)
        return None if person is None else person.role

    async def watch(before: str | None) -> None:
        await asyncio.sleep(RECHECK_S)  # most are done by then, and need no watch
        with suppress(StoreError):  # nobody knows whether it is still there
            async with watching(caller.token) as credential:
                if role() == before:  # else it changed before the watch began
                    await credential.until_ended()
        act()

    if caller.token is None:
        yield
        return
    task = asyncio.create_task(watch(role()), name=f"{caller.source}: credential")
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait((task,))
