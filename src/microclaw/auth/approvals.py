"""Actions that wait for a person's yes or no. Channels show them and bring the decision; this module asks nobody."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

from microclaw.audit import AuditEvent, AuditKind, Record, no_record
from microclaw.auth.approved_acts import GONE, UNTOLD, ActEnd, Yes, act_now
from microclaw.auth.people import OwnerAlone, Roles, name_of
from microclaw.auth.tokens import SESSION_PREFIX
from microclaw.errors import Overloaded, PermissionRefused, UnknownName
from microclaw.events import Action, ApprovalAsked, ApprovalChanged, AskedProgram
from microclaw.text import clean_text, door_words

Outcome: TypeAlias = Literal["approved", "declined", "expired"]

ID_CHARS = 8
MAX_PENDING = 64
MAX_PENDING_A_PERSON = 16
MAX_APPROVED = 256  # that are kept with their ends; the oldest gives way
MAX_DETAIL_LINES = 1_000
MAX_DETAIL_CHARS = 64_000
MAX_ACTION_CHARS = 200
HIDDEN_MARK = "?"

_TURN: ContextVar[str | None] = ContextVar("turn that asks", default=None)


@contextmanager
def asking_turn(turn_id: str) -> Iterator[None]:
    """What asks for an approval inside this block, and in tasks started inside it, is this turn."""
    before = _TURN.set(turn_id)
    try:
        yield
    finally:
        _TURN.reset(before)


@dataclass(frozen=True, slots=True)
class PendingApproval:
    """An action that waits. `detail` shows exactly what would happen; `channel` and `chat_id` are where it was asked.

    `risky`: only an owner may say yes; else the asking member may, too. `tool` is the name of the tool whose call
    waits, for the security log; "" for an act of the API. `program` is the one that would be installed, if one would.
    `turn` is the turn whose call waits; None for a schedule's call or an act of the API, which no turn may answer.
    """

    approval_id: str
    person_id: str
    action: str
    detail: tuple[str, ...]
    channel: str
    chat_id: str
    expires_s: float
    risky: bool = False
    tool: str = ""
    program: AskedProgram | None = None
    turn: str | None = None

    @property
    def door(self) -> str:
        """The channel; "browser" where the asker is signed in by a session."""
        return "browser" if self.channel == "api" and self.chat_id.startswith(SESSION_PREFIX) else self.channel


@dataclass(frozen=True, slots=True)
class ApprovalOutcome:
    """How it ended and the name of who decided. `by` is None when the time was over, or the asker gone."""

    pending: PendingApproval
    outcome: Outcome
    by: str | None


@dataclass(frozen=True, slots=True)
class _Question:
    """`decision`: None where nobody waits for it any more; `end` of its act, after a yes. `until_s` is on the loop's
    clock."""

    pending: PendingApproval
    decision: asyncio.Future[ApprovalOutcome | None]
    end: asyncio.Future[ActEnd]
    until_s: float

    def settle(self, outcome: ApprovalOutcome | None) -> None:
        if not self.decision.done():
            self.decision.set_result(outcome)


Listener: TypeAlias = Callable[[PendingApproval | ApprovalOutcome], None]


class Approvals:
    """What waits for a decision. The first decision counts; no decision in time is a no."""

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
        self._roles = roles or OwnerAlone()
        self._new_id = new_id
        self._waiting: dict[str, _Question] = {}
        self._approved: dict[str, _Question] = {}  # the last ones that somebody said yes to
        self._listeners: list[Listener] = []
        self._closed = False

    def listen(self, listener: Listener) -> Callable[[], None]:
        """Tell `listener` of each question and each decision, at once; call the result to stop."""
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)

    def pending(self) -> tuple[PendingApproval, ...]:
        return tuple(waiting.pending for waiting in self._waiting.values())

    def seconds_left(self, pending: PendingApproval) -> float:
        """Until its time is over; 0 when it waits no more."""
        waiting = self._waiting.get(pending.approval_id)
        return 0.0 if waiting is None else max(0.1, waiting.until_s - asyncio.get_running_loop().time())

    def question(
        self, pending: PendingApproval, *, of: str | None = None, actions: tuple[Action, ...] = ()
    ) -> ApprovalAsked:
        """What is told where it waits: `of` is who is asked, else who asked for the act; `actions` of the turn."""
        may = self.may_decide(pending, of or pending.person_id)
        return ApprovalAsked(pending.approval_id, pending.action, pending.detail, pending.expires_s, may, actions)

    async def ask(
        self,
        person_id: str,
        action: str,
        detail: Iterable[str],
        *,
        channel: str,
        chat_id: str,
        risky: bool = False,
        tool: str = "",
        program: AskedProgram | None = None,
    ) -> None:
        """Return when it was approved; PermissionRefused when declined or when nobody decided in time.

        What is too long to be shown whole is not asked for: a yes to its beginning would be one to its end, too.
        """
        if (act := act_now()) is not None:
            act.asks()
        if self._closed:
            raise _stopping(action)
        self._check_room(person_id)
        loop = asyncio.get_running_loop()
        action = clean_text(action, one_line=True, limit=MAX_ACTION_CHARS, mark=HIDDEN_MARK)
        lines = tuple(line for text in detail for line in _shown(text).split("\n"))
        _check_length(action, lines)
        if program is not None:
            program = replace(program, diff=tuple(_shown(line) for line in program.diff))
        place, turn = (channel, chat_id), _TURN.get()
        pending = PendingApproval(
            self._new_id(), person_id, action, lines, *place, self._timeout_s, risky, tool, program, turn
        )
        asked = _Question(pending, loop.create_future(), loop.create_future(), loop.time() + self._timeout_s)
        self._waiting[pending.approval_id] = asked
        outcome, is_over = ApprovalOutcome(pending, "expired", None), False
        self._note(AuditKind.APPROVAL_ASKED, pending, "")
        try:
            self._notify(pending)
            try:
                async with asyncio.timeout(self._timeout_s):
                    outcome = await asked.decision or outcome
            except TimeoutError:
                is_over = True
        finally:
            self._waiting.pop(pending.approval_id, None)
            if outcome.by is None:
                self._note(AuditKind.APPROVAL_EXPIRED, pending, "")
            else:
                self._note(AuditKind.APPROVAL_DECIDED, pending, f"{outcome.outcome}: ", outcome.by)
            self._notify(outcome)
            if outcome.outcome != "approved":
                self._end(asked, GONE)  # after a yes that came just too late
            elif act is None:
                self._end(asked, UNTOLD)
            else:
                act.approved(Yes(pending.approval_id, outcome.by or ""), lambda end: self._end(asked, end))
        if outcome.outcome == "declined":
            raise PermissionRefused(f"declined by {outcome.by}, so it was not done: {action}")
        if is_over:
            raise PermissionRefused(
                f"nobody approved in {self._timeout_s:g} s, so it was not done: {action}",
                next_step="ask for it again, and answer in time: microclaw approval list",
            )
        if outcome.outcome == "expired":
            gone = PermissionRefused(f"nobody waits for it any more, so it was not done: {action}")
            raise _stopping(action) if self._closed else gone

    def decide(self, approval_id: str, *, approved: bool, by: str) -> PendingApproval:
        """Approve or decline it; PermissionRefused when `by` may not.

        UnknownName when it does not wait (any more): somebody else was first, or the time is over.
        """
        asked = self._waiting.get(approval_id)
        if asked is None or asked.decision.done():
            raise UnknownName(
                f"nothing waits under {approval_id[:40]!r}: it was decided already, or its time is over",
                next_step="microclaw approval list",
            )
        pending, name = asked.pending, name_of(self._roles, by)
        taken_back = by == pending.person_id and not approved  # a person may always withdraw an own request
        if not taken_back and not self.may_decide(pending, by):
            text = f"{'yes' if approved else 'no'} does not count: "
            self._note(AuditKind.APPROVAL_REFUSED, pending, text, name)
            why = "it is risky" if by == pending.person_id else "it is not theirs"
            raise PermissionRefused(
                f"{name[:80]} may not decide this, as {why}: {pending.action}",
                next_step="an owner can: microclaw approval list",
            )
        if approved:
            while len(self._approved) >= MAX_APPROVED:
                del self._approved[next(iter(self._approved))]
            self._approved[approval_id] = asked
        asked.settle(ApprovalOutcome(pending, "approved" if approved else "declined", name[:80]))
        return pending

    def approved(self, approval_id: str) -> PendingApproval | None:
        """The one of this id that somebody said yes to, while it is kept."""
        asked = self._approved.get(approval_id)
        return None if asked is None else asked.pending

    async def end(self, approval_id: str, timeout_s: float) -> ActEnd | None:
        """How the approved act ended; None when it is still under way then, or no such approval is kept."""
        asked = self._approved.get(approval_id)
        if asked is None:
            return None
        done, _ = await asyncio.wait((asked.end,), timeout=timeout_s)
        return asked.end.result() if done else None

    def withdraw(self, approval_id: str) -> None:
        """Who asked has gone: it is not done. Nothing happens when it waits no more."""
        if (asked := self._waiting.get(approval_id)) is not None:
            asked.settle(None)

    def close(self) -> None:
        """The host stops: what waits is not done, and nothing more is asked."""
        self._closed = True
        for asked in tuple(self._waiting.values()):
            asked.settle(None)

    def may_decide(self, pending: PendingApproval, by: str) -> bool:
        """Whether a yes of `by` would count."""
        person = self._roles.get(by)
        if person is None or person.role in ("guest", "read-only"):
            return False
        return person.role == "owner" or (by == pending.person_id and not pending.risky)

    def _check_room(self, person_id: str) -> None:
        own = sum(1 for waiting in self._waiting.values() if waiting.pending.person_id == person_id)
        if len(self._waiting) >= MAX_PENDING or own >= MAX_PENDING_A_PERSON:
            raise Overloaded(
                f"{len(self._waiting)} acts wait for a decision already", next_step="microclaw approval list"
            )

    def _notify(self, news: PendingApproval | ApprovalOutcome) -> None:
        for listener in tuple(self._listeners):
            listener(news)

    def _end(self, asked: _Question, end: ActEnd) -> None:
        if asked.pending.approval_id not in self._approved or asked.end.done():
            return
        asked.end.set_result(end)
        state = f"{end.state} ({end.code})" if end.code else end.state  # of a failure only its code
        self._note(AuditKind.APPROVAL_DECIDED, asked.pending, f"approved, then {state}: ")

    def _note(self, kind: AuditKind, pending: PendingApproval, text: str, by: str | None = None) -> None:
        """Of the act only its tool, or its first word, as the rest may be a person's words."""
        asker, what = name_of(self._roles, pending.person_id), pending.tool or (pending.action.split() or ["?"])[0]
        told = f"{text}{what}{', risky' * pending.risky}, asked by {asker} {door_words(pending.door)}"
        self._record(AuditEvent(kind, told, about=pending.approval_id, by=by or asker))


