"""Tells a program at once that its request waits for a person's yes, and keeps the end of that request for it.

The request itself goes on. Streams tell of questions in their lines, and the command line follows its request by the
number that it sent with it: both are left as they are, and so is who says that it waits (RFC 7240, `Prefer: wait`).
When the connection of one who waits ends, its question is withdrawn: nobody would get the answer.
"""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import Coroutine
from dataclasses import replace
from typing import Annotated, Any, Final, Literal, Never

import msgspec
from msgspec import Meta, Struct
from starlette.background import BackgroundTask
from starlette.requests import Request
from starlette.responses import Response

from microclaw.api.by_hand import left
from microclaw.api.caller import CHANNEL, Caller, caller_of, request_number
from microclaw.api.failures import error_response
from microclaw.auth.approvals import ApprovalOutcome, Approvals, PendingApproval, approved_act
from microclaw.operations.result import filled

MAX_KEPT: Final = 256
MAX_BODY_BYTES: Final = 1 << 20


class AskedApproval(Struct, frozen=True, kw_only=True):
    approval_id: str
    action: str
    detail: tuple[str, ...]
    expires_s: float
    may_decide: bool


class Waiting(Struct, frozen=True, kw_only=True):
    """Told to a program that did not send `Prefer: wait`."""

    state: Literal["waiting"]
    request: Annotated[str, Meta(description="GET /v1/requests/{number} has its end.")]
    approval: AskedApproval
    next: str


class KeptRequest(Struct):
    """The state of one request; `status` is None while it waits."""

    approval_id: str
    status: int | None = None
    body: bytes = b""

    @property
    def result(self) -> Any:
        """JSON; None where it was too long to be kept."""
        return json.loads(self.body) if self.body else None


class WaitingRequests:
    """The requests that were told to wait, by token and number; the oldest give way."""

    def __init__(self) -> None:
        self._kept: dict[str, KeptRequest] = {}

    def find(self, key: str) -> KeptRequest | None:
        return self._kept.get(key)

    async def answer(
        self, request: Request, by: Caller, approvals: Approvals, work: Coroutine[Any, Any, Response]
    ) -> Response:
        """The work's answer; 202 with the question and where to look once it asks, if nobody follows it."""
        asked: asyncio.Queue[PendingApproval] = asyncio.Queue()  # no more than the approvals that there may be

        def hear(news: PendingApproval | ApprovalOutcome) -> None:
            if isinstance(news, PendingApproval) and (news.channel, news.chat_id) == (CHANNEL, by.asks_in):
                asked.put_nowait(news)

        async def withdraw_when_left() -> Never:
            while True:
                pending = await asked.get()
                await left(request)
                approvals.withdraw(pending.approval_id)

        async def end() -> Response:
            try:
                with approved_act():
                    return await work
            except Exception as exc:
                return error_response(exc, request.scope)

        async def keep_end(kept: KeptRequest) -> None:
            try:
                made = await doing
                kept.body = bytes(made.body) if len(made.body) <= MAX_BODY_BYTES else b""
                kept.status = made.status_code
            finally:
                doing.cancel()

        stop = approvals.listen(hear)
        doing = asyncio.create_task(end(), name=f"{request.url.path}: work")
        question: Coroutine[Any, Any, PendingApproval] = withdraw_when_left() if is_followed(request) else asked.get()
        asking = asyncio.create_task(question, name=f"{request.url.path}: questions")
        kept: KeptRequest | None = None
        try:
            await asyncio.wait((doing, asking), return_when=asyncio.FIRST_COMPLETED)
            if doing.done():
                return doing.result()
            pending = asking.result()
            kept = KeptRequest(pending.approval_id)
            while len(self._kept) >= MAX_KEPT:
                del self._kept[next(iter(self._kept))]
            self._kept[by.job] = kept
            place = f"/v1/requests/{by.request}"
            decide = f"POST /v1/approvals/{pending.approval_id}"
            told = Waiting(
                state="waiting",
                request=by.request,
                approval=filled(AskedApproval, pending, may_decide=approvals.may_decide(pending, by.person_id)),
                next=f"nothing is done yet: {decide} decides it, GET {place} has the end",
            )
            content, headers = msgspec.json.encode(told), {"Location": place}
            return Response(content, 202, headers, "application/json", BackgroundTask(keep_end, kept))
        finally:
            stop()
            asking.cancel()
            if kept is None:
                doing.cancel()
                await asyncio.wait((doing, asking))


def numbered(request: Request) -> Caller:
    """The request's caller, with a number of ours where it has none."""
    by = caller_of(request)
    return by if by.direct or by.request else replace(by, request=secrets.token_hex(8))


def is_followed(request: Request) -> bool:
    """True if its client waits for it, or follows it by its number."""
    prefers = ",".join(request.headers.getlist("prefer")).lower().split(",")
    return any(part.partition("=")[0].strip() == "wait" for part in prefers) or bool(request_number(request.scope))
