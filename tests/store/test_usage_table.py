"""The counters of what models cost."""

from __future__ import annotations

import asyncio

import pytest

from microclaw.store.database import Database
from microclaw.store.usage import MAX_GROUPS, UsageCount, UsageGroup, UsageKey, UsageTable

ONE = UsageCount(1, 0, 0, 0, 1000, 100, 600, 4_500_000)


def key(
    day: str = "2026-11-20",
    person: str = "owner",
    *,
    channel: str = "terminal",
    chat: str = "main",
    model: str = "claude",
    task: str = "chat",
) -> UsageKey:
    return UsageKey(day, person, channel, chat, model, task)


@pytest.fixture
def table(database: Database) -> UsageTable:
    return UsageTable(database)


async def test_requests_of_one_row_add_up_however_many_come_at_once(table: UsageTable) -> None:
    await asyncio.gather(*(table.add(key(), ONE) for _ in range(200)))
    [(day, count)] = await table.report("day", "2026-11-20")
    assert day == "2026-11-20"
    assert count == UsageCount(200, 0, 0, 0, 200_000, 20_000, 120_000, 900_000_000)
    assert (count.tokens, count.cost_usd) == (220_000, 0.9)


@pytest.mark.parametrize(
    ("by", "names"),
    [
        ("day", ["2026-11-19", "2026-11-20"]),
        ("person", ["owner", "p-2"]),
        ("chat", ["terminal:main", "telegram:7"]),
        ("model", ["claude", "gpt"]),
        ("task", ["chat", "summary"]),
    ],
)
async def test_groups_come_in_days_or_dearest_first_and_a_persons_have_nothing_of_others(
    table: UsageTable, by: UsageGroup, names: list[str]
) -> None:
    for day in ("2026-11-20", "2026-11-19", "2026-10-01"):
        await table.add(key(day), ONE)
    await table.add(key(person="p-2", channel="telegram", chat="7", model="gpt", task="summary"), ONE)
    assert [name for name, _ in await table.report(by, "2026-11-01")] == names
    assert [name for name, _ in await table.report(by, "2026-11-01", "p-2")] == names[1:]


async def test_a_report_has_a_longest_length_and_loses_no_count(table: UsageTable) -> None:
    await asyncio.gather(*(table.add(key(chat=f"c{n}"), ONE) for n in range(MAX_GROUPS + 5)))
    groups = await table.report("chat", "2026-11-01")
    assert len(groups) == MAX_GROUPS + 1
    assert groups[-1][0] == "5 others"
    assert sum(count.requests for _, count in groups) == MAX_GROUPS + 5
