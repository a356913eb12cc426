from __future__ import annotations

from itertools import count
from pathlib import Path

import pytest

from microclaw.errors import StoreError
from microclaw.events import Inbound
from microclaw.store.database import Database
from microclaw.store.inbox import InboxTable
from microclaw.store.journal import EffectKey, Journal, TurnRow
from microclaw.store.outbox import NewOutbound

KEY = EffectKey("turn-1", 0, 0)


@pytest.fixture
def journal(database: Database) -> Journal:
    return Journal(database, count(1000).__next__)


async def test_effect_goes_from_planned_over_started_to_done(journal: Journal) -> None:
    await journal.planned(KEY, "gpio-set", '{"pin":2}', "idempotent")
    await journal.started(KEY)
    await journal.done(KEY, '{"level":1}', ok=True)
    row = await journal.get(KEY)
    assert row is not None
    assert (row.state, row.result, row.effect) == ("done", '{"level":1}', "idempotent")
    assert (row.planned_ms, row.started_ms, row.finished_ms) == (1000, 1001, 1002)
    assert await journal.unfinished() == ()


async def test_failed_effect_is_finished_too(journal: Journal) -> None:
    await journal.planned(KEY, "t", "{}", "once")
    await journal.started(KEY)
    await journal.done(KEY, "refused", ok=False)
    row = await journal.get(KEY)
    assert row is not None
    assert row.state == "failed"
    assert await journal.unfinished() == ()


async def test_crash_leaves_what_was_planned_and_what_was_started(store_path: Path) -> None:
    async with Database.open(store_path) as database:
        journal = Journal(database, count().__next__)
        for index in range(3):
            await journal.planned(EffectKey("t", 0, index), "deploy", "{}", "once")
        await journal.started(EffectKey("t", 0, 0))
        await journal.started(EffectKey("t", 0, 2))
        await journal.done(EffectKey("t", 0, 2), "{}", ok=True)
    async with Database.open(store_path) as database:
        left = await Journal(database, count().__next__).unfinished()
        assert [(row.key, row.tool, row.arguments, row.effect, row.state) for row in left] == [
            (EffectKey("t", 0, 0), "deploy", "{}", "once", "started"),
            (EffectKey("t", 0, 1), "deploy", "{}", "once", "planned"),
        ]


async def test_effect_that_never_started_can_only_be_dropped(journal: Journal) -> None:
    await journal.planned(KEY, "t", "{}", "once")
    with pytest.raises(StoreError):
        await journal.done(KEY, "{}", ok=True)
    await journal.done(KEY, "interrupted", ok=False)
    row = await journal.get(KEY)
    assert row is not None
    assert row.state == "dropped"


async def test_effect_starts_and_ends_once(journal: Journal) -> None:
    await journal.planned(KEY, "t", "{}", "once")
    await journal.started(KEY)
    with pytest.raises(StoreError):
        await journal.started(KEY)
    await journal.done(KEY, "{}", ok=True)
    with pytest.raises(StoreError):
        await journal.done(KEY, "{}", ok=False)


async def test_effect_is_planned_once(journal: Journal) -> None:
    await journal.planned(KEY, "t", "{}", "once")
    with pytest.raises(StoreError):
        await journal.planned(KEY, "t", "{}", "once")


async def test_rows_of_a_turn_are_kept_in_order_and_with_the_effect_that_follows_them(database: Database) -> None:
    journal, inbox = Journal(database, count(1000).__next__), InboxTable(database, lambda: 1)
    number = (await inbox.add(Inbound("test", "c1", "hi")))[0].message_id
    other = (await inbox.add(Inbound("test", "c1", "and this")))[0].message_id
    await journal.add([TurnRow(number, 0, "a reply"), TurnRow(number, 1, "joined", joins=other)])
    await journal.planned(KEY, "t", "{}", "once", rows=[TurnRow(number, 2, "another reply")])
    assert [row.body for row in await journal.rows(number)] == ["a reply", "joined", "another reply"]
    assert [row.message_id for row in await inbox.unanswered()] == [number]
    with pytest.raises(StoreError):
        await journal.planned(KEY, "t", "{}", "once", rows=[TurnRow(number, 3, "lost with it")])
    assert len(await journal.rows(number)) == 3
    await inbox.answer(number, NewOutbound("test", "c1", "answer", "owner", None, "{}"))
    assert await journal.rows(number) == ()


async def test_unknown_effect_and_unknown_class_are_refused(journal: Journal) -> None:
    with pytest.raises(StoreError):
        await journal.started(KEY)
    with pytest.raises(StoreError):
        await journal.planned(KEY, "t", "{}", "sometimes")
    assert await journal.get(KEY) is None


async def test_turns_effects_come_in_order(journal: Journal) -> None:
    keys = [EffectKey("turn-1", 0, 0), EffectKey("turn-1", 0, 1), EffectKey("turn-1", 1, 0)]
    for key in keys:
        await journal.planned(key, "t", "{}", "read")
    await journal.planned(EffectKey("turn-2", 0, 0), "t", "{}", "read")
    assert [row.key for row in await journal.of_turn("turn-1")] == keys


async def test_pruning_spares_the_new_and_the_unfinished(journal: Journal) -> None:
    for index in range(3):
        await journal.planned(EffectKey("t", 0, index), "t", "{}", "once")
        if index != 1:
            await journal.started(EffectKey("t", 0, index))
            await journal.done(EffectKey("t", 0, index), "{}", ok=True)
    newest = await journal.get(EffectKey("t", 0, 2))
    assert newest is not None
    assert await journal.prune(newest.planned_ms) == 1
    assert [row.key.index for row in await journal.of_turn("t")] == [1, 2]


async def test_finished_effects_beyond_the_newest_are_forgotten_and_open_ones_stay(journal: Journal) -> None:
    for number in range(4):
        key = EffectKey(f"t{number}", 0, 0)
        await journal.planned(key, "undo", "{}", "once")
        if number:
            await journal.started(key)
            await journal.done(key, "{}", ok=True)
    assert await journal.prune(0, rows=1) == 2
    assert await journal.get(EffectKey("t0", 0, 0)) is not None
    assert await journal.get(EffectKey("t3", 0, 0)) is not None
