"""The pending questions, and the operations that show and decide them. cluster/questions.py adds other hosts' ones."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, TypeAlias, TypeVar

from msgspec import Meta, Struct
from msgspec.structs import replace

from microclaw.errors import UnknownName
from microclaw.events import AskedProgram
from microclaw.host.auth.approved_act import ActEnd
from microclaw.host.auth.people import may_see, name_of
from microclaw.host.operations.forms import CommandForm
from microclaw.host.operations.operation import NAME, OperationCall, Option, Permission, operation
from microclaw.host.operations.result import Result, filled
from microclaw.text import door_words

if TYPE_CHECKING:
    from microclaw.host.auth.approvals import Approvals
    from microclaw.host.auth.approved_act import PendingApproval
    from microclaw.host.auth.people import Roles

W = TypeVar("W", bound="WaitingApproval")


class ApprovalQuestion(Struct, frozen=True):
    """A question that waits or was approved.

    `left_s` is the time until it expires, 0 if it was approved. `host` is the other host that has it, or "".
    """

    pending: PendingApproval
    left_s: float
    host: str = ""


class Questions:
    """The questions of this host."""

    def __init__(self, approvals: Approvals, people: Roles) -> None:
        self.people = people
        self._approvals = approvals

    async def pending(self) -> list[ApprovalQuestion]:
        """Return all that wait."""
        return list(map(self._question, self._approvals.pending()))

    async def find(self, approval_id: str) -> ApprovalQuestion | None:
        """Return the question if it waits or was approved; otherwise None."""
        pending = self._approvals.find(approval_id)
        if pending is None:
            return None
        return self._question(pending)

    async def decide(
        self, approval_id: str, *, approved: bool, by: str, always: bool = False, nobody: bool = False
    ) -> ApprovalQuestion:
        """Decide a question, like Approvals.decide."""
        pending = self._approvals.decide(approval_id, approved=approved, by=by, always=always, nobody=nobody)
        return self._question(pending)

    async def end(self, question: ApprovalQuestion, wait_s: float) -> ActEnd | None:
        """Wait for the end of the act; None if it is still running after `wait_s`."""
        return await self._approvals.wait_for_end(question.pending.approval_id, wait_s)

    def _question(self, pending: PendingApproval) -> ApprovalQuestion:
        return ApprovalQuestion(pending, self._approvals.seconds_left(pending))


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
        # Another person may have asked for the act.
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
        for approval in self.approvals:
            yield from approval.lines()
        if not self.approvals:
            yield "nothing waits"


class Approval(WaitingApproval, frozen=True, kw_only=True, omit_defaults=True):
    """A question and its answer. `outcome` null: it waits. `end`: how the approved act ended."""

    document: ClassVar = "approval"

    outcome: Literal["approved", "declined"] | None
    end: ActEnd | None = None
    program: AskedProgram | None = None

    @property
    def exit_code(self) -> int:
        if self.end is not None and self.end.state in ("failed", "unknown"):
            return 1
        return 0

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
async def list_approvals(questions: Questions, call: OperationCall) -> WaitingApprovals:
    """List the pending approvals, and exactly what would happen; members see only their own questions."""
    approvals = []
    for question in await questions.pending():
        if may_see(questions.people, question.pending.person_id, call.person_id):
            approvals.append(_fill(WaitingApproval, questions, call, question))
    return WaitingApprovals(approvals=approvals)


@operation("approval.show", http="GET /v1/approvals/{approval_id}", command=CommandForm("list"))
async def show_approval(
    questions: Questions, call: OperationCall, approval_id: Number, wait_s: WaitS = 0.0
) -> Approval:
    """Show one question with its program; whether it waits, or how the approved act ended."""
    question = await questions.find(approval_id)
    if question is None or not may_see(questions.people, question.pending.person_id, call.person_id):
        text = f"there is no approval {approval_id[:40]!r}: it was declined, or its time is over"
        raise UnknownName(text, next_step="microclaw approval list")
    if question.left_s:
        return _fill(Approval, questions, call, question, outcome=None, end=None)
    end = await _end(questions, question, wait_s)
    return _fill(Approval, questions, call, question, outcome="approved", end=end)


@operation(
    "approval.decide",
    http="POST /v1/approvals/{approval_id}",
    permission=Permission.ACT,
    command=CommandForm(said="{outcome}: {action}{ended}"),
)
async def decide(
    questions: Questions,
    call: OperationCall,
    *,
    approval_id: Number,
    approved: Annotated[bool, Meta(description="yes: it is done now; no: it is not done."), Option(metavar="yes|no")],
    wait_s: WaitS = 5.0,
    always: Annotated[
        bool, Meta(description="yes to this act in all runs of its schedule, after the same pages.")
    ] = False,
    nobody: Annotated[
        bool, Meta(description="A no because no person is there to answer."), Option(hidden=True)
    ] = False,
) -> Approval:
    """Answer yes or no; the first decision counts. After a yes the answer says how the act ended."""
    question = await questions.decide(approval_id, approved=approved, by=call.person_id, always=always, nobody=nobody)
    decided = replace(question, left_s=0.0)
    if not approved:
        return _fill(Approval, questions, call, decided, outcome="declined", end=None)
    end = await _end(questions, decided, wait_s)
    return _fill(Approval, questions, call, decided, outcome="approved", end=end)


async def _end(questions: Questions, question: ApprovalQuestion, wait_s: float) -> ActEnd:
    step = f"microclaw approval list {question.pending.approval_id} --wait 60"
    return await questions.end(question, wait_s) or ActEnd("under_way", next_step=step)


def _fill(kind: type[W], questions: Questions, call: OperationCall, question: ApprovalQuestion, **more: Any) -> W:
    """Build the result for the caller; its `request` is set only for the caller's own requests."""
    pending = question.pending
    prefix = f"{call.chat_id}."
    is_own = pending.channel == call.channel and not call.direct and pending.chat_id.startswith(prefix)
    request = pending.chat_id.removeprefix(prefix) if is_own else None
    return filled(
        kind,
        pending,
        person=name_of(questions.people, pending.person_id),
        channel=pending.door,
        request=request,
        expires_s=round(question.left_s, 1),
        **more,
    )
