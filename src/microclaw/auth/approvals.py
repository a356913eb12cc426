"""Pending approvals, and how the acts ended that had a yes. Channels show them and bring the
decision; this module asks nobody.

What may do something that is asked about first runs inside `approved_act`: a tool's call, a job or a request of the
API. The innermost one tells the end, and its approval is the one that the security log names.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import partial
from operator import attrgetter
from typing import Final, Literal, TypeAlias

from msgspec import Struct
from msgspec.structs import replace

from microclaw.audit.event import AuditEvent, AuditKind, Record, no_record
from microclaw.auth.people import OWNER_ALONE, Roles, name_of
from microclaw.auth.tokens import SESSION_PREFIX
from microclaw.bounded_map import BoundedMap
from microclaw.errors import MicroclawError, Overloaded, PermissionRefused, UnknownName
from microclaw.events import Action, ApprovalAsked, ApprovalChanged, AskedProgram
from microclaw.store.schedules import StandingYes
from microclaw.text import clean_text, door_words

Outcome: TypeAlias = Literal["approved", "declined", "expired", "withdrawn"]

ID_CHARS: Final = 8
MAX_PENDING: Final = 64
MAX_PENDING_A_PERSON: Final = 16
MAX_APPROVED: Final = 256  # that are kept with their ends; the oldest gives way
MAX_DETAIL_LINES: Final = 1_000
MAX_DETAIL_CHARS: Final = 64_000
MAX_ACTION_CHARS: Final = 200
MAX_SOURCES_CHARS: Final = 1_000  # of what a run had read, in a question that can be answered for all runs
MAX_WHY_CHARS: Final = 400
HIDDEN_MARK: Final = "?"


class PendingApproval(Struct, frozen=True):
    """An action that waits. `detail` shows exactly what would happen; `channel` and `chat_id` are where it was asked.

    `risky`: only an owner may say yes; else the asking member may, too. `tool` is the name of the tool whose call
    waits, for the security log; "" for an act of the API. `program` is the one that would be installed, if one would.
    `turn` is the turn whose call waits; None for a schedule's call or an act of the API, which no turn may answer.
    `standing` is what a yes for all runs of a schedule would allow.
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
    standing: StandingYes | None = None

    @property
    def door(self) -> str:
        """The channel; "browser" where the asker is signed in by a session."""
        return "browser" if self.channel == "api" and self.chat_id.startswith(SESSION_PREFIX) else self.channel


class ApprovalOutcome(Struct, frozen=True):
    """The outcome and the name of who decided. `by` is None when the time was over, or the asker gone.

    `always`: the yes is to all runs of its schedule. `is_unattended`: nobody was there to answer.
    """

    pending: PendingApproval
    outcome: Outcome
    by: str | None
    always: bool = False
    is_unattended: bool = False


class ActEnd(Struct, frozen=True, omit_defaults=True, rename={"next_step": "next"}):
    """`failed`: it was refused or went wrong, `why` says how; `unknown`: nobody can tell what came of it."""

    state: Literal["done", "failed", "unknown", "under_way"]
    why: str = ""
    code: str | None = None
    next_step: str | None = None


DONE: Final = ActEnd("done")
GONE: Final = ActEnd("failed", "nobody waited for it any more, so it was not done", "permission_refused")
CUT: Final = ActEnd("unknown", "it was ended before it was over", next_step="look what came of it: microclaw app list")
FAULT: Final = ActEnd("unknown", "a fault inside the host ended it", next_step="the host's log says what went wrong")
UNTOLD: Final = ActEnd("unknown", "what asked for it does not tell how it ended")


@dataclass(slots=True)
class ApprovedAct:
    """One act; `yes` is to its last question, `end` is what each of `tell` is told when it is over."""

    yes: ApprovalOutcome | None
    end: ActEnd = DONE
    is_over: bool = False
    tell: list[Callable[[ActEnd], None]] = field(default_factory=list)

    def failed(self, why: str, code: str | None = None, next_step: str | None = None) -> None:
        self.end = ActEnd("failed", clean_text(why, one_line=True, limit=MAX_WHY_CHARS), code, next_step)

    def approved(self, yes: ApprovalOutcome, tell: Callable[[ActEnd], None]) -> None:
        """`tell` is called once with the end."""
        if self.is_over:
            tell(UNTOLD)
        else:
            self.yes = yes
            self.tell.append(tell)


_act: ContextVar[ApprovedAct | None] = ContextVar("approved act", default=None)


def yes_now() -> ApprovalOutcome | None:
    """The yes that the act under way here had; None where nobody was asked."""
    return None if (act := _act.get()) is None else act.yes


def approval_now() -> str | None:
    """The number of the question that the act under way here had its yes to."""
    yes = yes_now()
    return None if yes is None else yes.pending.approval_id


