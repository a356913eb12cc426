"""What waits or runs at other hosts of a cluster for a request that came in there: it is found, or ended, at any host.

A request is known by its token and number, so that it is that token's alone here, too.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Sequence
from typing import Final, cast

import msgspec

from microclaw.api.jobs import CancelState, Jobs
from microclaw.api.waiting import KeptRequest, WaitingRequests
from microclaw.cluster.requests import HostRequests, ask_all
from microclaw.errors import Overloaded, UnknownName

MAX_NAMED: Final = 5  # hosts that ended, in an error's text
_AGAIN: Final = "try again in a moment"


class RequestsElsewhere:
    """Those of the hosts that `others` names. This host's `waiting` and `jobs` are there for them.

    `ended`: the names of hosts that are gone.
    """

    def __init__(
        self,
        requests: HostRequests,
        waiting: WaitingRequests,
        jobs: Jobs,
        others: Callable[[], Sequence[str]],
        ended: Callable[[], Sequence[str]],
    ) -> None:
        self._requests = requests
        self._waiting = waiting
        self._jobs = jobs
        self._others = others
        self._ended = ended
        requests.handlers["waiting request"] = self._tell_here
        requests.handlers["cancel job"] = self._cancel_here

    async def find(self, key: str) -> KeptRequest | None:
        """What became of it. Raises Overloaded, UnknownName when a host that may have it does not say."""
        found, silent = await ask_all(self._requests, self._others(), "waiting request", key.encode(errors="replace"))
        if found:
            return msgspec.msgpack.decode(found[0][1], type=KeptRequest)
        if silent:
            raise Overloaded(f"it may wait at {', '.join(silent)}, which did not answer", next_step=_AGAIN)
        if ended := self._ended():
            raise UnknownName(
                "no request of this token has that number at a host that runs; it may have waited at "
                f"{', '.join(ended[:MAX_NAMED])}, which ended: nobody knows what became of it, and it waits no more",
                next_step="look whether it was done; else ask for it again",
            )
        return None

    async def cancel(self, key: str) -> CancelState:
        """End the job there. Raises Overloaded when a host that may have it does not say."""
        found, silent = await ask_all(self._requests, self._others(), "cancel job", key.encode(errors="replace"))
        if found:
            return cast("CancelState", found[0][1].decode())
        if silent:
            raise Overloaded(f"it may run at {', '.join(silent)}, which did not answer", next_step=_AGAIN)
        return "unknown"

    async def _tell_here(self, body: bytes) -> AsyncGenerator[bytes, None]:
        kept = self._waiting.find(body.decode(errors="replace"))
        if kept is not None:
            yield msgspec.msgpack.encode(kept)

    async def _cancel_here(self, body: bytes) -> AsyncGenerator[bytes, None]:
        state = self._jobs.cancel(body.decode(errors="replace"))
        if state != "unknown":
            yield state.encode()
