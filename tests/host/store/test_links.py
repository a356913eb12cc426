from __future__ import annotations

import itertools
import os
from collections.abc import Callable

import pytest

from microclaw.errors import NewerConnection, Overloaded, StoreError
from microclaw.host.store.database import Database
from microclaw.host.store.links import MAX_BYTES, LinkHolderTable, LinkTable, renew_all
from microclaw.wire.link.sequence import InboxCursor, OutboxCursor, StoredMessage

D = "d-1"
THEIRS = b"their-ep"
NEW = b"new-epoc"


def epochs() -> Callable[[int], bytes]:
    count = itertools.count(1)
    return lambda size: next(count).to_bytes(size)


def message_id(number: int) -> bytes:
    return number.to_bytes(16)


@pytest.fixture
async def links(database: Database) -> LinkTable:
    links = LinkTable(database, now_ms=lambda: 1000, random_bytes=epochs())
    await links.open(D)
    return links


async def append(links: LinkTable, *numbers: int) -> list[int]:
    return [await links.append(D, message_id(n), b"m%d" % n) for n in numbers]


async def advance(links: LinkTable, number: int, epoch: bytes = THEIRS, *, at: int | None = None) -> bool:
    return await links.advance(D, epoch, number if at is None else at, message_id(number))


async def test_messages_are_numbered_without_a_gap_each_once_and_an_ack_never_goes_back(links: LinkTable) -> None:
    with pytest.raises(StoreError):
        await links.ack(D, 1)
    assert await append(links, 1, 2, 3, 1, 4) == [1, 2, 3, 1, 4]
    assert await links.unacked_after(D, 0, 2) == (StoredMessage(1, b"m1"), StoredMessage(2, b"m2"))
    assert await links.unacked_after(D, 2, 99) == (StoredMessage(3, b"m3"), StoredMessage(4, b"m4"))
    await links.ack(D, 3)
    await links.ack(D, 2)
    assert (await links.cursors(D))[0][1:] == (3, 4)
    assert [seq for seq, _ in await links.unacked_after(D, 0, 9)] == [4]
    await links.ack(D, 4)
    assert await append(links, 6) == [5]


async def test_renewed_epoch_numbers_what_waits_from_one(links: LinkTable) -> None:
    await append(links, 1, 2, 3, 4)
    await links.ack(D, 2)
    before, _ = await links.cursors(D)
    renewed = await links.renew(D)
    assert renewed == (await links.cursors(D))[0] == OutboxCursor(renewed.epoch, 0, 2)
    assert renewed.epoch != before.epoch
    assert await links.unacked_after(D, 0, 9) == (StoredMessage(1, b"m3"), StoredMessage(2, b"m4"))
    assert await append(links, 5) == [3]


async def test_restored_backup_renews_every_epoch_and_a_forgotten_device_has_no_link(
    links: LinkTable, database: Database
) -> None:
    await append(links, 1)
    await links.forget(D)
    assert await links.newest() == {}
    with pytest.raises(StoreError):
        await append(links, 2)
    for device_id in (D, "d-2"):
        await links.open(device_id)
    assert (await links.cursors(D))[0][1:] == (0, 0)
    before = [(await links.cursors(device_id))[0].epoch for device_id in (D, "d-2")]
    assert await database.write(lambda sql: renew_all(sql, os.urandom)) == 2
    after = [(await links.cursors(device_id))[0].epoch for device_id in (D, "d-2")]
    assert len({*before, *after}) == 4


@pytest.mark.parametrize(("count", "size_bytes"), [(20, 1), (4, MAX_BYTES // 4)])
async def test_full_outbox_refuses_and_keeps_its_numbers(
    links: LinkTable, monkeypatch: pytest.MonkeyPatch, count: int, size_bytes: int
) -> None:
    monkeypatch.setattr("microclaw.host.store.links.MAX_MESSAGES", 20)
    for n in range(count):
        await links.append(D, message_id(n), bytes(size_bytes))
    with pytest.raises(Overloaded):
        await append(links, count)
    assert await append(links, 0) == [1]
    await links.ack(D, 1)
    assert await append(links, count) == [count + 1]


async def test_inbox_takes_each_message_once_without_a_gap_and_its_effect_with_the_cursor(links: LinkTable) -> None:
    def fail(_: object) -> None:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        await links.advance(D, THEIRS, 1, message_id(1), effect=fail)
    assert (await links.cursors(D))[1] == InboxCursor(None, 0)
    done: list[int] = []
    for _ in range(2):
        await links.advance(D, THEIRS, 1, message_id(1), effect=lambda _: done.append(1))
    assert done == [1]
    assert [await advance(links, n) for n in (2, 2, 1)] == [True, False, False]
    assert (await links.cursors(D))[1] == InboxCursor(THEIRS, 2)
    for epoch, at in ((THEIRS, 4), (NEW, 2)):
        with pytest.raises(StoreError):
            await advance(links, 3, epoch, at=at)


async def test_new_epoch_starts_at_one_and_the_newest_that_were_applied_are_not_applied_again(
    links: LinkTable, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    remembered = 16
    monkeypatch.setattr("microclaw.host.store.links.REMEMBERED_IDS", remembered)
    last = remembered + 20
    for n in range(1, last + 1):
        await advance(links, n)
    (kept,) = await database.read(lambda sql: sql.execute("SELECT count(*) FROM link_applied").fetchone())
    assert kept == remembered
    for epoch in (NEW, b"epoch--3"):  # repeating what is known makes nothing forgotten
        for at, n in enumerate(range(last - remembered + 1, last + 1), 1):
            assert not await advance(links, n, epoch, at=at)
    assert await advance(links, last + 1, b"epoch--3", at=remembered + 1)


async def test_the_host_of_an_older_connection_moves_no_cursor(links: LinkTable, database: Database) -> None:
    holders = LinkHolderTable(database)
    older = await holders.take(D, "a")
    newer = await holders.take(D, "b")
    await append(links, 1)
    for act in (
        links.ack(D, 1, older), links.renew(D, older), links.advance(D, THEIRS, 1, message_id(1), fence=older)
    ):  # fmt: skip
        with pytest.raises(NewerConnection):
            await act
    assert await links.advance(D, THEIRS, 1, message_id(1), fence=newer)
    await links.ack(D, 1, newer)


async def test_after_a_removal_no_connection_is_older_than_those_before(links: LinkTable, database: Database) -> None:
    """Hosts look for what is newer than what they saw: they would never see it."""
    holders = LinkHolderTable(database)
    *_, newest = [await holders.take(D, "a") for _ in range(3)]
    await links.forget(D)
    assert await holders.take("d-2", "b") > newest
