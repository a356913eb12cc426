"""Acts that wait for a person's yes or no. It asks nobody itself: channels show what waits and bring the decision."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal, TypeAlias

from microclaw.errors import Overloaded, PermissionRefused, UnknownName

Outcome: TypeAlias = Literal["approved", "declined", "expired"]

MAX_PENDING = 64


@dataclass(frozen=True, slots=True)
class Pending:
    """An act that waits. `detail` shows exactly what would happen; `channel` and `chat_id` are where it was asked."""

    approval_id: str
    principal: str
    action: str
    detail: tuple[str, ...]
    channel: str
    chat_id: str
    expires_s: float


@dataclass(frozen=True, slots=True)
class Settled:
    """How it ended, and who decided; `by` is None when the time was over or the asking turn was cancelled."""

    pending: Pending
    outcome: Outcome
    by: str | None


Listener: TypeAlias = Callable[[Pending | Settled], None]


class Approvals:
    """What waits for a decision. The first decision counts; no decision in time is a no."""

    def __init__(self, *, timeout_s: float, new_id: Callable[[], str] = lambda: secrets.token_hex(4)) -> None:
        self._timeout_s = timeout_s
        self._new_id = new_id
        self._waiting: dict[str, tuple[Pending, asyncio.Future[str | None]]] = {}
        self._listeners: list[Listener] = []

    def listen(self, listener: Listener) -> Callable[[], None]:
        """Tell `listener` of each question and each end, at once; call the result to stop."""
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)

    def pending(self) -> tuple[Pending, ...]:
        return tuple(pending for pending, _ in self._waiting.values())

    async def ask(self, principal: str, action: str, detail: Iterable[str], *, channel: str, chat_id: str) -> None:
        """Return when it was approved; PermissionRefused when declined or when nobody decided in time."""
        if len(self._waiting) >= MAX_PENDING:
            raise Overloaded(f"{MAX_PENDING} acts wait for a decision already", next_step="microclaw approval list")
        loop = asyncio.get_running_loop()
        pending = Pending(self._new_id(), principal, action, tuple(detail), channel, chat_id, self._timeout_s)
        decision: asyncio.Future[str | None] = loop.create_future()
        self._waiting[pending.approval_id] = (pending, decision)
        settled = Settled(pending, "expired", None)
        try:
            self._tell(pending)
            async with asyncio.timeout(self._timeout_s):
                by = await decision
            settled = Settled(pending, "approved", by)
        except TimeoutError as exc:
            raise PermissionRefused(
                f"nobody approved in {self._timeout_s:g} s, so it was not done: {action}", next_step="ask for it again"
            ) from exc
        except _Declined as exc:
            settled = Settled(pending, "declined", exc.by)
            raise PermissionRefused(f"declined by {exc.by}, so it was not done: {action}") from exc
        finally:
            self._waiting.pop(pending.approval_id, None)
            self._tell(settled)

    def decide(self, approval_id: str, *, approved: bool, by: str) -> Pending:
        """Settle it; UnknownName when it does not wait (any more): somebody else was first, or the time is over."""
        found = self._waiting.get(approval_id)
        if found is None or found[1].done():
            raise UnknownName(
                f"nothing waits under {approval_id[:40]!r}: it was decided already, or its time is over",
                next_step="microclaw approval list",
            )
        pending, decision = found
        if approved:
            decision.set_result(by)
        else:
            decision.set_exception(_Declined(by))
        return pending

    def _tell(self, news: Pending | Settled) -> None:
        for listener in tuple(self._listeners):
            listener(news)


class _Declined(Exception):
    def __init__(self, by: str) -> None:
        super().__init__(by)
        self.by = by
