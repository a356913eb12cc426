"""What waits or runs at other hosts of a cluster for a request that came in there: it is found, or ended, at any host.

A request is known by its token and number, so that it is that token's alone here, too.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Sequence
from typing import Final, TypeVar, cast

from microclaw.api.jobs import CancelState, Jobs
from microclaw.api.waiting import KeptRequest, WaitingRequests
from microclaw.cluster.requests import HostRequests
from microclaw.errors import Overloaded, UnknownName

MAX_NAMED: Final = 5  # hosts that ended, in an error's text
T = TypeVar("T")


class RequestsElsewhere:
    """Those of the other hosts. This host's `waiting` and `jobs` are there for them.

    `ended`: the names of hosts that are gone.
    """

    def __init__(
        self,
        requests: HostRequests,
        waiting: WaitingRequests,
        jobs: Jobs,
        ended: Callable[[], Sequence[str]],
    ) -> None:
        self._requests = requests
        self._waiting = waiting
        self._jobs = jobs
        self._ended = ended
        requests.answer("waiting request", str, self._tell_here)
        requests.answer("cancel job", str, self._cancel_here)

    async def find(self, key: str) -> KeptRequest | None:
        """What became of it. Raises Overloaded, UnknownName when a host that may have it does not say."""
        found = await self._first("waiting request", key, KeptRequest)
        if found is None and (ended := self._ended()):
            raise UnknownName(
                "no request of this token has that number at a host that runs; it may have waited at "
                f"{', '.join(ended[:MAX_NAMED])}, which ended: nobody knows what became of it, and it waits no more",
                next_step="look whether it was done; else ask for it again",
            )
        return found

    async def cancel(self, key: str) -> CancelState:
        """End the job there. Raises Overloaded when a host that may have it does not say."""
        return cast("CancelState", await self._first("cancel job", key, str) or "unknown")

    async def _first(self, what: str, key: str, kind: type[T]) -> T | None:
        found, silent = await self._requests.ask_all(what, key, kind)
        if not found and silent:
            text = f"it may be at {', '.join(silent)}, which did not answer"
            raise Overloaded(text, next_step="try again in a moment")
        return found[0][1] if found else None

    async def _tell_here(self, key: str) -> AsyncGenerator[object, None]:
        if (kept := self._waiting.find(key)) is not None:
            yield kept

    async def _cancel_here(self, key: str) -> AsyncGenerator[object, None]:
        if (state := self._jobs.cancel(key)) != "unknown":
            yield state
