"""Questions for approval that wait at other hosts: they are shown and decided at any host, once, with their host's
checks of rights. Nothing is kept here: each host is asked what waits there.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Final

from msgspec import Struct

from microclaw.auth.approvals import ActEnd, Approvals, PendingApproval
from microclaw.auth.people import Roles
from microclaw.auth.questions import Question, Questions
from microclaw.cluster.requests import ANSWER_S, HostRequests
from microclaw.errors import Overloaded, UnknownName

MAX_WAIT_S: Final = 60.0
_ALL: Final = ""


class _Decision(Struct, frozen=True, array_like=True):
    """The arguments of Approvals.decide for another host."""

    approval_id: str
    approved: bool
    by: str
    always: bool
    nobody: bool = False


class ClusterQuestions(Questions):
    """Those of all hosts. This host's are shown to the others."""

    def __init__(self, requests: HostRequests, approvals: Approvals, people: Roles) -> None:
        super().__init__(approvals, people)
        self._requests = requests
        requests.answer("questions", str, self._tell)
        requests.answer("decide", _Decision, self._decide_here)
        requests.answer("act's end", tuple[str, float], self._tell_end)

    async def pending(self) -> list[Question]:
        """All that wait. A host that does not answer in time is left out."""
        here = await super().pending()
        return [*here, *(one for one in (await self._asked(_ALL))[0] if one.left_s > 0)]

    async def find(self, approval_id: str) -> Question | None:
        here = await super().find(approval_id)
        if here is not None:
            return here
        found, _ = await self._asked(approval_id)
        return next((one for one in found if one.pending.approval_id == approval_id), None)

    async def decide(
        self, approval_id: str, *, approved: bool, by: str, always: bool = False, nobody: bool = False
    ) -> Question:
        """At the host where it waits. Overloaded when one that may have it does not answer."""
        if any(one.approval_id == approval_id for one in self._approvals.pending()):
            return await super().decide(approval_id, approved=approved, by=by, always=always, nobody=nobody)
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
        decision = _Decision(approval_id, approved, by, always, nobody)
        if not await self._requests.ask_first(waiting.host, "decide", decision, bool, ANSWER_S):
            raise Overloaded(
                f"the host {waiting.host} did not say whether it took the decision",
                next_step="look whether it still waits: microclaw approval list",
            )
        return waiting

    async def end(self, question: Question, wait_s: float) -> ActEnd | None:
        """None also where its host is gone."""
        if not question.host:
            return await super().end(question, wait_s)
        asked = (question.pending.approval_id, wait_s)
        return await self._requests.ask_first(question.host, "act's end", asked, ActEnd, wait_s + ANSWER_S)

    async def _asked(self, approval_id: str) -> tuple[list[Question], list[str]]:
        """The answers of the others, and those of them that did not answer."""
        found, silent = await self._requests.ask_all("questions", approval_id, tuple[PendingApproval, float])
        return [Question(*one, host) for host, one in found], silent

    async def _tell(self, approval_id: str) -> AsyncGenerator[object, None]:
        one = await super().find(approval_id)
        for found in await super().pending() if approval_id == _ALL else () if one is None else (one,):
            yield found.pending, found.left_s

    async def _decide_here(self, decision: _Decision) -> AsyncGenerator[object, None]:
        self._approvals.decide(
            decision.approval_id,
            approved=decision.approved,
            by=decision.by,
            always=decision.always,
            nobody=decision.nobody,
        )
        yield True

    async def _tell_end(self, asked: tuple[str, float]) -> AsyncGenerator[object, None]:
        approval_id, wait_s = asked
        end = await self._approvals.end(approval_id, min(wait_s, MAX_WAIT_S))
        if end is not None:
            yield end