@contextmanager
def approved_act() -> Iterator[ApprovedAct]:
    """Inside, each yes belongs to this act, which until it asks itself is done with the yes of the act around it.

    An error that leaves it is its end, else `end` as it was set.
    """
    outer = _act.get()
    act = ApprovedAct(None if outer is None or outer.is_over else outer.yes)
    before = _act.set(act)
    try:
        yield act
    except MicroclawError as exc:
        act.failed(exc.message, exc.code, exc.next_step)
        raise
    except BaseException as exc:
        act.end = CUT if isinstance(exc, asyncio.CancelledError) else FAULT
        raise
    finally:
        _act.reset(before)
        act.is_over = True
        for tell in act.tell:
            tell(act.end)


class _Question(Struct, frozen=True):
    """`end` is that of its act, after a yes. `until_s` is on the loop's clock."""

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
        self._roles = roles or OWNER_ALONE
        self._waiting: dict[str, _Question] = {}
        self._approved: BoundedMap[str, _Question] = BoundedMap(MAX_APPROVED)
        self._listeners: list[Listener] = []
        self._closed = False

    def listen(self, listener: Listener) -> Callable[[], None]:
        """Tell `listener` of each question and each decision, at once; call the result to stop."""
        self._listeners.append(listener)
        return partial(self._listeners.remove, listener)

    def pending(self) -> tuple[PendingApproval, ...]:
        return tuple(map(attrgetter("pending"), self._waiting.values()))

    def seconds_left(self, pending: PendingApproval) -> float:
        """Until its time is over; 0 when it waits no more."""
        waiting = self._waiting.get(pending.approval_id)
        if waiting is None:
            return 0.0
        return max(0.1, waiting.until_s - asyncio.get_running_loop().time())

    def question(
        self, pending: PendingApproval, *, of: str | None = None, actions: tuple[Action, ...] = ()
    ) -> ApprovalAsked:
        """The question as it is shown: `of` is who is asked, else who asked for the act; `actions` of the turn."""
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
        turn: str | None = None,
        standing: StandingYes | None = None,
    ) -> ApprovalOutcome:
        """Return when it was approved; PermissionRefused when declined or when nobody decided in time.

        What is too long to be shown whole is not asked for: a yes to its beginning would be one to its end, too.
        """
        act = _act.get()
        if act is not None:
            act.yes = None  # a yes of before is not to this question
        action = clean_text(action, one_line=True, limit=MAX_ACTION_CHARS, mark=HIDDEN_MARK)
        if self._closed:
            raise _stopping(action)
        self._check_room(person_id)
        lines = tuple(line for text in detail for line in _shown(text).split("\n"))
        _check_length(action, lines)
        if program is not None:
            program = replace(program, diff=tuple(map(_shown, program.diff)))
        approval_id = self._new_id()
        if standing is not None and sum(map(len, standing.sources)) > MAX_SOURCES_CHARS:
            standing = None  # nobody would read to what it is bound
        if standing is not None:
            lines += _standing_lines(approval_id, standing)
        of_call = (channel, chat_id, self._timeout_s, risky, tool, program, turn, standing)
        pending = PendingApproval(approval_id, person_id, action, lines, *of_call)
        loop = asyncio.get_running_loop()
        asked = _Question(pending, loop.create_future(), loop.create_future(), loop.time() + self._timeout_s)
        self._waiting[pending.approval_id] = asked
        outcome = ApprovalOutcome(pending, "withdrawn", None)
        step = None
        why = "it was stopped before somebody answered"
        self._note(AuditKind.APPROVAL_ASKED, pending, "")
        try:
            self._notify(pending)
            async with asyncio.timeout(self._timeout_s):
                outcome = await asked.decision
        except TimeoutError:
            outcome = replace(outcome, outcome="expired")
            why = f"nobody approved in {self._timeout_s:g} s"
            step = "ask for it again, and answer in time: microclaw approval list"
        finally:
            self._waiting.pop(pending.approval_id, None)
            kind = AuditKind.APPROVAL_EXPIRED if outcome.by is None else AuditKind.APPROVAL_DECIDED
            self._note(kind, pending, "" if outcome.by is None else f"{outcome.outcome}: ", outcome.by)
            self._notify(outcome)
            if outcome.outcome == "approved" and act is not None:
                act.approved(outcome, partial(self._end, asked))
            else:  # also after a yes that came just too late
                self._end(asked, UNTOLD if outcome.outcome == "approved" else GONE)
        if outcome.by is None and self._closed:
            raise _stopping(action)
        if outcome.outcome != "approved":
            if outcome.by is not None:
                why = f"{outcome.outcome} by {outcome.by}"
            elif outcome.is_unattended:
                why = "nobody was there to answer"
            raise PermissionRefused(f"{why}, so it was not done: {action}", next_step=step)
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
        """Approve or decline it, or withdraw it as `by` goes on with something else, or as `nobody` can answer there.

        PermissionRefused if they may not.
        `always`: the yes is to all runs of its schedule; PermissionRefused if no such yes can be given.
        UnknownName when it does not wait (any more): somebody else was first, or the time is over.
        """
        asked = self._waiting.get(approval_id)
        if asked is None or asked.decision.done():
            text = f"nothing waits under {approval_id[:40]!r}: it was decided already, or its time is over"
            raise UnknownName(text, next_step="microclaw approval list")
        pending = asked.pending
        name = name_of(self._roles, by)
        taken_back = by == pending.person_id and not approved  # a person may always withdraw an own request
        if not taken_back and not self.may_decide(pending, by):
            self._note(AuditKind.APPROVAL_REFUSED, pending, f"{'yes' if approved else 'no'} does not count: ", name)
            why = "it is risky" if by == pending.person_id else "it is not theirs"
            text = f"{name[:80]} may not decide this, as {why}: {pending.action}"
            raise PermissionRefused(text, next_step="an owner can: microclaw approval list")
        if always and approved and pending.standing is None:
            text = f"this cannot be allowed to all runs of a schedule: {pending.action}"
            raise PermissionRefused(text, next_step=f"microclaw approval decide {approval_id} yes")
        if approved:
            self._approved[approval_id] = asked
            asked.settle("approved", name[:80], always=always)
        elif nobody:
            asked.settle("withdrawn", is_unattended=True)
        else:
            asked.settle("withdrawn" if goes_on else "declined", name[:80])
        return pending

    def find(self, approval_id: str) -> PendingApproval | None:
        """The one of this id that waits, or that somebody said yes to, while it is kept."""
        asked = self._waiting.get(approval_id) or self._approved.get(approval_id)
        return None if asked is None else asked.pending

    async def end(self, approval_id: str, timeout_s: float) -> ActEnd | None:
        """The end of the approved act; None when it is still under way then, or no such approval is kept."""
        asked = self._approved.get(approval_id)
        if asked is None:
            return None
        done, _ = await asyncio.wait((asked.end,), timeout=timeout_s)
        if done:
            return asked.end.result()
        return None

    def withdraw(self, approval_id: str) -> None:
        """Drop it, as the asker has gone. Nothing happens when it waits no more."""
        asked = self._waiting.get(approval_id)
        if asked is not None:
            asked.settle("withdrawn")

    def close(self) -> None:
        """The host stops: what waits is not done, and nothing more is asked."""
        self._closed = True
        for asked in self._waiting.values():
            asked.settle("expired")

    def may_decide(self, pending: PendingApproval, by: str) -> bool:
        """True if a yes of `by` would count."""
        person = self._roles.get(by)
        if person is None or person.role in ("guest", "read-only"):
            return False
        return person.role == "owner" or (by == pending.person_id and not pending.risky)

    def _check_room(self, person_id: str) -> None:
        own = sum(waiting.pending.person_id == person_id for waiting in self._waiting.values())
        if len(self._waiting) >= MAX_PENDING or own >= MAX_PENDING_A_PERSON:
            text = f"{len(self._waiting)} acts wait for a decision already"
            raise Overloaded(text, next_step="microclaw approval list")

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
        asker = name_of(self._roles, pending.person_id)
        what = pending.tool or (pending.action.split() or ["?"])[0]
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
            f"{action} would be shown in {len(lines):,} lines, {chars:,} characters: "
            f"nobody is asked for more than {MAX_DETAIL_LINES:,} and {MAX_DETAIL_CHARS:,}",
            next_step="make it smaller, or do it yourself on the command line",
        )


def _standing_lines(approval_id: str, standing: StandingYes) -> tuple[str, ...]:
    """Return the lines that show what a yes for all runs is bound to, and how to give it."""
    sources = (f"it has read: {clean_text(source, one_line=True, mark=HIDDEN_MARK)}" for source in standing.sources)
    door = f"microclaw approval decide {approval_id} yes --always"
    number = standing.schedule_id
    return (*sources, f"each run of schedule {number} that has read just this asks; to allow it to all: {door}")


def _shown(text: str) -> str:
    """Without what could draw over the question, turn its letters around or hide; that it was there is seen."""
    return clean_text(text, mark=HIDDEN_MARK).replace("\t", " ")


def _stopping(action: str) -> PermissionRefused:
    text = f"the host is stopping, so it was not done: {action}"
    return PermissionRefused(text, next_step="ask for it again when it is back: microclaw up")
