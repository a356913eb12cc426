"""Requests that wait for a person's yes: a program is told so at once, and the end of its request is kept for it.

The request itself goes on. Streams tell of questions in their lines, and the command line follows its request by the
number that it sent with it: both are left as they are, and so is who says that it waits (RFC 7240, `Prefer: wait`).
When the connection of one who waits ends, its question is withdrawn: nobody would get the answer.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Coroutine
from typing import Annotated, Any, Final, Literal, cast

import msgspec
from msgspec import Meta, Struct
from starlette.background import BackgroundTask
from starlette.requests import Request
from starlette.responses import Response

from microclaw.api.by_hand import left
from microclaw.api.caller import CHANNEL, Caller, request_number
from microclaw.api.failures import error_response
from microclaw.api.jobs import Feed, questions_in
from microclaw.auth.approvals import MAX_PENDING, Approvals, approved_act
from microclaw.bounded_map import BoundedMap
from microclaw.events import ApprovalAsked
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
        if self.body:
            return json.loads(self.body)
        return None


class WaitingRequests:
    """The requests that were told to wait, by token and number; the oldest give way."""

    def __init__(self) -> None:
        self._kept: BoundedMap[str, KeptRequest] = BoundedMap(MAX_KEPT)

    def find(self, key: str) -> KeptRequest | None:
        return self._kept.get(key)

    async def answer(
        self, request: Request, by: Caller, approvals: Approvals, work: Coroutine[Any, Any, Response]
    ) -> Response:
        """The work's answer; 202 with the question and where to look once it asks, if nobody follows it."""
        feed = Feed(MAX_PENDING)
        follows = is_followed(request)

        async def end() -> Response:
            try:
                with approved_act(), questions_in(feed, approvals, channel=CHANNEL, chat_id=by.job):
                    return await work
            except Exception as exc:
                return error_response(exc, request.scope)

        async def keep_end(kept: KeptRequest) -> None:
            try:
                made = await doing
                if len(made.body) <= MAX_BODY_BYTES:
                    kept.body = bytes(made.body)
                else:
                    kept.body = b""
                kept.status = made.status_code
            finally:
                doing.cancel()

        doing = asyncio.create_task(end(), name=f"{request.url.path}: work")
        waiting = asyncio.ensure_future(left(request) if follows else anext(feed.read()))
        kept: KeptRequest | None = None
        try:
            await asyncio.wait((doing, waiting), return_when=asyncio.FIRST_COMPLETED)
            if follows and not doing.done():
                feed.leave()
            if follows or doing.done():
                return await doing
            asked = cast("ApprovalAsked", waiting.result())
            kept = KeptRequest(asked.approval_id)
            self._kept[by.job] = kept
            place = f"/v1/requests/{by.request}"
            decide = f"POST /v1/approvals/{asked.approval_id}"
            told = Waiting(
                state="waiting",
                request=by.request,
                approval=filled(AskedApproval, asked, action=asked.text),
                next=f"nothing is done yet: {decide} decides it, GET {place} has the end",
            )
            content = msgspec.json.encode(told)
            headers = {"Location": place}
            return Response(content, 202, headers, "application/json", BackgroundTask(keep_end, kept))
        finally:
            waiting.cancel()
            if kept is None:
                doing.cancel()
                await asyncio.wait((doing, waiting))


def is_followed(request: Request) -> bool:
    """True if its client waits for it, or follows it by its number."""
    prefers = ",".join(request.headers.getlist("prefer")).lower().split(",")
    return any(part.partition("=")[0].strip() == "wait" for part in prefers) or bool(request_number(request.scope))
