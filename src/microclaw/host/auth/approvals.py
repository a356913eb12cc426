"""Pending approvals, and how the approved acts ended.

Channels show the questions and bring the decisions; this module sends nothing.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Iterable
from functools import partial
from operator import attrgetter
from typing import Final, Literal, TypeAlias, Unpack

from msgspec import Struct
from msgspec.structs import replace

from microclaw.bounded_map import BoundedMap
from microclaw.errors import Overloaded, PermissionRefused, UnknownName
from microclaw.events import Action, ApprovalAsked, ApprovalChanged
from microclaw.host.audit.event import AuditEvent, AuditKind, Record, no_record
from microclaw.host.auth.approved_act import (
    ASKER_LEFT,
    END_NOT_REPORTED,
    ActEnd,
    ApprovalOutcome,
    ApprovedAct,
    Outcome,
    PendingApproval,
    QuestionContext,
    current_act,
)
from microclaw.host.auth.people import ONLY_OWNER, Roles, name_of
from microclaw.host.store.schedules import AllowedAction
from microclaw.text import clean_text, door_words

ID_CHARS: Final = 8
MAX_PENDING: Final = 64
MAX_PENDING_A_PERSON: Final = 16
# Approved acts that are kept with their ends; the oldest is dropped first.
MAX_APPROVED: Final = 256
MAX_DETAIL_LINES: Final = 1_000
MAX_DETAIL_CHARS: Final = 64_000
MAX_ACTION_CHARS: Final = 200
# The sources that a run has read, in a question that can be answered for all runs.
MAX_SOURCES_CHARS: Final = 1_000
HIDDEN_MARK: Final = "?"


class _Question(Struct, frozen=True):
    """A question that waits or was approved.

    `end` is set when its approved act is over. `until_s` is on the loop's clock.
    """

    pending: PendingApproval
    decision: asyncio.Future[ApprovalOutcome]
    end: asyncio.Future[ActEnd]
    until_s: float

    def settle(
        self, outcome: Outcome, by: str | None = None, *, always: bool = False, is_unattended: bool = False
    ) -> None:
        if not self.decision.done():
            self.decision.set_result(ApprovalOutcome(self.pending, outcome, by, always, is_unattended))


Listener: TypeAlias = Callable[[PendingApproval | ApprovalOutcome], None]


class Approvals:
    """The approvals that wait. The first decision counts; no decision in time is a no."""

    def __init__(
        self,
        *,
        timeout_s: float,
        new_id: Callable[[], str] = lambda: secrets.token_hex(ID_CHARS // 2),
        roles: Roles | None = None,
        record: Record = no_record,
    ) -> None:
        self._record = record
        self._timeout_s = timeout_s
        self._new_id = new_id
        self._roles = roles or ONLY_OWNER
        self._waiting: dict[str, _Question] = {}
        self._approved: BoundedMap[str, _Question] = BoundedMap(MAX_APPROVED)
        self._outcomes: BoundedMap[str, ApprovalOutcome] = BoundedMap(MAX_APPROVED)
        self._listeners: list[Listener] = []
        self._closed = False

    def listen(self, listener: Listener) -> Callable[[], None]:
        """Call `listener` with each question and each decision, at once. Call the result to stop."""
        self._listeners.append(listener)
        return partial(self._listeners.remove, listener)

    def pending(self) -> tuple[PendingApproval, ...]:
        return tuple(map(attrgetter("pending"), self._waiting.values()))

    def seconds_left(self, pending: PendingApproval) -> float:
        """Return the seconds until its time is over; 0 if it does not wait."""
        waiting = self._waiting.get(pending.approval_id)
        if waiting is None:
            return 0.0
        return max(0.1, waiting.until_s - asyncio.get_running_loop().time())

    def question(
        self, pending: PendingApproval, *, of: str | None = None, actions: tuple[Action, ...] = ()
    ) -> ApprovalAsked:
        """Return the question for display to the person `of`, or to the asker; `actions` are its turn's."""
        may_decide = self.may_decide(pending, of or pending.person_id)
        return ApprovalAsked(
            pending.approval_id, pending.action, pending.detail, pending.expires_s, may_decide, actions
        )

    async def ask(
        self,
        person_id: str,
        action: str,
        detail: Iterable[str],
        *,
        channel: str,
        chat_id: str,
        risky: bool = False,
        **context: Unpack[QuestionContext],
    ) -> ApprovalOutcome:
        """Ask for an approval and return once it is given.

        Raises PermissionRefused if it is declined or if no person decides in time, Overloaded if too many questions
        wait. A question that is too long to be shown whole is refused: a yes to its beginning would be a yes to its
        end, too.
        """
        act = current_act()
        if act is not None:
            # An earlier yes does not belong to this question.
            act.yes = None
        action = clean_text(action, one_line=True, limit=MAX_ACTION_CHARS, mark=HIDDEN_MARK)
        if self._closed:
            raise _stopping(action)
        self._check_room(person_id)
        lines = _split_detail(detail)
        _check_length(action, lines)
        pending = PendingApproval(
            approval_id=self._new_id(),
            person_id=person_id,
            action=action,
            detail=lines,
            channel=channel,
            chat_id=chat_id,
            expires_s=self._timeout_s,
            risky=risky,
            **context,
        )
        outcome = await self._wait_for_decision(_make_showable(pending), act)
        if outcome.outcome != "approved":
            raise self._refusal(outcome)
        return outcome

    def decide(
        self,
        approval_id: str,
        *,
        approved: bool,
        by: str,
        goes_on: bool = False,
        always: bool = False,
        nobody: bool = False,
    ) -> PendingApproval:
        """Approve, decline or withdraw a question.

        It is withdrawn if `by` continues with something else (`goes_on`), or if `nobody` can answer there. If `always`,
        the yes is for all runs of its schedule. Raises PermissionRefused if `by` may not decide or no such yes can be
        given, UnknownName if it does not wait (any more): another person was first, or the time is over.
        """
        question = self._waiting.get(approval_id)
        if question is None or question.decision.done():
            text = f"there is no pending approval {approval_id[:40]!r}: it was decided or expired"
            raise UnknownName(text, next_step="microclaw approval list")
        pending = question.pending
        name = name_of(self._roles, by)
        self._check_decider(pending, by, name, approved=approved)
        if always and approved and pending.standing is None:
            text = f"this cannot be allowed for all runs of a schedule: {pending.action}"
            raise PermissionRefused(text, next_step=f"microclaw approval decide {approval_id} yes")
        if approved:
            self._approved[approval_id] = question
            question.settle("approved", name[:80], always=always)
        elif nobody:
            question.settle("withdrawn", is_unattended=True)
        else:
            question.settle("withdrawn" if goes_on else "declined", name[:80])
        return pending

    def outcome(self, approval_id: str) -> ApprovalOutcome | None:
        """Return how a question ended, or None if it waits or is not kept."""
        return self._outcomes.get(approval_id)

    def find(self, approval_id: str) -> PendingApproval | None:
        """Return the question if it waits, or was approved and is still kept; otherwise None."""
        question = self._waiting.get(approval_id) or self._approved.get(approval_id)
        return None if question is None else question.pending

    async def wait_for_end(self, approval_id: str, timeout_s: float) -> ActEnd | None:
        """Wait for the end of the approved act.

        Returns None if the act is still running after `timeout_s`, or if no such approval is kept.
        """
        question = self._approved.get(approval_id)
        if question is None:
            return None
        done, _ = await asyncio.wait((question.end,), timeout=timeout_s)
        if done:
            return question.end.result()
        return None

    def withdraw(self, approval_id: str) -> None:
        """Drop a question because the asker has left. Does nothing if it does not wait."""
        question = self._waiting.get(approval_id)
        if question is not None:
            question.settle("withdrawn")

    def close(self) -> None:
        """Refuse every waiting question and every later one, because the host stops."""
        self._closed = True
        for question in self._waiting.values():
            question.settle("expired")

    def may_decide(self, pending: PendingApproval, by: str) -> bool:
        """Return True if a yes of `by` would count."""
        person = self._roles.get(by)
        if person is None or person.role in ("guest", "read-only"):
            return False
        return person.role == "owner" or (by == pending.person_id and not pending.risky)

    async def _wait_for_decision(self, pending: PendingApproval, act: ApprovedAct | None) -> ApprovalOutcome:
        loop = asyncio.get_running_loop()
        question = _Question(pending, loop.create_future(), loop.create_future(), loop.time() + self._timeout_s)
        self._waiting[pending.approval_id] = question
        outcome = ApprovalOutcome(pending, "withdrawn", None)
        self._note(AuditKind.APPROVAL_ASKED, pending, "")
        try:
            self._notify(pending)
            async with asyncio.timeout(self._timeout_s):
                outcome = await question.decision
        except TimeoutError:
            outcome = replace(outcome, outcome="expired")
        finally:
            self._close_question(question, outcome, act)
        return outcome

    def _close_question(self, question: _Question, outcome: ApprovalOutcome, act: ApprovedAct | None) -> None:
        """Record and announce the outcome, and connect an approved question with the end of its act."""
        pending = question.pending
        self._waiting.pop(pending.approval_id, None)
        self._outcomes[pending.approval_id] = outcome
        if outcome.by is None:
            self._note(AuditKind.APPROVAL_EXPIRED, pending, "")
        else:
            self._note(AuditKind.APPROVAL_DECIDED, pending, f"{outcome.outcome}: ", outcome.by)
        self._notify(outcome)
        if outcome.outcome != "approved":
            # A yes that came just too late has put the question among the approved ones.
            self._end(question, ASKER_LEFT)
        elif act is None:
            self._end(question, END_NOT_REPORTED)
        else:
            act.approved(outcome, partial(self._end, question))

    def _refusal(self, outcome: ApprovalOutcome) -> PermissionRefused:
        action = outcome.pending.action
        step = None
        if outcome.by is not None:
            why = f"{outcome.outcome} by {outcome.by}"
        elif self._closed:
            return _stopping(action)
        elif outcome.is_unattended:
            why = "no person was there to answer"
        elif outcome.outcome == "expired":
            why = f"no person approved it in {self._timeout_s:g} s"
            step = "ask again and answer in time: microclaw approval list"
        else:
            why = "it was stopped before a person answered"
        return PermissionRefused(f"{why}, so it was not done: {action}", next_step=step)

    def _check_decider(self, pending: PendingApproval, by: str, name: str, *, approved: bool) -> None:
        """Raise PermissionRefused if `by` may not decide; a person may always withdraw an own request."""
        is_asker = by == pending.person_id
        if is_asker and not approved:
            return
        if self.may_decide(pending, by):
            return
        answer = "yes" if approved else "no"
        self._note(AuditKind.APPROVAL_REFUSED, pending, f"{answer} does not count: ", name)
        why = "it is risky" if is_asker else "another person asked for it"
        text = f"{name[:80]} may not decide this, because {why}: {pending.action}"
        raise PermissionRefused(text, next_step="an owner can: microclaw approval list")

    def _check_room(self, person_id: str) -> None:
        """Raise Overloaded if too many questions wait."""
        own_count = sum(question.pending.person_id == person_id for question in self._waiting.values())
        if len(self._waiting) >= MAX_PENDING or own_count >= MAX_PENDING_A_PERSON:
            text = f"{len(self._waiting)} acts wait for a decision already"
            raise Overloaded(text, next_step="microclaw approval list")

    def _notify(self, news: PendingApproval | ApprovalOutcome) -> None:
        for listener in tuple(self._listeners):
            listener(news)

    def _end(self, question: _Question, end: ActEnd) -> None:
        if question.pending.approval_id not in self._approved or question.end.done():
            return
        question.end.set_result(end)
        # The reason of a failure may contain a person's words, so the log gets only its code.
        state = f"{end.state} ({end.code})" if end.code else end.state
        self._note(AuditKind.APPROVAL_DECIDED, question.pending, f"approved, then {state}: ")

    def _note(self, kind: AuditKind, pending: PendingApproval, text: str, by: str | None = None) -> None:
        """Write a line of the security log.

        It names only the act's tool, or its first word, because the rest may be a person's words.
        """
        asker = name_of(self._roles, pending.person_id)
        words = pending.action.split() or ["?"]
        act = pending.tool or words[0]
        risky = ", risky" if pending.risky else ""
        line = f"{text}{act}{risky}, asked by {asker} {door_words(pending.door)}"
        self._record(AuditEvent(kind, line, about=pending.approval_id, by=by or asker))


