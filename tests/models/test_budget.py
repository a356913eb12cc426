"""The day's budget: no request begins once it is used up, however the ones before ended."""

from __future__ import annotations

import asyncio
import datetime
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

import pytest
from msgspec.structs import replace
from tests.models.asking import request

from microclaw.config.settings import BudgetSettings
from microclaw.errors import BudgetSpent
from microclaw.events import Usage
from microclaw.models.budget import LocalDays
from microclaw.models.protocol import (
    AskedBy,
    ModelReply,
    ModelRequest,
    OnText,
)
from microclaw.models.scripted import ScriptedModel, say
from microclaw.models.usage import MeteredModel, UsageLog
from microclaw.store.database import Database
from microclaw.store.usage import UsageTable

NOON = datetime.datetime(2026, 11, 20, 12, tzinfo=datetime.UTC).timestamp()
DAYS = LocalDays(lambda: NOON, "UTC")
LIMIT_S = 60.0
EACH = Usage(900, 100, 0.01)


@pytest.fixture
async def table(tmp_path: Path) -> AsyncIterator[UsageTable]:
    async with Database.open(tmp_path / "store.db") as database:
        yield UsageTable(database)


class Slow(ScriptedModel):
    """Answers when it is let go; knows how many requests it had at once."""

    def __init__(self, usage: Usage = EACH) -> None:
        super().__init__([])
        self.name = "claude-sonnet-5-5"
        self.go = asyncio.Event()
        self.came = asyncio.Event()
        self.now = self.most = self.asked = 0
        self._usage = usage

    async def respond(self, request: ModelRequest, on_text: OnText | None = None) -> ModelReply:
        self.now, self.asked = self.now + 1, self.asked + 1
        self.most = max(self.most, self.now)
        self.came.set()
        try:
            await self.go.wait()
        finally:
            self.now -= 1
        return say("hi", usage=self._usage)


async def together(model: MeteredModel, count: int, person: str = "owner") -> list[ModelReply | BaseException]:
    """What `count` requests of this person came to that were all sent at once."""

    async def one() -> ModelReply:
        return await model.respond(replace(request(), asked_by=AskedBy(person)))

    async with asyncio.timeout(LIMIT_S):
        return await asyncio.gather(*(one() for _ in range(count)), return_exceptions=True)


LIMITS = [
    BudgetSettings(day_tokens=5_000),
    BudgetSettings(person_day_tokens=5_000),
    BudgetSettings(day_usd=0.05),
    BudgetSettings(person_day_usd=0.05),
    BudgetSettings(day_usd=0.05, day_tokens=1_000_000),
]


@pytest.mark.parametrize("limits", LIMITS)
async def test_no_request_begins_once_the_budget_is_used_up(table: UsageTable, limits: BudgetSettings) -> None:
    slow = Slow()
    slow.go.set()
    model = MeteredModel(slow, UsageLog(table, DAYS, limits))
    ended = [one for _ in range(8) for one in await together(model, 1)]
    assert [type(one) for one in ended] == [ModelReply] * 5 + [BudgetSpent] * 3
    total, _ = await table.of_day("2026-11-20", "owner")
    assert (total.tokens, total.requests) == (5_000, 5)


async def test_requests_that_are_broken_off_use_up_a_money_budget_too(table: UsageTable) -> None:
    slow = Slow()
    limits = BudgetSettings(day_usd=0.000_4)  # a few of these, by the price list
    model = MeteredModel(slow, UsageLog(table, DAYS, limits))

    async def cancelled_once_it_came() -> None:
        asking = asyncio.create_task(model.respond(request()))
        came = asyncio.create_task(slow.came.wait())
        await asyncio.wait({asking, came}, timeout=LIMIT_S, return_when=asyncio.FIRST_COMPLETED)
        slow.came.clear()
        came.cancel()
        asking.cancel()
        with suppress(asyncio.CancelledError):
            await asking

    async def until_refused() -> None:
        for _ in range(100):
            await cancelled_once_it_came()

    with pytest.raises(BudgetSpent):
        await until_refused()
    total, _ = await table.of_day("2026-11-20", "owner")
    assert total.requests == total.failed == slow.asked > 1
    assert total.unpriced == 0
