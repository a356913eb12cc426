"""How an act ended that somebody said yes to, for those who said it. It acts on nothing and asks nobody.

What may do something that is asked about first runs inside `approved_act`: a tool's call, a job or a request of the
API. The innermost one tells the end, and its approval is the one that the security log names.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

from microclaw.errors import MicroclawError
from microclaw.text import clean_text

if TYPE_CHECKING:
    from microclaw.auth.approvals import ApprovalOutcome, PendingApproval

EndState: TypeAlias = Literal["done", "failed", "unknown"]
MAX_KEPT: Final = 256
MAX_WHY_CHARS: Final = 400


@dataclass(frozen=True, slots=True)
class Yes:
    """The question's number, and the name of who said yes to it."""

    approval_id: str
    by: str


@dataclass(frozen=True, slots=True)
class ActEnd:
    """`failed`: it was refused or went wrong, `why` says how; `unknown`: nobody can tell what came of it."""

    state: EndState
    why: str = ""
    code: str | None = None
    next_step: str | None = None


DONE: Final = ActEnd("done")
GONE: Final = ActEnd("failed", "nobody waited for it any more, so it was not done", "permission_refused")
CUT: Final = ActEnd("unknown", "it was ended before it was over", next_step="look what came of it: microclaw app list")
FAULT: Final = ActEnd("unknown", "a fault inside the host ended it", next_step="the host's log says what went wrong")
UNTOLD: Final = ActEnd("unknown", "what asked for it does not tell how it ended")


def failed_end(error: MicroclawError) -> ActEnd:
    return ActEnd("failed", _short(error.message), error.code, error.next_step)


class ApprovedAct:
    """One act and the approvals that it was given; `end` is what is told when it is over."""

    def __init__(self, outer: ApprovedAct | None = None) -> None:
        """`outer` is the act around it: until this one asks itself, it is done with that one's approval."""
        self.end: ActEnd = DONE
        self.yes: Yes | None = None if outer is None or outer.is_over else outer.yes
        """To its last question, once somebody said it."""
        self._tell: list[Callable[[ActEnd], None]] | None = []

    def failed(self, why: str, code: str | None = None, next_step: str | None = None) -> None:
        self.end = ActEnd("failed", _short(why), code, next_step)

    def approved(self, yes: Yes, tell: Callable[[ActEnd], None]) -> bool:
        """`tell` is called once with the end; False when the act is over already."""
        if self._tell is None:
            return False
        self.yes = yes
        self._tell.append(tell)
        return True

    @property
    def is_over(self) -> bool:
        return self._tell is None

    def close(self) -> None:
        telling, self._tell = self._tell, None
        for tell in telling or ():
            tell(self.end)


_current: ContextVar[ApprovedAct | None] = ContextVar("approved_act", default=None)


def approval_now() -> str | None:
    """The number of the question that the act under way here had its yes to; None where nobody was asked."""
    return None if (yes := yes_now()) is None else yes.approval_id


def yes_now() -> Yes | None:
    """The yes that the act under way here had; None where nobody was asked."""
    act = _current.get()
    return None if act is None else act.yes


@contextmanager
def approved_act() -> Iterator[ApprovedAct]:
    """Inside, each yes belongs to this act. An error that leaves it is its end, else `end` as it was set."""
    act = ApprovedAct(_current.get())
    before = _current.set(act)
    try:
        yield act
    except MicroclawError as exc:
        act.end = failed_end(exc)
        raise
    except asyncio.CancelledError:
        act.end = CUT
        raise
    except Exception:
        act.end = FAULT
        raise
    finally:
        _current.reset(before)
        act.close()


EndListener: TypeAlias = Callable[["PendingApproval", ActEnd], None]


class ActEnds:
    """The ends of acts by their approval's id; the oldest of many give way."""

    def __init__(self) -> None:
        self._ends: dict[str, tuple[PendingApproval, asyncio.Future[ActEnd]]] = {}
        self._listeners: list[EndListener] = []

    def listen(self, listener: EndListener) -> None:
        self._listeners.append(listener)

    def expect(self, pending: PendingApproval) -> None:
        """A yes was given: its act begins."""
        while len(self._ends) >= MAX_KEPT:
            del self._ends[next(iter(self._ends))]
        self._ends[pending.approval_id] = (pending, asyncio.get_running_loop().create_future())

    def ask(self) -> None:
        """The act around it asks: a yes of before is not this question's."""
        act = _current.get()
        if act is not None:
            act.yes = None

    def begin(self, outcome: ApprovalOutcome) -> None:
        """Who asked goes on, with the yes of somebody: from here on the act around it tells the end."""
        pending, act = outcome.pending, _current.get()
        yes = Yes(pending.approval_id, outcome.by or "")
        if act is None or not act.approved(yes, lambda end: self.settle(pending, end)):
            self.settle(pending, UNTOLD)

    def settle(self, pending: PendingApproval, end: ActEnd) -> None:
        kept = self._ends.get(pending.approval_id)
        if kept is None or kept[1].done():
            return
        kept[1].set_result(end)
        for listener in tuple(self._listeners):
            listener(pending, end)

    def find(self, approval_id: str) -> PendingApproval | None:
        """The approved one with this id, while it is kept."""
        kept = self._ends.get(approval_id)
        return None if kept is None else kept[0]

    async def wait(self, approval_id: str, timeout_s: float) -> ActEnd | None:
        """The end, or None when the act is still under way then, or no such approval is kept."""
        kept = self._ends.get(approval_id)
        if kept is None:
            return None
        done, _ = await asyncio.wait((kept[1],), timeout=timeout_s)
        return kept[1].result() if done else None


def _short(text: str) -> str:
    return clean_text(text, one_line=True, limit=MAX_WHY_CHARS)
