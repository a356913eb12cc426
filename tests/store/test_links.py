from __future__ import annotations

import itertools
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from microclaw.errors import Overloaded, StoreError
from microclaw.store.database import Database
from microclaw.store.links import MAX_BYTES, MAX_MESSAGES, REMEMBERED_IDS, LinkTable, renew_all
from microclaw.wire.link.sequence import InboxCursor, OutboxCursor, StoredMessage

OTHER = b"their-ep"


def epochs() -> Callable[[int], bytes]:
    count = itertools.count(1)
    return lambda size: next(count).to_bytes(size)


def message_id(number: int) -> bytes:
    return number.to_bytes(16)


@pytest.fixture
def links(database: Database) -> LinkTable:
    return LinkTable(database, now_ms=lambda: 1000, random_bytes=epochs())


async def test_outbox_begins_empty_in_an_epoch_that_stays(links: LinkTable) -> None:
    outbox, inbox = await links.open("d-1")
    first = await outbox.cursor()
    again, _ = await links.open("d-1")
    assert first == await again.cursor() == OutboxCursor(bytes(7) + b"\x01", 0, 0)
    assert await inbox.cursor() == InboxCursor(None, 0)


async def test_messages_are_numbered_without_a_gap_and_come_in_order(links: LinkTable) -> None:
    outbox, _ = await links.open("d-1")
    assert [await outbox.append(message_id(n), b"m%d" % n) for n in range(1, 6)] == [1, 2, 3, 4, 5]
    assert await outbox.unacked_after(0, 2) == (StoredMessage(1, b"m1"), StoredMessage(2, b"m2"))
    assert await outbox.unacked_after(2, 99) == (
        StoredMessage(3, b"m3"),
        StoredMessage(4, b"m4"),
        StoredMessage(5, b"m5"),
    )


async def test_same_message_again_keeps_its_number(links: LinkTable) -> None:
    outbox, _ = await links.open("d-1")
    assert await outbox.append(message_id(1), b"m") == await outbox.append(message_id(1), b"m") == 1
    assert (await outbox.cursor()).last == 1


async def test_devices_are_apart(links: LinkTable) -> None:
    one, inbox_one = await links.open("d-1")
    two, inbox_two = await links.open("d-2")
    await one.append(message_id(1), b"one")
    assert await two.append(message_id(1), b"two") == 1
    await inbox_one.advance(OTHER, 1, message_id(7))
    assert await inbox_two.advance(OTHER, 1, message_id(7))
    assert await links.waiting() == {"d-1": 1, "d-2": 1}


async def test_ack_drops_everything_up_to_it_and_never_goes_back(links: LinkTable) -> None:
    outbox, _ = await links.open("d-1")
    for n in range(1, 6):
        await outbox.append(message_id(n), b"m")
    await outbox.ack(3)
    await outbox.ack(2)
    assert (await outbox.cursor())[1:] == (3, 5)
    assert [seq for seq, _ in await outbox.unacked_after(0, 9)] == [4, 5]
    await outbox.ack(5)
    assert await outbox.append(message_id(6), b"m") == 6


async def test_ack_of_what_was_never_sent_is_refused(links: LinkTable) -> None:
    outbox, _ = await links.open("d-1")
    with pytest.raises(StoreError):
        await outbox.ack(1)


async def test_renewed_epoch_numbers_what_waits_from_one(links: LinkTable) -> None:
    outbox, _ = await links.open("d-1")
    for n in range(1, 6):
        await outbox.append(message_id(n), b"m%d" % n)
    await outbox.ack(2)
    before = await outbox.cursor()
    renewed = await outbox.renew()
    assert renewed == await outbox.cursor() == OutboxCursor(renewed.epoch, 0, 3)
    assert renewed.epoch != before.epoch
    assert await outbox.unacked_after(0, 9) == (
        StoredMessage(1, b"m3"),
        StoredMessage(2, b"m4"),
        StoredMessage(3, b"m5"),
    )
    assert await outbox.append(message_id(6), b"m6") == 4


async def test_restored_backup_renews_every_epoch(links: LinkTable, database: Database) -> None:
    outboxes = [(await links.open(device_id))[0] for device_id in ("d-1", "d-2")]
    before = [(await outbox.cursor()).epoch for outbox in outboxes]
    assert await database.write(lambda connection: renew_all(connection, os.urandom)) == 2
    after = [(await outbox.cursor()).epoch for outbox in outboxes]
    assert len({*before, *after}) == 4


