"""Questions for approval that wait at other hosts: they are shown and decided at any host, once, with their host's
checks of rights. Nothing is kept here: each host is asked what waits there.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Final

from microclaw.auth.approvals import Approvals, PendingApproval
from microclaw.auth.approved_acts import ActEnd
from microclaw.cluster.requests import ANSWER_S, HostRequests
from microclaw.errors import Overloaded, UnknownName

MAX_WAIT_S: Final = 60.0
_ALL: Final = ""


@dataclass(frozen=True, slots=True)
class RemoteQuestion:
    """`left_s`: until its time is over; 0: it was said yes to, and `host` knows how the act ends."""

    host: str
    pending: PendingApproval
    left_s: float


class RemoteQuestions:
    """Those of the other hosts. This host's `approvals` are shown to them."""

    def __init__(self, requests: HostRequests, approvals: Approvals) -> None:
        self._requests = requests
        self._approvals = approvals
        requests.answer("questions", str, self._tell)
        requests.answer("decide", tuple[str, bool, str], self._decide_here)
        requests.answer("act's end", tuple[str, float], self._tell_end)

    async def pending(self) -> tuple[RemoteQuestion, ...]:
        """All that wait. A host that does not answer in time is left out."""
        return tuple(one for one in (await self._asked(_ALL))[0] if one.left_s > 0)

    async def find(self, approval_id: str) -> RemoteQuestion | None:
        """The question, or the act that was said yes to."""
        found, _ = await self._asked(approval_id)
        return next((one for one in found if one.pending.approval_id == approval_id), None)

    async def decide(self, approval_id: str, *, approved: bool, by: str) -> RemoteQuestion:
        """As Approvals.decide, at the host where it waits. Overloaded when one that may have it does not answer."""
        found, silent = await self._asked(approval_id)
        waiting = next((one for one in found if one.pending.approval_id == approval_id and one.left_s > 0), None)
        if waiting is None:
            if silent:
                raise Overloaded(
                    f"it may wait at {', '.join(silent)}, which did not answer", next_step="try again in a moment"
                )
            raise UnknownName(
                f"nothing waits under {approval_id[:40]!r}: it was decided already, or its time is over",
                next_step="microclaw approval list",
            )
        decision = (approval_id, approved, by)
        if not await self._requests.ask_first(waiting.host, "decide", decision, bool, ANSWER_S):
            raise Overloaded(
                f"the host {waiting.host} did not say whether it took the decision",
                next_step="look whether it still waits: microclaw approval list",
            )
        return waiting

    async def end(self, question: RemoteQuestion, wait_s: float) -> ActEnd | None:
        """How the act ended; None while it is under way, or its host is gone."""
        asked = (question.pending.approval_id, wait_s)
        return await self._requests.ask_first(question.host, "act's end", asked, ActEnd, wait_s + ANSWER_S)

    async def _asked(self, approval_id: str) -> tuple[list[RemoteQuestion], list[str]]:
        """What the others answered, and who of them did not."""
        found, silent = await self._requests.ask_all("questions", approval_id, tuple[PendingApproval, float])
        return [RemoteQuestion(host, *one) for host, one in found], silent

    async def _tell(self, approval_id: str) -> AsyncGenerator[object, None]:
        pending = [one for one in self._approvals.pending() if approval_id in (_ALL, one.approval_id)]
        if not pending and (ended := self._approvals.approved(approval_id)) is not None:
            pending = [ended]
        for one in pending:
            yield one, self._approvals.seconds_left(one)

    async def _decide_here(self, decision: tuple[str, bool, str]) -> AsyncGenerator[object, None]:
        approval_id, approved, by = decision
        self._approvals.decide(approval_id, approved=approved, by=by)
        yield True

    async def _tell_end(self, asked: tuple[str, float]) -> AsyncGenerator[object, None]:
        approval_id, wait_s = asked
        if (end := await self._approvals.end(approval_id, min(wait_s, MAX_WAIT_S))) is not None:
            yield end
