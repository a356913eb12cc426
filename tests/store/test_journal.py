from __future__ import annotations

from itertools import count

import pytest

from microclaw.errors import StoreError
from microclaw.store.database import Database
from microclaw.store.journal import EffectKey, Journal, prune_effects

KEY = EffectKey("turn-1", 0, 0)


@pytest.fixture
def journal(database: Database) -> Journal:
    return Journal(database, count(1000).__next__)


async def start(journal: Journal, key: EffectKey = KEY, effect: str = "once") -> None:
    await journal.write([journal.starting(key, "t", "{}", effect)])


async def end(journal: Journal, key: EffectKey = KEY, *, ok: bool = True) -> None:
    await journal.write([journal.ending(key, "{}", ok=ok)])


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
