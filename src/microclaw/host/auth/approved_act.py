"""A question for approval and its outcome, and the approved act that is running with its end.

Code that may do something that needs an approval runs inside `approved_act`: a tool's call, a job or a request of the
API. The innermost one reports the end, and the security log names its approval.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Final, Literal, TypeAlias, TypedDict

from msgspec import Struct

from microclaw.errors import MicroclawError
from microclaw.events import AskedProgram
from microclaw.host.auth.tokens import SESSION_PREFIX
from microclaw.host.store.schedules import AllowedAction
from microclaw.text import clean_text

Outcome: TypeAlias = Literal["approved", "declined", "expired", "withdrawn"]

MAX_WHY_CHARS: Final = 400


class PendingApproval(Struct, frozen=True):
    """An action that waits for a decision.

    `detail` shows exactly what would happen; `channel` and `chat_id` name the chat of the request. If `risky`, only an
    owner may approve it; otherwise the asking member may, too. `tool` is the name of the tool whose call waits, for the
    security log; "" for an act of the API. `program` is the program that would be installed, or None. `turn` is the
    turn whose call waits; None for a schedule's call or an act of the API, which no turn may answer. `standing` is what
    a yes for all runs of a schedule would allow.
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
    standing: AllowedAction | None = None

    @property
    def door(self) -> str:
        """The channel, or "browser" if the asker is signed in by a session."""
        if self.channel == "api" and self.chat_id.startswith(SESSION_PREFIX):
            return "browser"
        return self.channel


class QuestionContext(TypedDict, total=False):
    """The optional parts of a question; PendingApproval says what each is."""

    tool: str
    program: AskedProgram | None
    turn: str | None
    standing: AllowedAction | None


class ApprovalOutcome(Struct, frozen=True):
    """The outcome of a question, and the name of the person who decided.

    `by` is None if the time was over or the asker has left. If `always`, the yes is for all runs of its schedule. If
    `is_unattended`, no person was there to answer.
    """

    pending: PendingApproval
    outcome: Outcome
    by: str | None
    always: bool = False
    is_unattended: bool = False


class ActEnd(Struct, frozen=True, omit_defaults=True, rename={"next_step": "next"}):
    """How an act ended.

    "failed": it was refused or went wrong, and `why` says how. "unknown": the host cannot know its result.
    """

    state: Literal["done", "failed", "unknown", "under_way"]
    why: str = ""
    code: str | None = None
    next_step: str | None = None


DONE: Final = ActEnd("done")
ASKER_LEFT: Final = ActEnd("failed", "the asker had left, so it was not done", "permission_refused")
STOPPED: Final = ActEnd("unknown", "it was stopped before its end", next_step="check its result: microclaw app list")
FAULT: Final = ActEnd("unknown", "a fault inside the host ended it", next_step="the host's log says what went wrong")
END_NOT_REPORTED: Final = ActEnd("unknown", "the asker does not report how it ended")


@dataclass(slots=True)
class ApprovedAct:
    """An act that may need approvals.

    `yes` is the answer to its last question. When the act is over, each function in `tell` is called with `end`.
    """

    yes: ApprovalOutcome | None
    end: ActEnd = DONE
    is_over: bool = False
    tell: list[Callable[[ActEnd], None]] = field(default_factory=list)

    def failed(self, why: str, code: str | None = None, next_step: str | None = None) -> None:
        """Set the end to a failure."""
        text = clean_text(why, one_line=True, limit=MAX_WHY_CHARS)
        self.end = ActEnd("failed", text, code, next_step)

    def approved(self, yes: ApprovalOutcome, tell: Callable[[ActEnd], None]) -> None:
        """Add a yes; `tell` is called once with the end, at once if the act is over."""
        if self.is_over:
            tell(END_NOT_REPORTED)
            return
        self.yes = yes
        self.tell.append(tell)


_act: ContextVar[ApprovedAct | None] = ContextVar("approved act", default=None)


def current_act() -> ApprovedAct | None:
    """Return the innermost act that is running, or None."""
    return _act.get()


def current_approval() -> ApprovalOutcome | None:
    """Return the approval of the current act, or None if no person was asked."""
    act = current_act()
    if act is None:
        return None
    return act.yes


def current_approval_id() -> str | None:
    """Return the id of the current act's approval, or None."""
    yes = current_approval()
    return None if yes is None else yes.pending.approval_id


@contextmanager
def approved_act() -> Iterator[ApprovedAct]:
    """Open an act to which each yes inside belongs.

    It starts with the yes of the act around it, until it asks a question itself. An error that leaves it is its end,
    otherwise `end` as it was set.
    """
    outer = _act.get()
    if outer is None or outer.is_over:
        inherited_yes = None
    else:
        inherited_yes = outer.yes
    act = ApprovedAct(inherited_yes)
    token = _act.set(act)
    try:
        yield act
    except MicroclawError as exc:
        act.failed(exc.message, exc.code, exc.next_step)
        raise
    except BaseException as exc:
        is_cancelled = isinstance(exc, asyncio.CancelledError)
        act.end = STOPPED if is_cancelled else FAULT
        raise
    finally:
        _act.reset(token)
        act.is_over = True
        for tell in act.tell:
            tell(act.end)
