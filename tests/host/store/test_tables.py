"""The tables of effects, of what models cost, and of what waits for the MQTT broker."""

from __future__ import annotations

import asyncio
from itertools import count

import pytest
from msgspec.structs import replace

from microclaw.errors import StoreError
from microclaw.host.store.database import Database
from microclaw.host.store.journal import EffectKey, Journal, prune_effects
from microclaw.host.store.mqtt import ROW_BYTES, BufferedMessage, BufferSize, MqttBuffer
from microclaw.host.store.usage import MAX_GROUPS, UsageCount, UsageGroup, UsageKey, UsageTable

KEY = EffectKey("turn-1", 0, 0)


@pytest.fixture
def journal(database: Database) -> Journal:
    return Journal(database, count(1000).__next__)


async def start(journal: Journal, key: EffectKey = KEY, effect: str = "once") -> None:
    await journal.write([journal.build_start(key, "t", "{}", effect)])


async def end(journal: Journal, key: EffectKey = KEY, *, ok: bool = True) -> None:
    await journal.write([journal.build_end(key, "{}", ok=ok)])


async def test_effect_starts_and_ends_once(journal: Journal) -> None:
    for turn, ok, state in (("turn-1", True, "done"), ("turn-2", False, "failed")):
        key = EffectKey(turn, 0, 0)
        with pytest.raises(StoreError):
            await end(journal, key)
        await start(journal, key, effect="idempotent")
        with pytest.raises(StoreError):
            await start(journal, key)
        await end(journal, key, ok=ok)
        with pytest.raises(StoreError):
            await end(journal, key)
        (row,) = await journal.of_turn(turn)
        assert (row.state, row.result, row.effect, row.planned_ms) == (state, "{}", "idempotent", row.started_ms)
    assert await journal.unfinished() == ()


async def test_pruning_spares_the_newest_and_the_unfinished(journal: Journal, database: Database) -> None:
    for index in range(4):
        await start(journal, EffectKey("t", 0, index))
        if index:
            await end(journal, EffectKey("t", 0, index))
    newest = (await journal.of_turn("t"))[-1].planned_ms
    assert await database.write(lambda c: prune_effects(c, 0, rows=2)) == 1
    assert await database.write(lambda c: prune_effects(c, newest)) == 1
    assert [row.position for row in await journal.of_turn("t")] == [0, 3]


ONE = UsageCount(1, 0, 0, 0, 1000, 100, 600, 4_500_000)
ROW = UsageKey("2026-11-20", "owner", "terminal", "main", "claude", "chat")
OTHERS = replace(ROW, person="p-2", channel="telegram", chat_id="7", model="gpt", task="summary")
GROUPS: dict[UsageGroup, list[str]] = {"day": ["2026-11-19", "2026-11-20"], "person": ["owner", "p-2"]}


async def test_counts_of_one_row_add_up_and_groups_come_in_days_or_dearest_first(database: Database) -> None:
    table = UsageTable(database)
    await asyncio.gather(*(table.add(ROW, ONE) for _ in range(200)))
    [(day, count)] = await table.report("day", "2026-11-20")
    assert (day, count) == ("2026-11-20", UsageCount(200, 0, 0, 0, 200_000, 20_000, 120_000, 900_000_000))
    assert (count.tokens, count.cost_usd) == (220_000, 0.9)
    for key in (replace(ROW, day="2026-11-19"), replace(ROW, day="2026-10-01"), OTHERS):
        await table.add(key, ONE)
    for by, names in GROUPS.items():
        assert [name for name, _ in await table.report(by, "2026-11-01")] == names
        assert [name for name, _ in await table.report(by, "2026-11-01", "p-2")] == names[1:], "nothing of others"


async def test_a_report_has_a_longest_length_and_loses_no_count(database: Database) -> None:
    table = UsageTable(database)
    await asyncio.gather(*(table.add(replace(ROW, chat_id=f"c{n}"), ONE) for n in range(MAX_GROUPS + 5)))
    groups = await table.report("chat", "2026-11-01")
    assert (len(groups), groups[-1][0]) == (MAX_GROUPS + 1, "5 others")
    assert sum(count.requests for _, count in groups) == MAX_GROUPS + 5


BODY = b"x" * (1000 - ROW_BYTES - 1)


async def test_a_full_buffer_loses_the_oldest_telemetry_first_and_counts_it(database: Database) -> None:
    buffer = MqttBuffer(database, limit_bytes=20_000)
    await buffer.add([BufferedMessage("event", "e", BODY) for _ in range(5)])
    await buffer.add([BufferedMessage("telemetry", "t", BODY) for _ in range(16)])
    assert buffer.sizes == {"event": BufferSize(5, 5_000, 0), "telemetry": BufferSize(14, 14_000, 2)}
    left = await buffer.after(0, 100)
    assert [(row.kind, row.payload == BODY) for row in left] == [("event", True)] * 5 + [("telemetry", True)] * 14
    await buffer.remove([row.number for row in left[:6]] + [999])
    await buffer.remove([])
    again = MqttBuffer(database)
    await again.open()
    assert again.sizes == buffer.sizes == {"event": BufferSize(), "telemetry": BufferSize(13, 13_000, 2)}
    await buffer.add([BufferedMessage("event", "e", BODY) for _ in range(30)])
    events = buffer.sizes["event"]
    assert buffer.sizes["telemetry"].messages == 0
    assert events.messages + events.lost == 30
    assert events.size_bytes <= 20_000
