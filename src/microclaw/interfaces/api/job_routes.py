"""/v1/jobs: cancels a request before it changes something. /v1/requests: the outcome of a request that waited.

In a cluster a request is found, or cancelled, at any host. It is known by its token and number, and only to that token.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Sequence
from typing import TYPE_CHECKING, Any, Final, TypeVar, cast

from msgspec import UNSET, Struct, UnsetType

from microclaw.errors import Overloaded, UnknownName
from microclaw.host.operations.operation import Access
from microclaw.interfaces.api.caller import Caller
from microclaw.interfaces.api.custom_routes import RouteRequest, custom_route
from microclaw.interfaces.api.jobs import CancelState, Jobs
from microclaw.interfaces.api.pending_requests import KeptRequest, WaitingRequests

if TYPE_CHECKING:
    from microclaw.host.cluster.requests import HostRequests

# Stopped hosts in the text of an error.
MAX_NAMED: Final = 5
T = TypeVar("T")


class JobService(Struct, frozen=True):
    """The jobs and waiting requests of this host and of the other hosts of its cluster.

    `others` asks and answers the other hosts; `ended` returns the names of stopped hosts. Raises Overloaded if a host
    that may have the request does not answer.
    """

    jobs: Jobs
    requests: WaitingRequests
    others: HostRequests | None = None
    ended: Callable[[], Sequence[str]] = tuple

    def __post_init__(self) -> None:
        async def find_here(key: str) -> AsyncGenerator[object, None]:
            request = self.requests.find(key)
            if request is not None:
                yield request

        async def cancel_here(key: str) -> AsyncGenerator[object, None]:
            state = self.jobs.cancel(key)
            if state != "unknown":
                yield state

        if self.others is not None:
            self.others.answer("waiting request", str, find_here)
            self.others.answer("cancel job", str, cancel_here)

    async def cancel(self, by: Caller, number: str) -> CancelState:
        """Cancel a job at any host; "unknown" if no host runs it."""
        state = self.jobs.cancel(by.job_key(number))
        if state != "unknown":
            return state
        return cast("CancelState", await self._elsewhere(by, number, "cancel job", str) or state)

    async def find(self, by: Caller, number: str) -> KeptRequest:
        """Return a request of this token from any host; raises UnknownName."""
        request = self.requests.find(by.job_key(number))
        request = request or await self._elsewhere(by, number, "waiting request", KeptRequest)
        if request is not None:
            return request
        stopped_hosts = () if by.direct else self.ended()
        if stopped_hosts:
            names = ", ".join(stopped_hosts[:MAX_NAMED])
            raise UnknownName(
                "no request of this token has that number at a running host; it may have waited at "
                f"{names}, which stopped: its result is unknown, and it waits no more",
                next_step="check whether it was done; otherwise ask for it again",
            )
        raise UnknownName("no request of this token has that number", next_step="GET /v1/approvals has what waits")

    async def _elsewhere(self, by: Caller, number: str, what: str, kind: type[T]) -> T | None:
        """Return the answer of another host, None if it has none; raises Overloaded if one did not answer."""
        if self.others is None or by.direct:
            return None
        answers, silent_hosts = await self.others.ask_all(what, by.job_key(number), kind)
        if answers:
            return answers[0][1]
        if silent_hosts:
            text = f"it may be at {', '.join(silent_hosts)}, which did not answer"
            raise Overloaded(text, next_step="try again in a moment")
        return None


class JobCancelled(Struct, frozen=True, kw_only=True):
    state: CancelState


@custom_route("job.cancel", http="POST /v1/jobs/{number}/cancel", access=Access.ASK)
async def cancel_job(service: JobService, asked: RouteRequest, number: str) -> JobCancelled:
    """Cancel the job of your request with this number, before it changes something."""
    return JobCancelled(state=await service.cancel(asked.by, number))


class WaitedRequest(Struct, frozen=True, kw_only=True):
    """A request that waited: "waiting" with its `approval_id`, or "ended" with its `status` and `result`."""

    request: str
    state: str
    approval_id: str | UnsetType = UNSET
    status: int | UnsetType = UNSET
    result: Any = UNSET


@custom_route("job.end", http="GET /v1/requests/{number}", access=Access.ASK)
async def waited(service: JobService, asked: RouteRequest, number: str) -> WaitedRequest:
    """Return the outcome of a request that waited for a yes (202)."""
    request = await service.find(asked.by, number)
    if request.status is None:
        return WaitedRequest(request=number, state="waiting", approval_id=request.approval_id)
    return WaitedRequest(request=number, state="ended", status=request.status, result=request.result)