def approval_event(news: PendingApproval | ApprovalOutcome, people: Roles, at_ms: int) -> ApprovalChanged:
    """The live event of a question, or of its end."""
    pending = news if isinstance(news, PendingApproval) else news.pending
    state, by = ("asked", "") if isinstance(news, PendingApproval) else (news.outcome, news.by or "")
    who = name_of(people, pending.person_id)
    return ApprovalChanged("", at_ms, pending.approval_id, state, who, by, pending.action, pending.person_id)


def _check_length(action: str, lines: tuple[str, ...]) -> None:
    chars = sum(map(len, lines))
    if len(lines) > MAX_DETAIL_LINES or chars > MAX_DETAIL_CHARS:
        raise PermissionRefused(
            f"{action} needs a yes, and to show what would happen takes {len(lines):,} lines, {chars:,} characters: "
            f"nobody is asked for more than {MAX_DETAIL_LINES:,} and {MAX_DETAIL_CHARS:,}",
            next_step="make it smaller, or do it yourself on the command line",
        )


def _shown(text: str) -> str:
    """Without what could draw over the question, turn its letters around or hide; that it was there is seen."""
    return clean_text(text, mark=HIDDEN_MARK).replace("\t", " ")


def _stopping(action: str) -> PermissionRefused:
    text = f"the host is stopping, so it was not done: {action[:MAX_ACTION_CHARS]}"
    return PermissionRefused(text, next_step="ask for it again when it is back: microclaw up")
