"""The counters of what models cost: exact however many come at once, grouped, and bounded in a report."""

from __future__ import annotations

import asyncio

from msgspec.structs import replace

from microclaw.store.database import Database
from microclaw.store.usage import MAX_GROUPS, UsageCount, UsageGroup, UsageKey, UsageTable

ONE = UsageCount(1, 0, 0, 0, 1000, 100, 600, 4_500_000)
KEY = UsageKey("2026-11-20", "owner", "terminal", "main", "claude", "chat")
OTHERS = replace(KEY, person="p-2", channel="telegram", chat_id="7", model="gpt", task="summary")
GROUPS: dict[UsageGroup, list[str]] = {
    "day": ["2026-11-19", "2026-11-20"],
    "person": ["owner", "p-2"],
    "chat": ["terminal:main", "telegram:7"],
    "model": ["claude", "gpt"],
    "task": ["chat", "summary"],
}


async def test_counts_of_one_row_add_up_and_groups_come_in_days_or_dearest_first(database: Database) -> None:
    table = UsageTable(database)
    await asyncio.gather(*(table.add(KEY, ONE) for _ in range(200)))
    [(day, count)] = await table.report("day", "2026-11-20")
    assert (day, count) == ("2026-11-20", UsageCount(200, 0, 0, 0, 200_000, 20_000, 120_000, 900_000_000))
    assert (count.tokens, count.cost_usd) == (220_000, 0.9)
    for key in (replace(KEY, day="2026-11-19"), replace(KEY, day="2026-10-01"), OTHERS):
        await table.add(key, ONE)
    for by, names in GROUPS.items():
        assert [name for name, _ in await table.report(by, "2026-11-01")] == names
        assert [name for name, _ in await table.report(by, "2026-11-01", "p-2")] == names[1:], "nothing of others"


async def test_a_report_has_a_longest_length_and_loses_no_count(database: Database) -> None:
    table = UsageTable(database)
    await asyncio.gather(*(table.add(replace(KEY, chat_id=f"c{n}"), ONE) for n in range(MAX_GROUPS + 5)))
    groups = await table.report("chat", "2026-11-01")
    assert (len(groups), groups[-1][0]) == (MAX_GROUPS + 1, "5 others")
    assert sum(count.requests for _, count in groups) == MAX_GROUPS + 5
