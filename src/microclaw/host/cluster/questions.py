"""Questions for approval that wait at other hosts: any host shows them and decides them.

A question is decided once, with the checks of rights of its own host. Nothing is stored here: each host is asked for
its waiting questions.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Final

from msgspec import Struct

from microclaw.errors import Overloaded, UnknownName
from microclaw.host.auth.approvals import Approvals
from microclaw.host.auth.approved_act import ActEnd, PendingApproval
from microclaw.host.auth.people import Roles
from microclaw.host.auth.questions import ApprovalQuestion, Questions
from microclaw.host.cluster.requests import ANSWER_S, HostRequests

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
    """The questions of all hosts. This host's questions are shown to the others."""

    def __init__(self, requests: HostRequests, approvals: Approvals, people: Roles) -> None:
        super().__init__(approvals, people)
        self._requests = requests
        requests.answer("questions", str, self._send)
        requests.answer("decide", _Decision, self._decide_here)
        requests.answer("act's end", tuple[str, float], self._send_end)

    async def pending(self) -> list[ApprovalQuestion]:
        """Return all questions that wait. A host that does not answer in time is left out."""
        questions = await super().pending()
        elsewhere, _ = await self._ask_others(_ALL)
        return questions + _waiting(elsewhere)

    async def find(self, approval_id: str) -> ApprovalQuestion | None:
        here = await super().find(approval_id)
        if here is not None:
            return here
        elsewhere, _ = await self._ask_others(approval_id)
        return _first_with_id(elsewhere, approval_id)

    async def decide(
        self, approval_id: str, *, approved: bool, by: str, always: bool = False, nobody: bool = False
    ) -> ApprovalQuestion:
        """Decide a question at the host where it waits.

        Raises Overloaded if a host that may have it does not answer, UnknownName if it waits at no host.
        """
        if any(pending.approval_id == approval_id for pending in self._approvals.pending()):
            return await super().decide(approval_id, approved=approved, by=by, always=always, nobody=nobody)
        elsewhere, silent_hosts = await self._ask_others(approval_id)
        waiting = _first_with_id(_waiting(elsewhere), approval_id)
        if waiting is None:
            if silent_hosts:
                raise Overloaded(
                    f"it may wait at {', '.join(silent_hosts)}, which did not answer", next_step="try again in a moment"
                )
            raise UnknownName(
                f"there is no pending approval {approval_id[:40]!r}: it was decided or expired",
                next_step="microclaw approval list",
            )
        decision = _Decision(approval_id, approved, by, always, nobody)
        if not await self._requests.ask_first(waiting.host, "decide", decision, bool, ANSWER_S):
            raise Overloaded(
                f"the host {waiting.host} did not say whether it took the decision",
                next_step="look whether it still waits: microclaw approval list",
            )
        return waiting

    async def end(self, question: ApprovalQuestion, wait_s: float) -> ActEnd | None:
        """Return the end of an approved action; None also if its host is gone."""
        if not question.host:
            return await super().end(question, wait_s)
        message = (question.pending.approval_id, wait_s)
        return await self._requests.ask_first(question.host, "act's end", message, ActEnd, wait_s + ANSWER_S)

    async def _ask_others(self, approval_id: str) -> tuple[list[ApprovalQuestion], list[str]]:
        """Return the questions at the other hosts, and the hosts that did not answer."""
        answers, silent_hosts = await self._requests.ask_all("questions", approval_id, tuple[PendingApproval, float])
        return [ApprovalQuestion(pending, left_s, host) for host, (pending, left_s) in answers], silent_hosts

    async def _send(self, approval_id: str) -> AsyncGenerator[object, None]:
        if approval_id == _ALL:
            questions = await super().pending()
        else:
            questions = list(filter(None, [await super().find(approval_id)]))
        for question in questions:
            yield question.pending, question.left_s

    async def _decide_here(self, decision: _Decision) -> AsyncGenerator[object, None]:
        self._approvals.decide(
            decision.approval_id,
            approved=decision.approved,
            by=decision.by,
            always=decision.always,
            nobody=decision.nobody,
        )
        yield True

    async def _send_end(self, message: tuple[str, float]) -> AsyncGenerator[object, None]:
        approval_id, wait_s = message
        end = await self._approvals.wait_for_end(approval_id, min(wait_s, MAX_WAIT_S))
        if end is not None:
            yield end


def _waiting(questions: list[ApprovalQuestion]) -> list[ApprovalQuestion]:
    """Return the questions that wait for a decision; the others were approved."""
    return [question for question in questions if question.left_s > 0]


def _first_with_id(questions: list[ApprovalQuestion], approval_id: str) -> ApprovalQuestion | None:
    for question in questions:
        if question.pending.approval_id == approval_id:
            return question
    return None