@pytest.mark.parametrize(("count", "size_bytes"), [(MAX_MESSAGES, 1), (4, MAX_BYTES // 4)])
async def test_full_outbox_refuses_and_keeps_its_numbers(links: LinkTable, count: int, size_bytes: int) -> None:
    outbox, _ = await links.open("d-1")
    for n in range(count):
        await outbox.append(message_id(n), bytes(size_bytes))
    with pytest.raises(Overloaded):
        await outbox.append(message_id(count), b"x")
    assert await outbox.append(message_id(0), b"") == 1
    await outbox.ack(1)
    assert await outbox.append(message_id(count), b"x") == count + 1


async def test_inbox_takes_each_message_once(links: LinkTable) -> None:
    _, inbox = await links.open("d-1")
    assert await inbox.advance(OTHER, 1, message_id(1))
    assert await inbox.advance(OTHER, 2, message_id(2))
    assert not await inbox.advance(OTHER, 2, message_id(2))
    assert not await inbox.advance(OTHER, 1, message_id(1))
    assert await inbox.cursor() == InboxCursor(OTHER, 2)


async def test_effect_and_cursor_are_one_transaction(links: LinkTable, database: Database) -> None:
    _, inbox = await links.open("d-1")

    def fail(connection: object) -> None:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        await inbox.advance(OTHER, 1, message_id(1), fail)
    assert await inbox.cursor() == InboxCursor(None, 0)
    done: list[int] = []
    for _ in range(2):
        await inbox.advance(OTHER, 1, message_id(1), lambda connection: done.append(1))
    assert done == [1]


async def test_gap_is_refused(links: LinkTable) -> None:
    _, inbox = await links.open("d-1")
    with pytest.raises(StoreError):
        await inbox.advance(OTHER, 2, message_id(2))
    await inbox.advance(OTHER, 1, message_id(1))
    with pytest.raises(StoreError):
        await inbox.advance(b"new-epoc", 2, message_id(2))


async def test_unknown_epoch_starts_at_one_and_what_was_applied_is_not_applied_again(links: LinkTable) -> None:
    _, inbox = await links.open("d-1")
    for n in (1, 2, 3):
        await inbox.advance(OTHER, n, message_id(n))
    assert not await inbox.advance(b"new-epoc", 1, message_id(3))
    assert await inbox.advance(b"new-epoc", 2, message_id(4))
    assert await inbox.cursor() == InboxCursor(b"new-epoc", 2)


async def test_remembered_ids_are_bounded_and_the_newest(links: LinkTable, database: Database) -> None:
    _, inbox = await links.open("d-1")
    last = REMEMBERED_IDS + 20
    for n in range(1, last + 1):
        await inbox.advance(OTHER, n, message_id(n))
    (kept,) = await database.read(lambda c: c.execute("SELECT count(*) FROM link_applied").fetchone())
    assert kept == REMEMBERED_IDS
    assert not await inbox.advance(b"new-epoc", 1, message_id(last - REMEMBERED_IDS + 1))


async def test_device_that_repeats_what_is_known_makes_nothing_forgotten(links: LinkTable) -> None:
    _, inbox = await links.open("d-1")
    for n in range(1, REMEMBERED_IDS + 1):
        await inbox.advance(OTHER, n, message_id(n))
    for epoch in (b"epoch--2", b"epoch--3"):
        for n in range(1, REMEMBERED_IDS + 1):
            assert not await inbox.advance(epoch, n, message_id(n))


async def test_forgotten_device_has_no_messages_and_no_link(links: LinkTable) -> None:
    outbox, inbox = await links.open("d-1")
    await outbox.append(message_id(1), b"m")
    await inbox.advance(OTHER, 1, message_id(9))
    await links.forget("d-1")
    assert await links.waiting() == {}
    with pytest.raises(StoreError):
        await outbox.append(message_id(2), b"m")
    fresh, _ = await links.open("d-1")
    assert (await fresh.cursor())[1:] == (0, 0)


async def test_what_waits_outlives_the_host(store_path: Path) -> None:
    async with Database.open(store_path) as database:
        outbox, inbox = await LinkTable(database, now_ms=lambda: 1, random_bytes=epochs()).open("d-1")
        await outbox.append(message_id(1), b"m")
        await inbox.advance(OTHER, 1, message_id(9))
        before = await outbox.cursor()
    async with Database.open(store_path) as database:
        outbox, inbox = await LinkTable(database, now_ms=lambda: 1, random_bytes=epochs()).open("d-1")
        assert await outbox.cursor() == before
        assert await outbox.unacked_after(0, 9) == (StoredMessage(1, b"m"),)
        assert not await inbox.advance(OTHER, 1, message_id(9))
