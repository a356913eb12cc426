"""Counts every request to a model, and asks the budget before it. Knows no provider; decides no price.

A service that tells no tokens, and an answer that was broken off, are counted by an estimate: nothing is free.
"""

from __future__ import annotations

import asyncio
import dataclasses
import datetime
from collections.abc import Sequence
from dataclasses import dataclass

from microclaw.errors import ModelError
from microclaw.events import Usage
from microclaw.models.budget import Budget, Estimate, LocalDays, likely_tokens, price, worst_case
from microclaw.models.protocol import AskedBy, Model, ModelReply, ModelRequest, OnText
from microclaw.store.usage import KEPT_DAYS, UsageCount, UsageGroup, UsageKey, UsageTable


@dataclass(frozen=True, slots=True)
class UsageReport:
    """Counters since a day, grouped; `today` is what counts for the day's budget: everybody's, or one person's."""

    by: UsageGroup
    since: datetime.date
    groups: Sequence[tuple[str, UsageCount]]
    today: UsageCount
    resets_at: datetime.datetime


class Ledger:
    """Where requests are counted: by day, person, chat, model and task."""

    def __init__(self, table: UsageTable, days: LocalDays) -> None:
        self._table = table
        self._days = days
        self._tidied: datetime.date | None = None

    async def record(self, asked_by: AskedBy, model: str, task: str, count: UsageCount) -> None:
        """Count a request; it is on the disk when this returns. Days of more than a year ago go."""
        today = self._days.today()
        key = UsageKey(today.isoformat(), asked_by.person, asked_by.channel, asked_by.chat_id, model, task)
        await self._table.add(key, count)
        if self._tidied != today:
            self._tidied = today
            await self._table.forget_before(self._days.ago(KEPT_DAYS).isoformat())

    async def report(self, by: UsageGroup = "day", days: int = 30, *, person: str | None = None) -> UsageReport:
        """The last `days` days, today among them; of everybody, or of one person."""
        since = self._days.ago(days)
        groups = await self._table.report(by, since.isoformat(), person)
        everyone, theirs = await self._table.of_day(self._days.today().isoformat(), person or "")
        today = everyone if person is None else theirs
        return UsageReport(by, since, groups, today, self._days.next_midnight())


class Metered:
    """A model whose requests are counted and kept within the budget. Wrap each provider's model, not a choice of
    them: then the ledger knows who answered, and what costs nothing is never held up.
    """

    def __init__(self, model: Model, ledger: Ledger, budget: Budget | None = None) -> None:
        self._model = model
        self._ledger = ledger
        self._budget = budget
        self._priced = True  # until an answer says that nobody knows its price

    @property
    def name(self) -> str:
        return self._model.name

    async def warm_up(self) -> None:
        await self._model.warm_up()

    async def aclose(self) -> None:
        await self._model.aclose()

    async def respond(self, request: ModelRequest, on_text: OnText | None = None) -> ModelReply:
        """BudgetSpent, before anything is sent, when the day's budget is used up."""
        if self._budget is None or not self._budget.limited:
            return await self._asked(request, on_text)
        async with self._budget.holding(request.asked_by, await self._worst_case(request, self._budget)):
            return await self._asked(request, on_text)

    async def _asked(self, request: ModelRequest, on_text: OnText | None) -> ModelReply:
        heard = _Heard(on_text)
        try:
            reply = await self._model.respond(request, heard.add if on_text is not None else None)
        except ModelError as exc:
            worked = heard.chars > 0 or exc.fault in ("timeout", "unreadable")
            used = await self._broken_off(request, heard.chars) if worked else UsageCount()
            await self._count(request, used, failed=1)
            raise
        except asyncio.CancelledError:
            await self._count(request, await self._broken_off(request, heard.chars), failed=1)
            raise
        counted = _counted(request, reply)
        self._priced = not counted.unpriced
        await self._count(request, counted)
        return reply

    async def _broken_off(self, request: ModelRequest, answer_chars: int) -> UsageCount:
        """What it used as far as it came, by an estimate; where money is limited, with its price by the list."""
        used = _guessed(request, answer_chars)
        if self._budget is None or not (self._priced and self._budget.in_dollars):
            return used
        nano_usd = await asyncio.to_thread(price, self._model.name, used.input_tokens, used.output_tokens)
        return used if nano_usd is None else dataclasses.replace(used, unpriced=0, cost_nano_usd=nano_usd)

    async def _worst_case(self, request: ModelRequest, budget: Budget) -> Estimate:
        """What it may use at most; its price only where that is limited, as the list takes a while to load."""
        priced = self._priced and budget.in_dollars
        return await asyncio.to_thread(worst_case, request, self._model.name, priced=priced)

    async def _count(self, request: ModelRequest, count: UsageCount, failed: int = 0) -> None:
        counted = dataclasses.replace(count, requests=1, failed=failed)
        await self._ledger.record(request.asked_by, self._model.name, request.task, counted)


class _Heard:
    """Passes pieces on and counts them."""

    def __init__(self, on_text: OnText | None) -> None:
        self._on_text = on_text
        self.chars = 0

    def add(self, piece: str) -> None:
        self.chars += len(piece)
        if self._on_text is not None:
            self._on_text(piece)


def _counted(request: ModelRequest, reply: ModelReply) -> UsageCount:
    usage: Usage = reply.usage
    if usage.input_tokens <= 0:  # servers at home tell none
        return _guessed(request, len(reply.text) + sum(len(call.arguments) for call in reply.calls))
    nano = 0 if usage.cost_usd is None else round(usage.cost_usd * 1e9)
    return UsageCount(
        unpriced=int(usage.cost_usd is None),
        input_tokens=usage.input_tokens,
        output_tokens=usage.output_tokens,
        cached_tokens=usage.cached_tokens,
        cost_nano_usd=nano,
    )


def _guessed(request: ModelRequest, answer_chars: int) -> UsageCount:
    """Tokens by the length of what was sent and what came back; their price is not known."""
    sent, answered = likely_tokens(request, answer_chars)
    return UsageCount(estimated=1, unpriced=1, input_tokens=sent, output_tokens=answered)
