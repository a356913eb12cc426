"""/v1/jobs: ends what a request does, before it changes something. /v1/requests: what became of one that waited.

A program is told at once that its request waits for a person's yes, and the end of that request is kept for it. Streams
tell of questions in their lines, and the command line follows its request by the number that it sent with it: both are
left as they are, and so is who says that it waits (RFC 7240, `Prefer: wait`). When the connection of one who waits
ends, its question is withdrawn: nobody would get the answer.

In a cluster a request is found, or ended, at any host. It is known by its token and number: it is that token's alone.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Callable, Coroutine, Sequence
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, TypeVar, cast

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType
from starlette.background import BackgroundTask
from starlette.requests import Request
from starlette.responses import Response

from microclaw.api.by_hand import Asked, by_hand, left
from microclaw.api.caller import CHANNEL, Caller, request_number
from microclaw.api.failures import error_response
from microclaw.api.jobs import CancelState, Feed, Jobs, questions_in
from microclaw.auth.approvals import Approvals, approved_act
from microclaw.errors import Overloaded, UnknownName
from microclaw.events import ApprovalAsked
from microclaw.operations.operation import Access
from microclaw.operations.result import filled

if TYPE_CHECKING:
    from microclaw.cluster.requests import HostRequests

MAX_NAMED: Final = 5  # hosts that ended, in an error's text
MAX_KEPT: Final = 256
MAX_BODY_BYTES: Final = 1 << 20
T = TypeVar("T")


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
        feed, follows = Feed(2), is_followed(request)

        async def end() -> Response:
            try:
                with approved_act(), questions_in(feed, approvals, channel=CHANNEL, chat_id=by.job):
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
            while len(self._kept) >= MAX_KEPT:
                del self._kept[next(iter(self._kept))]
            self._kept[by.job] = kept
            place = f"/v1/requests/{by.request}"
            decide = f"POST /v1/approvals/{asked.approval_id}"
            told = Waiting(
                state="waiting",
                request=by.request,
                approval=filled(AskedApproval, asked, action=asked.text),
                next=f"nothing is done yet: {decide} decides it, GET {place} has the end",
            )
            content, headers = msgspec.json.encode(told), {"Location": place}
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


class JobService(Struct, frozen=True):
    """`others`: the other hosts of a cluster, which are asked and answered; `ended`: the names of those that are gone.

    Overloaded when a host that may have the request does not say.
    """

    jobs: Jobs
    requests: WaitingRequests
    others: HostRequests | None = None
    ended: Callable[[], Sequence[str]] = tuple

    def __post_init__(self) -> None:
        async def tell(key: str) -> AsyncGenerator[object, None]:
            if (kept := self.requests.find(key)) is not None:
                yield kept

        async def cancel(key: str) -> AsyncGenerator[object, None]:
            if (state := self.jobs.cancel(key)) != "unknown":
                yield state

        if self.others is not None:
            self.others.answer("waiting request", str, tell)
            self.others.answer("cancel job", str, cancel)

    async def cancel(self, by: Caller, number: str) -> CancelState:
        state = self.jobs.cancel(by.job_key(number))
        if state == "unknown":
            state = cast("CancelState", await self._elsewhere(by, number, "cancel job", str) or state)
        return state

    async def find(self, by: Caller, number: str) -> KeptRequest:
        kept = self.requests.find(by.job_key(number))
        kept = kept or await self._elsewhere(by, number, "waiting request", KeptRequest)
        if kept is not None:
            return kept
        if not by.direct and (ended := self.ended()):
            raise UnknownName(
                "no request of this token has that number at a host that runs; it may have waited at "
                f"{', '.join(ended[:MAX_NAMED])}, which ended: nobody knows what became of it, and it waits no more",
                next_step="look whether it was done; else ask for it again",
            )
        raise UnknownName("no request of this token has that number", next_step="GET /v1/approvals has what waits")

    async def _elsewhere(self, by: Caller, number: str, what: str, kind: type[T]) -> T | None:
        if self.others is None or by.direct:
            return None
        found, silent = await self.others.ask_all(what, by.job_key(number), kind)
        if not found and silent:
            text = f"it may be at {', '.join(silent)}, which did not answer"
            raise Overloaded(text, next_step="try again in a moment")
        return found[0][1] if found else None


class JobCancelled(Struct, frozen=True, kw_only=True):
    state: CancelState


@by_hand("job.cancel", http="POST /v1/jobs/{number}/cancel", access=Access.ASK)
async def cancel_job(service: JobService, asked: Asked, number: str) -> JobCancelled:
    """End what your request with this number does, before it changes."""
    return JobCancelled(state=await service.cancel(asked.by, number))


class WaitedRequest(Struct, frozen=True, kw_only=True):
    """`waiting` with its `approval_id`, or `ended` with the `status` and the `result` that it would have had."""

    request: str
    state: str
    approval_id: str | UnsetType = UNSET
    status: int | UnsetType = UNSET
    result: Any = UNSET


@by_hand("job.end", http="GET /v1/requests/{number}", access=Access.ASK)
async def waited(service: JobService, asked: Asked, number: str) -> WaitedRequest:
    """Return the outcome of a request that waited for a yes (202)."""
    kept = await service.find(asked.by, number)
    if kept.status is None:
        return WaitedRequest(request=number, state="waiting", approval_id=kept.approval_id)
    return WaitedRequest(request=number, state="ended", status=kept.status, result=kept.result)
