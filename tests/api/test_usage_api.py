"""What models cost, over the API and on the command line: a real store and a real socket, requests really counted."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from fastapi import FastAPI
from tests.stores import new_store

from microclaw.api.caller import LOCAL_OWNER, Caller, CallerMiddleware
from microclaw.api.failures import add_failure_handlers
from microclaw.api.parts import HostParts
from microclaw.api.people_routes import usage_router
from microclaw.api.server import Listener, serving, unix_listener
from microclaw.app.agent import build_model
from microclaw.auth.people import Person
from microclaw.client import Client
from microclaw.client.request import HostError
from microclaw.config.load import load_settings
from microclaw.config.settings import BudgetSettings, Settings
from microclaw.models.protocol import AskedBy
from microclaw.models.usage import UsageLog
from microclaw.store.database import Database
from microclaw.store.usage import UsageCount

NO_LIMITS = BudgetSettings()
ONE = UsageCount(2, 1, 1, 1, 12_000, 300, 9_000, 1_234_500_000)
PEOPLE = {"owner": Person("owner", "owner", "owner"), "p-2": Person("p-2", "Ana", "member")}


@dataclass
class Running:
    settings: Settings
    usage_log: UsageLog


@asynccontextmanager
async def running(home: Path, caller: Caller, budget: BudgetSettings) -> AsyncIterator[Running]:
    settings = replace(load_settings({}, home=home), budget=budget)
    async with Database.open(new_store(settings.database)) as database, asyncio.TaskGroup() as group:
        _, usage_log = build_model(settings, database)
        admission = SimpleNamespace(people=SimpleNamespace(get=PEOPLE.get))
        parts = cast(HostParts, SimpleNamespace(settings=settings, usage=usage_log, admission=admission))
        app = FastAPI()
        add_failure_handlers(app)
        app.include_router(usage_router(parts))
        with unix_listener(settings.control_socket) as listener:
            async with serving([Listener("control", CallerMiddleware(app, caller), listener)], group):
                await usage_log.record(AskedBy("owner", "terminal", "main"), "claude", "chat", ONE)
                await usage_log.record(
                    AskedBy("p-2", "telegram", "7"), "gpt", "summary", UsageCount(1, 0, 0, 0, 100, 10)
                )
                yield Running(settings, usage_log)


async def asked(home: Path, *, caller: Caller = LOCAL_OWNER, budget: BudgetSettings = NO_LIMITS, **query: Any) -> Any:
    async with running(home, caller, budget) as host:
        return await asyncio.to_thread(Client(host.settings.control_socket).get, "/v1/usage", query)


@pytest.mark.parametrize(
    ("by", "names"),
    [
        ("person", ["owner", "Ana"]),
        ("chat", ["terminal:main", "telegram:7"]),
        ("model", ["claude", "gpt"]),
        ("task", ["chat", "summary"]),
    ],
)
async def test_the_owner_sees_everybodys_dearest_first(tmp_path: Path, by: str, names: list[str]) -> None:
    found = await asked(tmp_path / "h", by=by, days=7)
    assert [group[by] for group in found["groups"]] == names
    assert (found["days"], found["total"]["requests"], found["total"]["cost_usd"]) == (7, 3, 1.2345)


async def test_a_member_sees_the_own_requests_alone(tmp_path: Path) -> None:
    limits = BudgetSettings(day_usd=5, person_day_usd=1)
    found = await asked(tmp_path / "h", caller=Caller("p-2", direct=False, source="t-1"), budget=limits, by="chat")
    assert [group["chat"] for group in found["groups"]] == ["telegram:7"]
    assert (found["total"]["requests"], found["today"]["requests"], found["budget"]["day_usd"]) == (1, 1, 1)


@pytest.mark.parametrize("query", [{"by": "colour"}, {"days": 0}, {"days": 401}, {"days": "x"}])
async def test_a_wrong_question_is_refused(tmp_path: Path, query: dict[str, Any]) -> None:
    async with running(tmp_path / "h", LOCAL_OWNER, NO_LIMITS) as host:
        client = Client(host.settings.control_socket)
        with pytest.raises(HostError):
            await asyncio.to_thread(client.get, "/v1/usage", query)