def approval_event(news: PendingApproval | ApprovalOutcome, people: Roles, at_ms: int) -> ApprovalChanged:
    """Return the live event of a question, or of its outcome."""
    if isinstance(news, PendingApproval):
        return _changed_event(news, people, at_ms, "asked", by="")
    return _changed_event(news.pending, people, at_ms, news.outcome, by=news.by or "")


def _changed_event(
    pending: PendingApproval, people: Roles, at_ms: int, state: Literal["asked"] | Outcome, *, by: str
) -> ApprovalChanged:
    asker = name_of(people, pending.person_id)
    return ApprovalChanged("", at_ms, pending.approval_id, state, asker, by, pending.action, pending.person_id)


def _split_detail(detail: Iterable[str]) -> tuple[str, ...]:
    lines: list[str] = []
    for text in detail:
        lines.extend(_shown(text).split("\n"))
    return tuple(lines)


def _make_showable(pending: PendingApproval) -> PendingApproval:
    """Clean the program's lines; add the lines of a yes for all runs, unless its sources are too long to read."""
    program = pending.program
    if program is not None:
        program = replace(program, diff=tuple(map(_shown, program.diff)))
    standing = pending.standing
    if standing is not None and sum(map(len, standing.sources)) > MAX_SOURCES_CHARS:
        standing = None
    lines = pending.detail
    if standing is not None:
        lines += _standing_lines(pending.approval_id, standing)
    return replace(pending, program=program, standing=standing, detail=lines)


