"""Requests counted for whom they were made, and budgets that stop before anything is sent."""

from __future__ import annotations

import asyncio
import datetime
from collections.abc import AsyncIterator, Iterable
from contextlib import suppress
from pathlib import Path

import pytest
from msgspec.structs import replace
from tests.models.asking import anthropic, openai, request
from tests.models.event_streams import Events, anthropic_stream, openai_chunk, openai_stream
from tests.models.model_server import server

from microclaw.config.settings import BudgetSettings, ModelChoice, ModelSettings
from microclaw.errors import BudgetSpent, ModelError
from microclaw.events import Usage
from microclaw.models.breaker import Breaker
from microclaw.models.budget import LocalDays
from microclaw.models.protocol import AskedBy, DeviceContext, Model, ModelReply, ModelRequest, OnText, UserText
from microclaw.models.router import Router, choose_model
from microclaw.models.scripted import Scripted, ScriptedModel, say
from microclaw.models.usage import UsageLog
from microclaw.offline.model import OfflineModel
from microclaw.store.database import Database
from microclaw.store.usage import UsageCount, UsageTable

NOON = datetime.datetime(2026, 11, 20, 12, tzinfo=datetime.UTC).timestamp()


def metered(model: Model, usage_log: UsageLog) -> Router:
    return Router(((model, Breaker(lambda: 0.0)),), usage_log=usage_log)


class Hangs(ScriptedModel):
    """Says ten tokens, then nothing more."""

    def __init__(self, replies: Iterable[Scripted]) -> None:
        super().__init__(replies)
        self.asked = asyncio.Event()

    async def respond(self, request: ModelRequest, on_text: OnText | None = None) -> ModelReply:
        self.asked.set()
        if on_text is not None:
            on_text("x" * 40)
        await asyncio.Event().wait()
        raise AssertionError


@pytest.fixture
async def table(tmp_path: Path) -> AsyncIterator[UsageTable]:
    async with Database.open(tmp_path / "home" / "store.db") as database:
        yield UsageTable(database)


@pytest.fixture
def days() -> LocalDays:
    return LocalDays(lambda: NOON, "Europe/Vienna")


@pytest.fixture
def usage_log(table: UsageTable, days: LocalDays) -> UsageLog:
    return UsageLog(table, days)


async def only(usage_log: UsageLog) -> UsageCount:
    [(_, count)] = (await usage_log.report("day", 1)).groups
    return count


async def test_a_request_is_counted_for_whom_it_was_made(usage_log: UsageLog) -> None:
    model = metered(ScriptedModel([say("hi", usage=Usage(1000, 100, 0.0045, 600))] * 2), usage_log)

    async def turn(asked_by: AskedBy) -> None:
        await model.respond(replace(request(), asked_by=asked_by))

    await asyncio.gather(turn(AskedBy("owner", "terminal", "main")), turn(AskedBy("p-2", "telegram", "7")))
    assert {name: c.requests for name, c in (await usage_log.report("person")).groups} == {"owner": 1, "p-2": 1}
    assert {name for name, _ in (await usage_log.report("chat")).groups} == {"terminal:main", "telegram:7"}
    count = await only(usage_log)
    assert count == UsageCount(2, 0, 0, 0, 2000, 200, 1200, 9_000_000)


async def test_a_real_answers_tokens_and_price_are_counted(usage_log: UsageLog) -> None:
    async with server((200, Events(anthropic_stream("on", cached=600)))) as s:
        model = metered(anthropic(s.url), usage_log)
        reply = await model.respond(request(), lambda _: None)
        await model.aclose()
    count = await only(usage_log)
    assert (count.input_tokens, count.output_tokens, count.cached_tokens) == (1000, 100, 600)
    assert reply.usage.cost_usd is not None
    assert count.cost_usd == pytest.approx(reply.usage.cost_usd)
    assert (await usage_log.report("model")).groups[0][0] == "claude-sonnet-5-5"


