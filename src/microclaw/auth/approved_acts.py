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
from typing import Final, Literal, TypeAlias

from msgspec import Struct

from microclaw.errors import MicroclawError
from microclaw.text import clean_text

EndState: TypeAlias = Literal["done", "failed", "unknown", "under_way"]
MAX_WHY_CHARS: Final = 400


@dataclass(frozen=True, slots=True)
class Yes:
    """The question's number, and the name of who said yes to it."""

    approval_id: str
    by: str


class ActEnd(Struct, frozen=True, omit_defaults=True, rename={"next_step": "next"}):
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


class ApprovedAct:
    """One act and the approvals that it was given; `end` is what is told when it is over."""

    def __init__(self, outer: ApprovedAct | None = None) -> None:
        """`outer` is the act around it: until this one asks itself, it is done with that one's approval."""
        self.end: ActEnd = DONE
        self.is_over = False
        self.yes: Yes | None = None if outer is None or outer.is_over else outer.yes
        """To its last question, once somebody said it."""
        self._tell: list[Callable[[ActEnd], None]] = []

    def failed(self, why: str, code: str | None = None, next_step: str | None = None) -> None:
        self.end = ActEnd("failed", clean_text(why, one_line=True, limit=MAX_WHY_CHARS), code, next_step)

    def asks(self) -> None:
        """A yes of before is not to this question."""
        self.yes = None

    def approved(self, yes: Yes, tell: Callable[[ActEnd], None]) -> None:
        """`tell` is called once with the end."""
        if self.is_over:
            tell(UNTOLD)
            return
        self.yes = yes
        self._tell.append(tell)

    def close(self) -> None:
        self.is_over = True
        for tell in self._tell:
            tell(self.end)


_current: ContextVar[ApprovedAct | None] = ContextVar("approved_act", default=None)


def act_now() -> ApprovedAct | None:
    """The act that is under way here."""
    return _current.get()


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
        act.failed(exc.message, exc.code, exc.next_step)
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
