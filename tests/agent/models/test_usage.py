"""Requests counted for whom they were made, and budgets that stop before anything is sent."""

from __future__ import annotations

import asyncio
import datetime
from contextlib import suppress

import pytest
from msgspec.structs import replace
from tests.agent.models.asking import openai, request
from tests.agent.models.event_streams import Events, openai_chunk, openai_stream
from tests.agent.models.model_server import server

from microclaw.agent.models.breaker import Breaker
from microclaw.agent.models.protocol import AskedBy, DeviceContext, Model, ModelReply, ModelRequest, OnText, UserText
from microclaw.agent.models.router import Router, choose_model
from microclaw.agent.models.scripted import Scripted, ScriptedModel, say
from microclaw.agent.models.usage import UsageLog
from microclaw.agent.offline.model import OfflineModel
from microclaw.clock import local_clock
from microclaw.errors import BudgetSpent, ModelError
from microclaw.events import Usage
from microclaw.host.config.settings import BudgetSettings, ModelChoice, ModelSettings
from microclaw.host.store.database import Database
from microclaw.host.store.usage import UsageCount, UsageTable

NOON = datetime.datetime(2026, 11, 20, 12, tzinfo=datetime.UTC).timestamp()
SPENT = UsageCount(7, 0, 0, 0, 50_000, 5_000, 0, 2_040_000_000)
FEW = BudgetSettings(day_usd=0.000_4)  # a few requests, by the price list


class Named(ScriptedModel):
    def __init__(self, name: str, *replies: Scripted) -> None:
        super().__init__(replies)
        self.name = name


class Hangs(Named):
    """Says ten tokens, then nothing more."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.asked = asyncio.Event()

    async def respond(self, request: ModelRequest, on_text: OnText | None = None) -> ModelReply:
        self.asked.set()
        if on_text is not None:
            on_text("x" * 40)
        await asyncio.Event().wait()
        raise AssertionError


@pytest.fixture
def table(database: Database) -> UsageTable:
    return UsageTable(database)


@pytest.fixture
def usage_log(table: UsageTable) -> UsageLog:
    return on(table)


def on(table: UsageTable, limits: BudgetSettings | None = None, days_later: int = 0) -> UsageLog:
    return UsageLog(table, local_clock("Europe/Vienna", lambda: NOON + days_later * 86_400), limits)


def metered(usage_log: UsageLog, *models: Model) -> Router:
    return Router(tuple((model, Breaker(lambda: 0.0)) for model in models), usage_log=usage_log)


async def only(usage_log: UsageLog) -> UsageCount:
    [(_, count)] = (await usage_log.report("day", 1)).groups
    return count


async def test_a_request_is_counted_for_whom_it_was_made(usage_log: UsageLog) -> None:
    model = metered(usage_log, ScriptedModel([say("hi", usage=Usage(1000, 100, 0.0045, 600))] * 2))
    both = (AskedBy("owner", "terminal", "main"), AskedBy("p-2", "telegram", "7"))
    await asyncio.gather(*(model.respond(replace(request(), asked_by=one)) for one in both))
    assert {name: c.requests for name, c in (await usage_log.report("person")).groups} == {"owner": 1, "p-2": 1}
    assert {name for name, _ in (await usage_log.report("chat")).groups} == {"terminal:main", "telegram:7"}
    assert await only(usage_log) == UsageCount(2, 0, 0, 0, 2000, 200, 1200, 9_000_000)


@pytest.mark.parametrize(
    ("events", "failed"),
    [
        (Events([openai_chunk({"content": "x" * 400}), openai_chunk({}, "stop"), b"data: [DONE]\n\n"]), 0),
        (Events(openai_stream("x" * 400)[:2], end="cut"), 1),
    ],
)
async def test_an_answer_without_tokens_or_one_that_breaks_off_is_counted_by_an_estimate(
    usage_log: UsageLog, events: Events, failed: int
) -> None:
    async with server((200, events)) as s:
        model = metered(usage_log, openai(s.url))
        with suppress(ModelError):
            await model.respond(request(UserText("y" * 4000)), lambda _: None)
        await model.aclose()
    count = await only(usage_log)
    assert (count.requests, count.failed, count.estimated, count.unpriced) == (1, failed, 1, 1)
    assert count.output_tokens == 100
    assert 1000 <= count.input_tokens <= 1100


async def test_another_person_and_another_day_have_their_own_budget(usage_log: UsageLog, table: UsageTable) -> None:
    await usage_log.record(AskedBy("p-2"), "claude", "chat", SPENT)
    limits = BudgetSettings(person_day_usd=2)
    await on(table, limits).check(AskedBy("owner"))
    with pytest.raises(BudgetSpent):
        await on(table, limits).check(AskedBy("p-2"))
    await on(table, limits, days_later=1).check(AskedBy("p-2"))
    await on(table, days_later=500).record(AskedBy(), "m", "chat", SPENT)
    assert [day for day, _ in await table.report("day", "2000-01-01")] == ["2028-04-03"], "old days are forgotten"


async def test_a_spent_budget_is_not_answered_by_the_next_model_nor_stops_the_offline_one(
    usage_log: UsageLog, table: UsageTable, device_context: DeviceContext
) -> None:
    await usage_log.record(AskedBy(), "claude", "chat", SPENT)
    async with server() as s:
        settings = ModelSettings(ModelChoice("openai", "m", base_url=f"{s.url}/v1"))
        model = choose_model(settings, OfflineModel(), usage_log=on(table, BudgetSettings(day_usd=1)))
        with pytest.raises(BudgetSpent):
            await model.respond(ModelRequest("", (UserText("tell me of love"),), (), device_context=device_context))
        reply = await model.respond(ModelRequest("", (UserText("set pin 4 on"),), (), device_context=device_context))
        assert reply.model == "offline"
        await model.aclose()
        assert s.paths == []
    assert (await only(usage_log)).requests == 7


@pytest.mark.parametrize("limit", ["day_tokens", "person_day_tokens", "day_usd", "person_day_usd"])
async def test_nothing_is_sent_once_the_budget_is_used_up(table: UsageTable, limit: str) -> None:
    scripted = ScriptedModel([say("hi", usage=Usage(900, 100, 0.01))] * 8)
    limits = BudgetSettings(**{limit: 5_000 if limit.endswith("tokens") else 0.05})  # type: ignore[arg-type]
    model = metered(on(table, limits), scripted)
    for _ in range(5):
        await model.respond(request())
    with pytest.raises(BudgetSpent):
        await model.respond(request())
    assert len(scripted.requests) == 5


async def until_refused(log: UsageLog) -> None:
    """Break off one request after the other."""
    hangs = Hangs("claude-sonnet-5-5")
    for _ in range(100):
        hangs.asked.clear()
        asking = asyncio.create_task(metered(log, hangs).respond(request(), lambda _: None))
        came = asyncio.create_task(hangs.asked.wait())
        await asyncio.wait({asking, came}, timeout=60, return_when=asyncio.FIRST_COMPLETED)
        came.cancel()
        asking.cancel()
        with suppress(asyncio.CancelledError):
            await asking


async def test_requests_that_are_broken_off_use_up_a_money_budget_too(table: UsageTable) -> None:
    with pytest.raises(BudgetSpent):
        await until_refused(on(table, FEW))
    total, _ = await table.of_day("2026-11-20", "owner")
    assert total.requests == total.failed == total.estimated > 1
    assert (total.unpriced, total.output_tokens) == (0, 10 * total.requests)