async def test_a_server_that_tells_no_tokens_is_counted_by_an_estimate(usage_log: UsageLog) -> None:
    chunks = [openai_chunk({"content": "x" * 400}), openai_chunk({}, "stop"), b"data: [DONE]\n\n"]
    async with server((200, Events(chunks))) as s:
        model = metered(openai(s.url), usage_log)
        await model.respond(request(UserText("y" * 4000)), lambda _: None)
        await model.aclose()
    count = await only(usage_log)
    assert (count.requests, count.estimated, count.unpriced, count.output_tokens) == (1, 1, 1, 100)
    assert 1000 <= count.input_tokens <= 1100


async def test_an_answer_that_breaks_off_is_counted_as_far_as_it_came(usage_log: UsageLog) -> None:
    async with server((200, Events(openai_stream("x" * 400)[:2], end="cut"))) as s:
        model = metered(openai(s.url), usage_log)
        with pytest.raises(ModelError):
            await model.respond(request(), lambda _: None)
        await model.aclose()
    count = await only(usage_log)
    assert (count.requests, count.failed, count.estimated, count.output_tokens) == (1, 1, 1, 100)
    assert count.input_tokens > 0


async def test_a_refused_request_costs_nothing(usage_log: UsageLog) -> None:
    model = metered(ScriptedModel([ModelError("no", fault="auth")]), usage_log)
    with pytest.raises(ModelError):
        await model.respond(request())
    assert await only(usage_log) == UsageCount(requests=1, failed=1)


async def test_each_model_that_was_asked_is_counted_under_its_own_name(usage_log: UsageLog) -> None:
    first, second = ScriptedModel([ModelError("no", fault="auth")]), ScriptedModel([say("hi", usage=Usage(10, 1, 0.0))])
    first.name, second.name = "first", "second"
    await Router(tuple((one, Breaker(lambda: 0.0)) for one in (first, second)), usage_log=usage_log).respond(request())
    counted = {name: (count.requests, count.failed) for name, count in (await usage_log.report("model")).groups}
    assert counted == {"first": (1, 1), "second": (1, 0)}


async def test_a_cancelled_request_is_counted(usage_log: UsageLog) -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await metered(Hangs([]), usage_log).respond(request(), lambda _: None)
    count = await only(usage_log)
    assert (count.failed, count.estimated, count.output_tokens) == (1, 1, 10)


SPENT = UsageCount(7, 0, 0, 0, 50_000, 5_000, 0, 2_040_000_000)


async def test_another_person_and_another_day_have_their_own_budget(
    usage_log: UsageLog, table: UsageTable, days: LocalDays
) -> None:
    await usage_log.record(AskedBy("p-2"), "claude", "chat", SPENT)
    limits = BudgetSettings(person_day_usd=2)

    async def ask(person: str, on: LocalDays) -> None:
        await UsageLog(table, on, limits).check(AskedBy(person))

    await ask("owner", days)
    with pytest.raises(BudgetSpent):
        await ask("p-2", days)
    await ask("p-2", LocalDays(lambda: NOON + 86_400, "Europe/Vienna"))


async def test_a_spent_budget_is_not_answered_by_the_next_model_nor_stops_the_offline_one(
    usage_log: UsageLog, table: UsageTable, days: LocalDays, device_context: DeviceContext
) -> None:
    await usage_log.record(AskedBy(), "claude", "chat", SPENT)
    limited = UsageLog(table, days, BudgetSettings(day_usd=1))
    async with server() as s:
        settings = ModelSettings(ModelChoice("openai", "m", base_url=f"{s.url}/v1"))
        model = choose_model(settings, OfflineModel(), usage_log=limited)
        with pytest.raises(BudgetSpent):
            await model.respond(ModelRequest("", (UserText("tell me of love"),), (), device_context=device_context))
        reply = await model.respond(ModelRequest("", (UserText("set pin 4 on"),), (), device_context=device_context))
        assert reply.model == "offline"
        await model.aclose()
        assert s.paths == []
    assert (await only(usage_log)).requests == 7


