"""The questions that wait for a yes, and the acts that show and decide them. cluster/questions.py adds other hosts'."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, TypeAlias, TypeVar

from msgspec import Meta, Struct
from msgspec.structs import replace

from microclaw.auth.approvals import ActEnd
from microclaw.auth.people import may_see, name_of
from microclaw.errors import UnknownName
from microclaw.events import AskedProgram
from microclaw.operations.operation import NAME, Call, Option, Permission, operation
from microclaw.operations.result import Result, filled
from microclaw.text import door_words

if TYPE_CHECKING:
    from microclaw.auth.approvals import Approvals, PendingApproval
    from microclaw.auth.people import Roles

W = TypeVar("W", bound="WaitingApproval")


class Question(Struct, frozen=True):
    """`left_s`: until its time is over; 0: it was said yes to. `host`: the other host that has it."""

    pending: PendingApproval
    left_s: float
    host: str = ""


class Questions:
    """Those of this host."""

    def __init__(self, approvals: Approvals, people: Roles) -> None:
        self.people = people
        self._approvals = approvals

    async def pending(self) -> list[Question]:
        """All that wait."""
        return [self._here(one) for one in self._approvals.pending()]

    async def find(self, approval_id: str) -> Question | None:
        """The question, or the act that was said yes to."""
        found = self._approvals.find(approval_id)
        if found is None:
            return None
        return self._here(found)

    async def decide(
        self, approval_id: str, *, approved: bool, by: str, always: bool = False, nobody: bool = False
    ) -> Question:
        """As Approvals.decide."""
        return self._here(self._approvals.decide(approval_id, approved=approved, by=by, always=always, nobody=nobody))

    async def end(self, question: Question, wait_s: float) -> ActEnd | None:
        """The end of the act; None while it is under way."""
        return await self._approvals.end(question.pending.approval_id, wait_s)

    def _here(self, pending: PendingApproval) -> Question:
        return Question(pending, self._approvals.seconds_left(pending))


class WaitingApproval(Result, frozen=True, kw_only=True):
    approval_id: str
    action: str
    detail: list[str]
    person: str
    channel: str
    risky: Annotated[bool, Meta(description="An owner decides it")]
    request: Annotated[str | None, Meta(description="The number of this token's own request that waits for it")]
    expires_s: float

    @property
    def is_foreign(self) -> bool:
        # The act may be somebody else's.
        return True

    def lines(self) -> Iterable[str]:
        risky = ", risky" if self.risky else ""
        yield f"{self.approval_id}  {self.action}"
        yield f"    asked by {self.person} {door_words(self.channel)}{risky}, {self.expires_s:.0f} s left"
        yield from (f"    {line}" for line in self.detail)


class WaitingApprovals(Result, frozen=True, kw_only=True):
    document: ClassVar = "approvals"

    approvals: list[WaitingApproval]

    @property
    def is_foreign(self) -> bool:
        return bool(self.approvals)

    def lines(self) -> Iterable[str]:
        for one in self.approvals:
            yield from one.lines()
        if not self.approvals:
            yield "nothing waits"


class Approval(WaitingApproval, frozen=True, kw_only=True, omit_defaults=True):
    """`outcome` null: it waits. `end`: how the act ended that was said yes to."""

    document: ClassVar = "approval"

    outcome: Literal["approved", "declined"] | None
    end: ActEnd | None = None
    program: AskedProgram | None = None

    @property
    def exit_code(self) -> int:
        return 1 if self.end is not None and self.end.state in ("failed", "unknown") else 0

    @property
    def ended(self) -> str:
        if self.end is None:
            return ""
        why = self.end.why and f": {self.end.why}"
        step = self.end.next_step and f"\nnext: {self.end.next_step}"
        return f"\n{self.end.state.replace('_', ' ')}{why}{step or ''}"

    def lines(self) -> Iterable[str]:
        yield from super().lines()
        if self.program is not None and self.program.replaces is not None:
            yield f"    in place of {self.program.replaces[:12]}"
            yield from (f"    {line}" for line in self.program.diff or ["the source is the same, or not kept"])
        if self.outcome is not None:
            yield f"{self.outcome}{self.ended}"


Number: TypeAlias = Annotated[str, Meta(pattern=NAME, description="Its id, as the list shows it.")]
WaitS: TypeAlias = Annotated[
    float, Meta(ge=0, le=60, description="How long to wait for the act's end, in seconds."), Option("--wait")
]


@operation("approval.list", http="GET /v1/approvals")
async def list_approvals(questions: Questions, call: Call) -> WaitingApprovals:
    """List the pending approvals, and exactly what would happen; a member sees the own questions."""
    found = await questions.pending()
    seen = [one for one in found if may_see(questions.people, one.pending.person_id, call.person_id)]
    return WaitingApprovals(approvals=[_filled(WaitingApproval, questions, call, one) for one in seen])


@operation("approval.show", http="GET /v1/approvals/{approval_id}", command="list")
async def show_approval(questions: Questions, call: Call, approval_id: Number, wait_s: WaitS = 0.0) -> Approval:
    """One question with its program; whether it waits, or how the act ended that was said yes to."""
    found = await questions.find(approval_id)
    if found is None or not may_see(questions.people, found.pending.person_id, call.person_id):
        text = f"there is no approval {approval_id[:40]!r}: it was declined, or its time is over"
        raise UnknownName(text, next_step="microclaw approval list")
    if found.left_s:
        return _filled(Approval, questions, call, found, outcome=None, end=None)
    return _filled(Approval, questions, call, found, outcome="approved", end=await _end(questions, found, wait_s))


@operation(
    "approval.decide",
    http="POST /v1/approvals/{approval_id}",
    permission=Permission.ACT,
    said="{outcome}: {action}{ended}",
)
async def decide(
    questions: Questions,
    call: Call,
    approval_id: Number,
    approved: Annotated[bool, Meta(description="yes: it is done now; no: it is not done."), Option(metavar="yes|no")],
    wait_s: WaitS = 5.0,
    always: Annotated[
        bool, Meta(description="yes to this act in all runs of its schedule, after the same pages.")
    ] = False,
    nobody: Annotated[bool, Meta(description="A no because nobody is there to answer."), Option(hidden=True)] = False,
) -> Approval:
    """Say yes or no; the first decision counts. A yes also tells how the act ended."""
    decided = await questions.decide(approval_id, approved=approved, by=call.person_id, always=always, nobody=nobody)
    settled = replace(decided, left_s=0.0)
    if approved:
        end = await _end(questions, settled, wait_s)
    else:
        end = None
    outcome = "approved" if approved else "declined"
    return _filled(Approval, questions, call, settled, outcome=outcome, end=end)


async def _end(questions: Questions, question: Question, wait_s: float) -> ActEnd:
    step = f"microclaw approval list {question.pending.approval_id} --wait 60"
    return await questions.end(question, wait_s) or ActEnd("under_way", next_step=step)


def _filled(kind: type[W], questions: Questions, call: Call, question: Question, **more: Any) -> W:
    # of this token's requests
    pending = question.pending
    own = f"{call.chat_id}."
    is_own = pending.channel == call.channel and not call.direct and pending.chat_id.startswith(own)
    return filled(
        kind,
        pending,
        person=name_of(questions.people, pending.person_id),
        channel=pending.door,
        request=pending.chat_id.removeprefix(own) if is_own else None,
        expires_s=round(question.left_s, 1),
        **more,
    )
