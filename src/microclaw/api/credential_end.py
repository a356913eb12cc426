"""Cuts off the long answers of a token or session that ends, or whose person has another role. It checks no token.

To what is behind it, its client has left: streams end, and a job that has changed nothing is cancelled.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from microclaw.api.caller import CALLER_KEY, Caller
from microclaw.auth.admission import Admission
from microclaw.auth.tokens import RECHECK_S
from microclaw.errors import StoreError

ENDED_KEY: Final = "microclaw.ended"
"""Event in a request's scope: set when its token or session has ended."""


def ends_with_credential(app: ASGIApp, admission: Admission) -> ASGIApp:
    """Ends a request, and withdraws its approvals, when its token or session ends."""

    async def ending(scope: Scope, receive: Receive, send: Send) -> None:
        caller = scope[CALLER_KEY]
        is_answered = False
        scope = {**scope, ENDED_KEY: asyncio.Event()}

        async def sending(message: Message) -> None:
            nonlocal is_answered
            await send(message)
            is_answered = message["type"] == "http.response.body" and not message.get("more_body", False)

        def cut() -> None:
            scope[ENDED_KEY].set()
            for pending in admission.approvals.pending():
                if pending.chat_id.partition(".")[0] == caller.source:
                    admission.approvals.withdraw(pending.approval_id)
            if not is_answered:  # else the connection may have another request by now
                scope["state"]["abort"]()

        async with when_credential_ends(admission, caller, cut):
            await app(scope, receive, sending)

    return ending


@asynccontextmanager
async def when_credential_ends(admission: Admission, caller: Caller, act: Callable[[], object]) -> AsyncGenerator[None]:
    """Inside, `act` is done once what the caller came in with has ended; on the control socket that is nothing."""

    def role() -> str | None:
        person = admission.people.get(caller.person_id)
        return None if person is None else person.role

    async def watch(before: str | None) -> None:
        await asyncio.sleep(RECHECK_S)  # most are done by then, and need no watch
        with suppress(StoreError):  # nobody knows whether it is still there
            async with admission.watching(caller.token) as credential:
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