@pytest.mark.parametrize(
    ("at", "zone", "today", "midnight"),
    [
        ("2026-11-20T22:59:59+00:00", "Europe/Vienna", "2026-11-20", "2026-11-21T00:00:00+01:00"),
        ("2026-11-20T23:00:00+00:00", "Europe/Vienna", "2026-11-21", "2026-11-22T00:00:00+01:00"),
        ("2026-03-28T23:30:00+00:00", "Europe/Vienna", "2026-03-29", "2026-03-30T00:00:00+02:00"),  # 23 hours
        ("2026-10-24T22:30:00+00:00", "Europe/Vienna", "2026-10-25", "2026-10-26T00:00:00+01:00"),  # 25 hours
        ("2026-11-20T12:00:00+00:00", "Asia/Kolkata", "2026-11-20", "2026-11-21T00:00:00+05:30"),
    ],
)
def test_days_are_those_of_the_persons_calendar(at: str, zone: str, today: str, midnight: str) -> None:
    days = LocalDays(datetime.datetime.fromisoformat(at).timestamp, zone)
    assert days.today().isoformat() == today
    assert days.next_midnight().isoformat() == midnight


async def test_old_days_are_forgotten(table: UsageTable) -> None:
    long_ago = UsageLog(table, LocalDays(lambda: NOON - 500 * 86_400, "UTC"))
    await long_ago.record(AskedBy(), "m", "chat", SPENT)
    await UsageLog(table, LocalDays(lambda: NOON, "UTC")).record(AskedBy(), "m", "chat", SPENT)
    assert [day for day, _ in await table.report("day", "2000-01-01")] == ["2026-11-20"]


@pytest.mark.parametrize(
    "limits",
    [
        BudgetSettings(day_tokens=5_000),
        BudgetSettings(person_day_tokens=5_000),
        BudgetSettings(day_usd=0.05),
        BudgetSettings(person_day_usd=0.05),
    ],
)
async def test_nothing_is_sent_once_the_budget_is_used_up(
    table: UsageTable, days: LocalDays, limits: BudgetSettings
) -> None:
    scripted = ScriptedModel([say("hi", usage=Usage(900, 100, 0.01))] * 8)
    model = metered(scripted, UsageLog(table, days, limits))
    for _ in range(5):
        await model.respond(request())
    with pytest.raises(BudgetSpent) as caught:
        await model.respond(request())
    assert (caught.value.code, len(scripted.requests)) == ("budget_spent", 5)


FEW = BudgetSettings(day_usd=0.000_4)  # a few requests, by the price list


async def until_refused(hangs: Hangs, log: UsageLog) -> None:
    """Break off one request after the other."""
    for _ in range(100):
        hangs.asked.clear()
        asking = asyncio.create_task(metered(hangs, log).respond(request(), lambda _: None))
        came = asyncio.create_task(hangs.asked.wait())
        await asyncio.wait({asking, came}, timeout=60, return_when=asyncio.FIRST_COMPLETED)
        came.cancel()
        asking.cancel()
        with suppress(asyncio.CancelledError):
            await asking


async def test_requests_that_are_broken_off_use_up_a_money_budget_too(table: UsageTable, days: LocalDays) -> None:
    hangs = Hangs([])
    hangs.name = "claude-sonnet-5-5"
    with pytest.raises(BudgetSpent):
        await until_refused(hangs, UsageLog(table, days, FEW))
    total, _ = await table.of_day("2026-11-20", "owner")
    assert total.requests == total.failed > 1
    assert total.unpriced == 0


async def test_one_answer_without_tokens_leaves_the_money_budget_on(table: UsageTable, days: LocalDays) -> None:
    log = UsageLog(table, days, FEW)
    told, untold = say("hi", usage=Usage(10, 10, 0.000_01)), say("hi", usage=Usage())
    answering = ScriptedModel([untold, told])
    answering.name = "claude-sonnet-5-5"
    model = metered(answering, log)
    for _ in range(2):
        await model.respond(request())
    hangs = Hangs([])
    hangs.name = "claude-sonnet-5-5"
    with pytest.raises(BudgetSpent):
        await until_refused(hangs, log)
