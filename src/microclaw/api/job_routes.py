"""/v1/jobs: ends what a request does, before it changes something. /v1/requests: what became of one that waited."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from msgspec import UNSET, Struct, UnsetType

from microclaw.api.by_hand import Asked, by_hand
from microclaw.api.jobs import CancelState, Jobs
from microclaw.api.waiting import WaitingRequests
from microclaw.errors import UnknownName
from microclaw.operations.operation import Access

if TYPE_CHECKING:
    from microclaw.api.requests_elsewhere import RequestsElsewhere


@dataclass(frozen=True, slots=True)
class JobService:
    """`elsewhere`: the requests that came in at the other hosts of a cluster."""

    jobs: Jobs
    requests: WaitingRequests
    elsewhere: RequestsElsewhere | None


class JobCancelled(Struct, frozen=True, kw_only=True):
    state: CancelState


@by_hand("job.cancel", http="POST /v1/jobs/{number}/cancel", access=Access.ASK)
async def cancel_job(service: JobService, asked: Asked, number: str) -> JobCancelled:
    """End what your request with this number does, before it changes."""
    state = service.jobs.cancel(asked.by.job_key(number))
    if state == "unknown" and service.elsewhere is not None and not asked.by.direct:
        state = await service.elsewhere.cancel(asked.by.job_key(number))
    return JobCancelled(state=state)


class WaitedRequest(Struct, frozen=True, kw_only=True):
    """`waiting` with its `approval_id`, or `ended` with the `status` and the `result` that it would have had."""

    request: str
    state: str
    approval_id: str | UnsetType = UNSET
    status: int | UnsetType = UNSET
    result: Any = UNSET


@by_hand("job.end", http="GET /v1/requests/{number}", access=Access.ASK)
async def waited(service: JobService, asked: Asked, number: str) -> WaitedRequest:
    """What became of a request that was told to wait for a yes (202)."""
    kept = service.requests.find(asked.by.job_key(number))
    if kept is None and service.elsewhere is not None and not asked.by.direct:
        kept = await service.elsewhere.find(asked.by.job_key(number))
    if kept is None:
        raise UnknownName("no request of this token has that number", next_step="GET /v1/approvals has what waits")
    if kept.status is None:
        return WaitedRequest(request=number, state="waiting", approval_id=kept.approval_id)
    return WaitedRequest(request=number, state="ended", status=kept.status, result=kept.result)
