"""Requests that run together and the day's budget: over it by one of them at most, and nothing stays reserved."""

from __future__ import annotations

import asyncio
import datetime
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, suppress
from dataclasses import replace
from pathlib import Path

import pytest
from tests.models.asking import request

from microclaw.config.settings import BudgetSettings
from microclaw.errors import BudgetSpent, ModelError
from microclaw.events import Usage
from microclaw.models.budget import Budget, Estimate, LocalDays, worst_case
from microclaw.models.protocol import (
    AskedBy,
    AssistantReply,
    Image,
    ModelReply,
    ModelRequest,
    OnText,
    ToolCall,
    UserText,
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
async def test_requests_sent_together_use_no_more_than_one_over_the_budget(
    table: UsageTable, limits: BudgetSettings
) -> None:
    slow = Slow()
    slow.go.set()
    ended = await together(MeteredModel(slow, UsageLog(table, DAYS), Budget(limits, table, DAYS)), 20)
    assert sum(isinstance(one, ModelReply) for one in ended) == slow.asked
    assert {type(one) for one in ended} == {ModelReply, BudgetSpent}
    total, _ = await table.of_day("2026-11-20", "owner")
    assert 5_000 <= total.tokens <= 6_000
    assert total.requests == slow.asked


async def test_far_from_its_limit_a_budget_holds_nobody_up(table: UsageTable) -> None:
    slow = Slow()
    model = MeteredModel(slow, UsageLog(table, DAYS), Budget(BudgetSettings(day_usd=50, day_tokens=10**8), table, DAYS))
    asking = asyncio.create_task(together(model, 20))
    async with asyncio.timeout(LIMIT_S):
        while slow.now < 20:
            slow.came.clear()
            await slow.came.wait()
        slow.go.set()
        assert all(isinstance(one, ModelReply) for one in await asking)
    assert slow.most == 20


async def test_one_persons_requests_hold_up_nobody_else(table: UsageTable) -> None:
    slow = Slow()
    model = MeteredModel(slow, UsageLog(table, DAYS), Budget(BudgetSettings(person_day_tokens=5_000), table, DAYS))
    async with asyncio.timeout(LIMIT_S):
        anns = asyncio.create_task(together(model, 2, "ann"))
        await slow.came.wait()
        slow.came.clear()
        bobs = asyncio.create_task(together(model, 1, "bob"))
        await slow.came.wait()
        assert slow.now == 2  # one of ann's, and bob's
        slow.go.set()
        assert [type(one) for one in (*await anns, *await bobs)] == [ModelReply] * 3


async def test_who_waits_in_vain_is_told_what_to_do(table: UsageTable) -> None:
    slow = Slow()
    budget = Budget(BudgetSettings(day_tokens=5_000), table, DAYS, patience_s=0.01)
    model = MeteredModel(slow, UsageLog(table, DAYS), budget)
    asking = asyncio.create_task(together(model, 1))
    await asyncio.wait_for(slow.came.wait(), LIMIT_S)
    [refused] = await together(model, 1)
    assert isinstance(refused, BudgetSpent)
    assert "today's budget of this host for models is reserved for 1 running requests" in refused.message
    assert "say it again in a minute, or raise day_tokens" in (refused.next_step or "")
    slow.go.set()
    assert isinstance((await asking)[0], ModelReply)


@pytest.mark.parametrize("failure", [ModelError("no", fault="auth"), RuntimeError("a fault of ours")])
async def test_a_failed_request_holds_nothing_afterwards(table: UsageTable, failure: Exception) -> None:
    model = MeteredModel(
        ScriptedModel([failure, say("hi", usage=EACH)]),
        UsageLog(table, DAYS),
        Budget(BudgetSettings(day_tokens=100), table, DAYS, patience_s=0),
    )
    first, second = [(await together(model, 1))[0] for _ in range(2)]
    assert first is failure
    assert isinstance(second, ModelReply)


async def test_a_cancelled_request_holds_nothing_afterwards(table: UsageTable) -> None:
    slow = Slow()
    model = MeteredModel(slow, UsageLog(table, DAYS), Budget(BudgetSettings(day_tokens=5_000), table, DAYS))
    asking = asyncio.create_task(model.respond(request()))
    await asyncio.wait_for(slow.came.wait(), LIMIT_S)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    slow.go.set()
    assert isinstance((await together(model, 1))[0], ModelReply)


async def test_requests_that_are_broken_off_use_up_a_money_budget_too(table: UsageTable) -> None:
    slow = Slow()
    limits = BudgetSettings(day_usd=0.000_4)  # a few of these, by the price list
    model = MeteredModel(slow, UsageLog(table, DAYS), Budget(limits, table, DAYS))

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

    with pytest.raises(BudgetSpent, match="is used up"):
        await until_refused()
    total, _ = await table.of_day("2026-11-20", "owner")
    assert total.requests == total.failed == slow.asked > 1
    assert total.unpriced == 0


async def test_a_model_of_unknown_price_has_a_money_budget_for_itself_until_it_is_known(table: UsageTable) -> None:
    slow = Slow(Usage(900, 100, None))
    slow.name = "the house's own"
    model = MeteredModel(slow, UsageLog(table, DAYS), Budget(BudgetSettings(day_usd=50), table, DAYS))
    slow.go.set()
    assert all(isinstance(one, ModelReply) for one in await together(model, 1))
    slow.go.clear()
    asking = asyncio.create_task(together(model, 5))
    async with asyncio.timeout(LIMIT_S):
        while slow.now < 5:  # now it is known to cost nothing that anybody counts
            slow.came.clear()
            await slow.came.wait()
        slow.go.set()
        await asking

    unknown = Slow()
    unknown.name = "another one"
    other = MeteredModel(unknown, UsageLog(table, DAYS), Budget(BudgetSettings(day_usd=50), table, DAYS))
    unknown.go.set()
    assert all(isinstance(one, ModelReply) for one in await together(other, 5))
    assert unknown.most == 1


HOLDER = """
import asyncio, sys, time
from pathlib import Path
from microclaw.config.settings import BudgetSettings
from microclaw.models.budget import Budget, LocalDays
from microclaw.models.protocol import AskedBy
from microclaw.models.budget import Estimate
from microclaw.store.database import Database
from microclaw.store.usage import UsageTable

async def hold():
    async with Database.open(Path(sys.argv[1])) as database:
        budget = Budget(BudgetSettings(day_tokens=100), UsageTable(database), LocalDays(time.time))
        async with budget.holding(AskedBy(), Estimate(10**9, 0)):
            print("held", flush=True)
            await asyncio.Event().wait()

asyncio.run(hold())
"""


async def test_a_killed_host_leaves_nothing_held(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", HOLDER, str(path), stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    async with asyncio.timeout(LIMIT_S):
        assert await process.stdout.readline() == b"held\n"
        process.kill()
        await process.wait()
    async with Database.open(path) as database, AsyncExitStack() as stack:
        budget = Budget(BudgetSettings(day_tokens=100), UsageTable(database), DAYS, patience_s=0.5)
        await stack.enter_async_context(budget.holding(AskedBy(), Estimate(10**9, 0)))


@pytest.mark.parametrize(
    "text", ["what is on pin 4", "温度是多少，请告诉我", "aGVsbG8gd29ybGQ" * 200, "{}" * 500, "😀" * 100]
)
def test_the_worst_case_is_more_than_any_tokenizer_makes_of_a_text(text: str) -> None:
    asked = ModelRequest("", (UserText(text),), (), max_tokens=100)
    dearest = 1.5 * len(text) if not text.isascii() else 0.5 * len(text)  # tokens of the densest tokenizers
    assert worst_case(asked, "m").tokens >= dearest + 100


def test_the_worst_case_counts_pictures_calls_and_tools() -> None:
    plain = worst_case(ModelRequest("", (UserText("hi"),), ()), "m").tokens
    pictured = worst_case(ModelRequest("", (UserText("hi", (Image("image/png", b""),)),), ()), "m").tokens
    called = AssistantReply("", (ToolCall("1", "gpio-set", "x" * 1000),))
    calling = worst_case(ModelRequest("", (UserText("hi"), called), ()), "m").tokens
    assert pictured >= plain + 1600
    assert calling >= plain + 500
    assert worst_case(request(), "m").tokens > plain


def test_the_worst_case_has_a_price_where_the_list_knows_the_model() -> None:
    asked = request()
    known = worst_case(asked, "claude-sonnet-5-5")
    assert known.nano_usd is not None
    assert known.nano_usd > known.tokens * 1000  # dearer than a dollar a million
    assert worst_case(asked, "nobody's model").nano_usd is None
    assert worst_case(asked, "nobody's model", priced=False) == Estimate(known.tokens, 0)
