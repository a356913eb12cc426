"""What waits for a person's yes while a turn runs: its listeners are asked, and are told how it was settled."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Self

from microclaw.agent.turn import Turn
from microclaw.auth.approvals import ApprovalOutcome, Approvals, PendingApproval
from microclaw.events import ApprovalSettled, TurnEvent


class ApprovalWatch:
    """Tells a turn's listeners which approvals wait, and withdraws them when the turn is cancelled."""

    def __init__(self, approvals: Approvals | None, put: Callable[[TurnEvent], None], turn: Turn, turn_id: str) -> None:
        self._approvals = approvals
        self._turn_id = turn_id
        self._put = put
        self._turn = turn
        self._asked_at: dict[str, float] = {}
        self._leave: Callable[[], None] | None = None

    def __enter__(self) -> Self:
        if self._approvals is not None:
            self._leave = self._approvals.listen(self._hear)
        return self

    def __exit__(self, *_: object) -> None:
        if self._leave is not None:
            self._leave()

    def stop(self) -> None:
        self._turn.stop()
        if self._approvals is not None:
            for approval_id in tuple(self._asked_at):
                self._approvals.withdraw(approval_id)

    def _hear(self, news: PendingApproval | ApprovalOutcome) -> None:
        pending = news if isinstance(news, PendingApproval) else news.pending
        if pending.turn != self._turn_id:
            return  # a schedule's, or an act of the API: who listens to this turn did not ask for it
        now = asyncio.get_running_loop().time()
        if isinstance(news, PendingApproval):
            assert self._approvals is not None  # it has told the news
            self._asked_at[pending.approval_id] = now
            self._put(self._approvals.question(pending, actions=self._turn.so_far()))
        elif (asked_at := self._asked_at.pop(pending.approval_id, None)) is not None:
            self._turn.waited(now - asked_at)
            self._put(ApprovalSettled(pending.approval_id, news.outcome, news.by))
