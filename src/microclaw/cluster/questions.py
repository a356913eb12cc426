"""Questions for approval that wait at other hosts: they are shown and decided at any host, once, with their host's
checks of rights. Nothing is kept here: each host is asked what waits there.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import dataclass
from typing import Final

import msgspec

from microclaw.auth.approvals import Approvals, PendingApproval
from microclaw.auth.approved_acts import ActEnd
from microclaw.cluster.requests import ANSWER_S, HostRequests, ask_all, first_answer
from microclaw.errors import Overloaded, UnknownName

MAX_WAIT_S: Final = 60.0


@dataclass(frozen=True, slots=True)
class RemoteQuestion:
    """`left_s`: until its time is over; 0: it was said yes to, and `host` knows how the act ends."""

    host: str
    pending: PendingApproval
    left_s: float


class _Decision(msgspec.Struct, frozen=True, array_like=True):
    approval_id: str
    approved: bool
    by: str


class _Wait(msgspec.Struct, frozen=True, array_like=True):
    approval_id: str
    wait_s: float


class _Question(msgspec.Struct, frozen=True, array_like=True):
    pending: PendingApproval
    left_s: float


class RemoteQuestions:
    """Those of the hosts that `others` names. This host's `approvals` are shown to them."""

    def __init__(self, requests: HostRequests, approvals: Approvals, others: Callable[[], Sequence[str]]) -> None:
        self._requests = requests
        self._approvals = approvals
        self._others = others
        requests.handlers["questions"] = self._tell_all
        requests.handlers["question"] = self._tell_one
        requests.handlers["decide"] = self._decide_here
        requests.handlers["act's end"] = self._tell_end

    async def pending(self) -> tuple[RemoteQuestion, ...]:
        """All that wait. A host that does not answer in time is left out."""
        return tuple(one for one in (await self._asked("questions", b""))[0] if one.left_s > 0)

    async def find(self, approval_id: str) -> RemoteQuestion | None:
        """The question, or the act that was said yes to."""
        found, _ = await self._asked("question", approval_id.encode(errors="replace"))
        return next((one for one in found if one.pending.approval_id == approval_id), None)

    async def decide(self, approval_id: str, *, approved: bool, by: str) -> RemoteQuestion:
        """As Approvals.decide, at the host where it waits. Overloaded when one that may have it does not answer."""
        found, silent = await self._asked("question", approval_id.encode(errors="replace"))
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
        body = msgspec.msgpack.encode(_Decision(approval_id, approved, by))
        if await first_answer(self._requests, waiting.host, "decide", body, ANSWER_S) is None:
            raise Overloaded(
                f"the host {waiting.host} did not say whether it took the decision",
                next_step="look whether it still waits: microclaw approval list",
            )
        return waiting

    async def end(self, question: RemoteQuestion, wait_s: float) -> ActEnd | None:
        """How the act ended; None while it is under way, or its host is gone."""
        body = msgspec.msgpack.encode(_Wait(question.pending.approval_id, wait_s))
        data = await first_answer(self._requests, question.host, "act's end", body, wait_s + ANSWER_S)
        return None if data is None else msgspec.msgpack.decode(data, type=ActEnd | None)

    async def _asked(self, what: str, body: bytes) -> tuple[list[RemoteQuestion], list[str]]:
        """What the others answered, and who of them did not."""
        answers, silent = await ask_all(self._requests, self._others(), what, body)
        found = []
        for host, data in answers:
            one = msgspec.msgpack.decode(data, type=_Question)
            found.append(RemoteQuestion(host, one.pending, one.left_s))
        return found, silent

    async def _tell_all(self, _body: bytes) -> AsyncGenerator[bytes, None]:
        for pending in self._approvals.pending():
            yield self._encoded(pending)

    async def _tell_one(self, body: bytes) -> AsyncGenerator[bytes, None]:
        approval_id = body.decode(errors="replace")
        waiting = next((one for one in self._approvals.pending() if one.approval_id == approval_id), None)
        if (pending := waiting or self._approvals.approved(approval_id)) is not None:
            yield self._encoded(pending)

    async def _decide_here(self, body: bytes) -> AsyncGenerator[bytes, None]:
        asked = msgspec.msgpack.decode(body, type=_Decision)
        self._approvals.decide(asked.approval_id, approved=asked.approved, by=asked.by)
        yield b"decided"

    async def _tell_end(self, body: bytes) -> AsyncGenerator[bytes, None]:
        asked = msgspec.msgpack.decode(body, type=_Wait)
        end = await self._approvals.end(asked.approval_id, min(asked.wait_s, MAX_WAIT_S))
        yield msgspec.msgpack.encode(end)

    def _encoded(self, pending: PendingApproval) -> bytes:
        return msgspec.msgpack.encode(_Question(pending, self._approvals.seconds_left(pending)))
