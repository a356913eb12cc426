"""Counts every request to a model and checks the budget first. Knows no provider; sets no price.

When a service reports no tokens, or an answer breaks off, the tokens are estimated from the text's length.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from datetime import date, datetime, time, timedelta

from msgspec import Struct, structs

from microclaw.agent.models.budget import CHARS_A_TOKEN, price, request_tokens
from microclaw.agent.models.protocol import AskedBy, Model, ModelReply, ModelRequest, OnText, TextCounter
from microclaw.errors import BudgetSpent, ModelError
from microclaw.host.config.settings import BudgetSettings
from microclaw.host.store.usage import KEPT_DAYS, UsageCount, UsageGroup, UsageKey, UsageTable


class UsageReport(Struct, frozen=True):
    """Counters since a day, grouped; `today` is what counts for the day's budget: everybody's, or one person's."""

    since: date
    groups: Sequence[tuple[str, UsageCount]]
    today: UsageCount
    resets_at: datetime


class UsageLog:
    """The log of requests by day, person, chat, model and task, and the budget that each is checked against first.

    What is spent is looked at before a request, so requests that already run may pass the budget. `now` is the local
    time of the host's people.
    """

    def __init__(self, table: UsageTable, now: Callable[[], datetime], limits: BudgetSettings | None = None) -> None:
        self.limits = limits or BudgetSettings()
        self._table = table
        self._now = now
        self._pruned_on: date | None = None
        # Models whose price is unknown.
        self._unpriced: set[str] = set()

    async def record(self, asked_by: AskedBy, model: str, task: str, count: UsageCount) -> None:
        """Count a request; it is on the disk when this returns. Days older than a year are deleted."""
        today = self._now().date()
        key = UsageKey(today.isoformat(), asked_by.person, asked_by.channel, asked_by.chat_id, model, task)
        await self._table.add(key, count)
        if self._pruned_on != today:
            self._pruned_on = today
            await self._table.forget_before((today - timedelta(KEPT_DAYS - 1)).isoformat())

    async def report(self, by: UsageGroup = "day", days: int = 30, *, person: str | None = None) -> UsageReport:
        """Return the usage of the last `days` days including today, of everybody or of one person."""
        day = self._now().date()
        since = day - timedelta(days - 1)
        groups = await self._table.report(by, since.isoformat(), person)
        everyone, theirs = await self._table.of_day(day.isoformat(), person or "")
        today = everyone if person is None else theirs
        return UsageReport(since, groups, today, self._midnight())

    async def check(self, asked_by: AskedBy) -> None:
        """Raise BudgetSpent when the day's budget, or this person's part of it, is used up."""
        limits = self.limits
        if limits == BudgetSettings():
            return
        everyone, theirs = await self._table.of_day(self._now().date().isoformat(), asked_by.person)
        for setting, who, usd, tokens, spent in (
            ("day", "this host", limits.day_usd, limits.day_tokens, everyone),
            ("person_day", asked_by.person, limits.person_day_usd, limits.person_day_tokens, theirs),
        ):
            if usd is not None and spent.cost_usd >= usd:
                raise self._spent(f"{setting}_usd", who, f"${spent.cost_usd:.2f} of ${usd:.2f}", spent.requests)
            if tokens is not None and spent.tokens >= tokens:
                raise self._spent(f"{setting}_tokens", who, f"{spent.tokens:,} of {tokens:,} tokens", spent.requests)

    def _spent(self, setting: str, who: str, what: str, requests: int) -> BudgetSpent:
        reset = self._midnight()
        return BudgetSpent(
            f"today's budget of {who} for models is used up: {what}, in {requests} requests; "
            f"it begins again at {reset:%H:%M} on {reset:%A} ({reset.tzname()})",
            next_step=f"wait until then, or raise {setting} under [budget] in config.toml and start the host "
            "again; sentences that need no model still work",
        )

    def _midnight(self) -> datetime:
        now = self._now()
        return datetime.combine(now.date() + timedelta(1), time(), now.tzinfo)

    async def respond(self, model: Model, request: ModelRequest, on_text: OnText | None = None) -> ModelReply:
        """One provider's reply, counted. BudgetSpent, before anything is sent, when the day's budget is used up."""
        await self.check(request.asked_by)
        counter = TextCounter(on_text)
        try:
            reply = await model.respond(request, counter.add if on_text is not None else None)
        except ModelError as exc:
            worked = counter.chars > 0 or exc.fault in ("timeout", "unreadable")
            if worked:
                used = await self._partial_usage(model, request, counter.chars)
            else:
                used = UsageCount()
            await self._count(model, request, used, failed=1)
            raise
        except asyncio.CancelledError:
            await self._count(model, request, await self._partial_usage(model, request, counter.chars), failed=1)
            raise
        counted = _usage_of(request, reply)
        (self._unpriced.add if counted.unpriced else self._unpriced.discard)(model.name)
        await self._count(model, request, counted)
        return reply

    async def _partial_usage(self, model: Model, request: ModelRequest, answer_chars: int) -> UsageCount:
        """Estimate the usage of an interrupted answer, with its list price if money is limited."""
        used = _estimated(request, answer_chars)
        if model.name in self._unpriced or (self.limits.day_usd is None and self.limits.person_day_usd is None):
            return used
        nano_usd = await asyncio.to_thread(price, model.name, used.input_tokens, used.output_tokens)
        if nano_usd is None:
            return used
        return structs.replace(used, unpriced=0, cost_nano_usd=nano_usd)

    async def _count(self, model: Model, request: ModelRequest, count: UsageCount, failed: int = 0) -> None:
        counted = structs.replace(count, requests=1, failed=failed)
        await self.record(request.asked_by, model.name, request.task, counted)


def _usage_of(request: ModelRequest, reply: ModelReply) -> UsageCount:
    usage = reply.usage
    # Local servers often report no tokens.
    if usage.input_tokens <= 0:
        return _estimated(request, len(reply.text) + sum(len(call.arguments) for call in reply.calls))
    if usage.cost_usd is None:
        nano = 0
    else:
        nano = round(usage.cost_usd * 1e9)
    return UsageCount(
        unpriced=int(usage.cost_usd is None),
        input_tokens=usage.input_tokens,
        output_tokens=usage.output_tokens,
        cached_tokens=usage.cached_tokens,
        cost_nano_usd=nano,
    )


def _estimated(request: ModelRequest, answer_chars: int) -> UsageCount:
    """Estimate tokens from the length of the request and the answer, without a price."""
    answered = -(-answer_chars // CHARS_A_TOKEN)
    return UsageCount(estimated=1, unpriced=1, input_tokens=request_tokens(request), output_tokens=answered)
