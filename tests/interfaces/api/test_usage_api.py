"""The cost of models: a real store, requests really counted, and who sees which of them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest_asyncio
from tests.stores import new_store

from microclaw.agent.models import operations
from microclaw.agent.models.operations import UsageService
from microclaw.agent.models.protocol import AskedBy
from microclaw.agent.turn.setup import build_model
from microclaw.host.config.load import load_settings
from microclaw.host.config.settings import BudgetSettings
from microclaw.host.operations.operation import OperationCall
from microclaw.host.store.database import Database
from microclaw.host.store.people import Person
from microclaw.host.store.usage import UsageCount, UsageGroup

ONE = UsageCount(2, 1, 1, 1, 12_000, 300, 9_000, 1_234_500_000)
PEOPLE = {"owner": Person("owner", "owner", "owner"), "p-2": Person("p-2", "Ana", "member")}


def by(person_id: str, unused: Any = None) -> OperationCall:
    return OperationCall(person_id, unused)


@pytest_asyncio.fixture
async def service(tmp_path: Path) -> AsyncIterator[UsageService]:
    settings = replace(load_settings({}, home=tmp_path / "home"), budget=BudgetSettings(day_usd=5, person_day_usd=1))
    async with Database.open(new_store(settings.database)) as database:
        _, log = build_model(settings, database)
        await log.record(AskedBy("owner", "terminal", "main"), "claude", "chat", ONE)
        await log.record(AskedBy("p-2", "telegram", "7"), "gpt", "summary", UsageCount(1, 0, 0, 0, 100, 10))
        yield UsageService(log, PEOPLE.get)


async def test_the_owner_sees_everybodys_dearest_first_and_a_member_the_own_alone(service: UsageService) -> None:
    groups: dict[UsageGroup, list[str]] = {
        "person": ["owner", "Ana"],
        "chat": ["terminal:main", "telegram:7"],
        "model": ["claude", "gpt"],
        "task": ["chat", "summary"],
    }
    for group, names in groups.items():
        found = await operations.usage.run(service, by("owner"), by=group, days=7)
        assert [row.name for row in found.groups] == names
        assert (found.days, found.total.requests, found.total.cost_usd, found.budget.day_usd) == (7, 3, 1.2345, 5)
    for person_id in ("p-2", "p-2~guest"):
        found = await operations.usage.run(service, by(person_id), by="chat")
        assert [row.name for row in found.groups] == ["telegram:7"]
        assert (found.total.requests, found.today.requests, found.budget.day_usd) == (1, 1, 1)
