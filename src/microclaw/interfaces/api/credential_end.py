"""Ends the long answers of a token or session that ends, or whose person gets another role. It checks no token.

For the app behind it the client has left: streams end, and a job that has changed nothing is cancelled.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from microclaw.errors import StoreError
from microclaw.host.auth.admission import Admission
from microclaw.host.auth.tokens import RECHECK_S
from microclaw.interfaces.api.caller import CALLER_KEY, Caller

ENDED_KEY: Final = "microclaw.ended"
"""Event in a request's scope: set when its token or session has ended."""


def ends_with_credential(app: ASGIApp, admission: Admission) -> ASGIApp:
    """Return an app that ends a request, and withdraws its approvals, when its token or session ends."""

    async def call_watched(scope: Scope, receive: Receive, send: Send) -> None:
        caller = scope[CALLER_KEY]
        is_answered = False
        scope = {**scope, ENDED_KEY: asyncio.Event()}

        async def send_and_note(message: Message) -> None:
            nonlocal is_answered
            await send(message)
            is_answered = message["type"] == "http.response.body" and not message.get("more_body", False)

        def cut() -> None:
            scope[ENDED_KEY].set()
            for pending in admission.approvals.pending():
                if pending.chat_id.partition(".")[0] == caller.source:
                    admission.approvals.withdraw(pending.approval_id)
            # After the answer the connection may have another request already.
            if not is_answered:
                scope["state"]["abort"]()

        async with when_credential_ends(admission, caller, cut):
            await app(scope, receive, send_and_note)

    return call_watched


@asynccontextmanager
async def when_credential_ends(admission: Admission, caller: Caller, act: Callable[[], object]) -> AsyncGenerator[None]:
    """Call `act` once if the caller's token or session ends inside; never for the control socket."""

    def current_role() -> str | None:
        person = admission.people.get(caller.person_id)
        return None if person is None else person.role

    async def watch(first_role: str | None) -> None:
        # Most requests are done before this time, and need no watch.
        await asyncio.sleep(RECHECK_S)
        # After a StoreError the host cannot know whether the credential is still valid, so it counts as ended.
        with suppress(StoreError):
            async with admission.watch(caller.token) as credential:
                # Otherwise the role changed before the watch began.
                if current_role() == first_role:
                    await credential.until_ended()
        act()

    if caller.token is None:
        yield
        return
    task = asyncio.create_task(watch(current_role()), name=f"{caller.source}: credential")
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait((task,))
