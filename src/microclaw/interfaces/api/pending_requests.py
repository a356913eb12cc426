"""Requests that wait for a person's yes: a program gets that answer at once, and the end of its request is kept for it.

The request itself continues. Streams report questions in their lines, and the command line follows its request by the
number that it sent with it: both wait as before, and so does a client that asks for it (RFC 7240, `Prefer: wait`). If
the connection of such a client ends, its question is withdrawn, because no client would get the answer.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Coroutine
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta, Struct
from starlette.background import BackgroundTask
from starlette.requests import Request
from starlette.responses import Response

from microclaw.bounded_map import BoundedMap
from microclaw.events import ApprovalAsked
from microclaw.host.auth.approvals import MAX_PENDING, Approvals
from microclaw.host.auth.approved_act import approved_act
from microclaw.host.operations.result import filled
from microclaw.interfaces.api.caller import CHANNEL, Caller, request_number
from microclaw.interfaces.api.custom_routes import wait_until_client_leaves
from microclaw.interfaces.api.failures import error_response
from microclaw.interfaces.api.jobs import Feed, questions_in

MAX_KEPT: Final = 256
MAX_BODY_BYTES: Final = 1 << 20


class AskedApproval(Struct, frozen=True, kw_only=True):
    approval_id: str
    action: str
    detail: tuple[str, ...]
    expires_s: float
    may_decide: bool


class WaitingAnswer(Struct, frozen=True, kw_only=True):
    """The answer to a program that did not send `Prefer: wait`."""

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
        """The result as JSON; None if it was too long to be kept."""
        if self.body:
            return json.loads(self.body)
        return None


class WaitingRequests:
    """The requests that were answered with 202, by token and number; the oldest are dropped first."""

    def __init__(self) -> None:
        self._kept: BoundedMap[str, KeptRequest] = BoundedMap(MAX_KEPT)

    def find(self, key: str) -> KeptRequest | None:
        return self._kept.get(key)

    async def answer(
        self, request: Request, by: Caller, approvals: Approvals, work: Coroutine[Any, Any, Response]
    ) -> Response:
        """Return the work's answer; 202 with the question once it asks, if the client does not follow it."""
        feed = Feed(MAX_PENDING)
        follows = is_followed(request)

        async def run() -> Response:
            try:
                with approved_act(), questions_in(feed, approvals, channel=CHANNEL, chat_id=by.job):
                    return await work
            except Exception as exc:
                return error_response(exc, request.scope)

        work_task = asyncio.create_task(run(), name=f"{request.url.path}: work")
        other: asyncio.Future[Any]
        if follows:
            other = asyncio.ensure_future(wait_until_client_leaves(request))
        else:
            other = asyncio.ensure_future(anext(feed.read()))
        kept: KeptRequest | None = None
        try:
            await asyncio.wait((work_task, other), return_when=asyncio.FIRST_COMPLETED)
            if follows and not work_task.done():
                feed.leave()
            if follows or work_task.done():
                return await work_task
            question: ApprovalAsked = other.result()
            kept = KeptRequest(question.approval_id)
            self._kept[by.job] = kept
            return _waiting_response(by, question, BackgroundTask(_keep_end, work_task, kept))
        finally:
            other.cancel()
            if kept is None:
                work_task.cancel()
                await asyncio.wait((work_task, other))


def _waiting_response(by: Caller, question: ApprovalAsked, task: BackgroundTask) -> Response:
    place = f"/v1/requests/{by.request}"
    decide = f"POST /v1/approvals/{question.approval_id}"
    waiting = WaitingAnswer(
        state="waiting",
        request=by.request,
        approval=filled(AskedApproval, question, action=question.text),
        next=f"nothing is done yet: {decide} decides it, GET {place} has the end",
    )
    content = msgspec.json.encode(waiting)
    return Response(content, 202, {"Location": place}, "application/json", task)


async def _keep_end(work_task: asyncio.Task[Response], kept: KeptRequest) -> None:
    try:
        response = await work_task
        if len(response.body) <= MAX_BODY_BYTES:
            kept.body = bytes(response.body)
        kept.status = response.status_code
    finally:
        work_task.cancel()


def is_followed(request: Request) -> bool:
    """Return True if its client waits for it, or follows it by its number."""
    if request_number(request.scope):
        return True
    preferences = ",".join(request.headers.getlist("prefer")).lower().split(",")
    return any(preference.partition("=")[0].strip() == "wait" for preference in preferences)