def _check_length(action: str, lines: tuple[str, ...]) -> None:
    chars = sum(map(len, lines))
    if len(lines) > MAX_DETAIL_LINES or chars > MAX_DETAIL_CHARS:
        raise PermissionRefused(
            f"{action} would be shown in {len(lines):,} lines, {chars:,} characters: "
            f"a question has at most {MAX_DETAIL_LINES:,} and {MAX_DETAIL_CHARS:,}",
            next_step="make it smaller, or do it yourself on the command line",
        )


def _standing_lines(approval_id: str, standing: AllowedAction) -> tuple[str, ...]:
    """Return the lines that show what a yes for all runs is bound to, and how to give it."""
    lines = [f"it has read: {clean_text(source, one_line=True, mark=HIDDEN_MARK)}" for source in standing.sources]
    command = f"microclaw approval decide {approval_id} yes --always"
    number = standing.schedule_id
    lines.append(f"each run of schedule {number} that has read just this asks; to allow it for all: {command}")
    return tuple(lines)


def _shown(text: str) -> str:
    """Replace what could draw over the question, reverse its letters or hide text with a visible mark."""
    return clean_text(text, mark=HIDDEN_MARK).replace("\t", " ")


def _stopping(action: str) -> PermissionRefused:
    text = f"the host is stopping, so it was not done: {action}"
    return PermissionRefused(text, next_step="ask for it again when it is back: microclaw up")
