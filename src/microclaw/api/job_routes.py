"""/v1/jobs: ends what a request does, before it changes something. /v1/requests: what became of one that waited.

In a cluster a request is found, or ended, at any host. It is known by its token and number: it is that token's alone.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Sequence
from typing import TYPE_CHECKING, Any, Final, TypeVar, cast

from msgspec import UNSET, Struct, UnsetType

from microclaw.api.by_hand import Asked, by_hand
from microclaw.api.caller import Caller
from microclaw.api.jobs import CancelState, Jobs
from microclaw.api.waiting import KeptRequest, WaitingRequests
from microclaw.errors import Overloaded, UnknownName
from microclaw.operations.operation import Access

if TYPE_CHECKING:
    from microclaw.cluster.requests import HostRequests

MAX_NAMED: Final = 5  # hosts that ended, in an error's text
T = TypeVar("T")


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
            kept = self.requests.find(key)
            if kept is not None:
                yield kept

        async def cancel(key: str) -> AsyncGenerator[object, None]:
            state = self.jobs.cancel(key)
            if state != "unknown":
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
        if found:
            return found[0][1]
        return None


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
