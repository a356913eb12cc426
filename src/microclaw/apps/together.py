"""Which turn or request makes the changes that are planned now: what one sentence did is taken back by one undo.

A context variable, as between a turn and the journal lie the tools and every stage of a deployment.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_TURN: ContextVar[str | None] = ContextVar("microclaw_turn", default=None)


def turn_now() -> str | None:
    """The id that a change planned at this moment gets; None for one that stands alone."""
    return _TURN.get()


@contextmanager
def made_by(turn: str | None) -> Iterator[None]:
    """Changes planned inside, and in tasks begun inside, are this turn's or request's."""
    before = _TURN.set(turn)
    try:
        yield
    finally:
        _TURN.reset(before)
