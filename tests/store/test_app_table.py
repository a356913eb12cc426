from __future__ import annotations

from dataclasses import replace

import pytest

from microclaw.errors import StoreError, UnknownName
from microclaw.store.apps import AppTable, ChangeRow, DesiredApp, ImageRow, NewChange
from microclaw.store.database import Database

SHA = "ab" * 32
IMAGE = ImageRow(SHA, b"\0asm\x01\0\0\0", "int main(void);", '{"compiler":"zig"}', 5)
BLINK = DesiredApp("d1", "blink", SHA, 8192, 20, 180_000, (2, 4), 6)
CHANGE = NewChange(7, "d1", "app.deploy", "blink on pin 2", '{"do":"put"}', '{"do":"remove"}')


@pytest.fixture
async def table(database: Database) -> AppTable:
    table = AppTable(database)
    await table.put_image(IMAGE)
    return table


async def test_image_is_kept_byte_for_byte(table: AppTable) -> None:
    large = ImageRow("cd" * 32, bytes(range(256)) * 1024, None, "{}", 9)
    await table.put_image(large)
    assert await table.image(large.sha256) == large
    assert await table.image(SHA) == IMAGE


async def test_same_image_twice_is_one(table: AppTable) -> None:
    await table.put_image(replace(IMAGE, source=None, meta="{}", created_ms=99))
    assert await table.image(SHA) == IMAGE


async def test_an_image_has_the_newest_source_of_its_bytes(table: AppTable) -> None:
    newer = replace(IMAGE, source="// a comment\nint main(void);", meta='{"lines":[2]}')
    await table.put_image(replace(newer, created_ms=99))
    assert await table.image(SHA) == newer


async def test_unknown_image_is_named(table: AppTable) -> None:
    with pytest.raises(UnknownName, match="efefefefefef"):
        await table.image("ef" * 32)


async def test_desired_apps_are_kept_per_device(table: AppTable) -> None:
    fade = replace(BLINK, name="fade", pins=())
    other = replace(BLINK, device_id="d2")
    for row in (other, fade, BLINK):
        await table.put_desired(row)
    assert await table.desired() == (BLINK, fade, other)
    assert await table.desired("d1") == (BLINK, fade)


async def test_desired_app_is_replaced_by_its_upgrade(table: AppTable) -> None:
    await table.put_desired(BLINK)
    upgraded = replace(BLINK, heap_bytes=4096, since_ms=50)
    await table.put_desired(upgraded)
    assert await table.desired() == (upgraded,)


async def test_desired_app_without_its_image_is_refused(table: AppTable) -> None:
    with pytest.raises(StoreError, match=r"(?i)foreign key"):
        await table.put_desired(replace(BLINK, sha256="ef" * 32))


async def test_changes_are_numbered_and_come_newest_first(table: AppTable) -> None:
    ids = [await table.add_change(replace(CHANGE, at_ms=n, device_id=f"d{n % 2}")) for n in range(6)]
    assert ids == sorted(set(ids))
    assert [c.change_id for c in await table.changes()] == ids[::-1]
    assert [c.at_ms for c in await table.changes("d1")] == [5, 3, 1]
    assert [c.at_ms for c in await table.changes("d1", limit=1)] == [5]


async def test_change_is_kept_as_it_was_planned(table: AppTable, database: Database) -> None:
    change_id = await table.add_change(CHANGE)
    assert await table.change(change_id) == ChangeRow(
        7,
        "d1",
        "app.deploy",
        "blink on pin 2",
        '{"do":"put"}',
        '{"do":"remove"}',
        "planned",
        None,
        None,
        None,
        None,
        change_id,
        None,
        host=database.host,
    )


async def test_changes_of_a_turn_are_found_on_every_device(table: AppTable) -> None:
    first = await table.add_change(replace(CHANGE, turn="m1"))
    await table.add_change(replace(CHANGE, turn="m2"))
    await table.add_change(CHANGE)
    second = await table.add_change(replace(CHANGE, device_id="d2", turn="m1"))
    assert [c.change_id for c in await table.changes_of_turn("m1")] == [second, first]
    assert (await table.change(first)).turn == "m1"


async def test_settled_change_and_the_desired_apps_change_together(table: AppTable) -> None:
    await table.put_desired(replace(BLINK, name="old"))
    change_id = await table.add_change(CHANGE)
    await table.settle_change(change_id, "done", put=[BLINK], delete=[("d1", "old")])
    assert (await table.change(change_id)).state == "done"
    assert await table.desired() == (BLINK,)


async def test_settling_that_fails_changes_nothing(table: AppTable) -> None:
    await table.put_desired(BLINK)
    change_id = await table.add_change(CHANGE)
    with pytest.raises(StoreError):
        await table.settle_change(
            change_id, "done", put=[replace(BLINK, name="x", sha256="ef" * 32)], delete=[("d1", "blink")]
        )
    assert (await table.change(change_id)).state == "planned"
    assert await table.desired() == (BLINK,)


async def test_done_undo_marks_what_it_took_back(table: AppTable) -> None:
    first = await table.add_change(CHANGE)
    await table.settle_change(first, "done")
    undo = await table.add_change(replace(CHANGE, undoes=first, inverse=None))
    assert (await table.change(first)).undone_by is None
    await table.settle_change(undo, "done")
    assert (await table.change(first)).undone_by == undo
    assert (await table.change(undo)).undoes == first


async def test_failed_undo_marks_nothing(table: AppTable) -> None:
    first = await table.add_change(replace(CHANGE, state="done"))
    undo = await table.add_change(replace(CHANGE, undoes=first))
    await table.settle_change(undo, "failed")
    assert (await table.change(first)).undone_by is None


async def test_changes_are_found_by_their_state(table: AppTable) -> None:
    planned = await table.add_change(CHANGE)
    await table.settle_change(await table.add_change(CHANGE), "done")
    assert [c.change_id for c in await table.changes(state="planned")] == [planned]


async def test_unknown_change_is_named(table: AppTable) -> None:
    with pytest.raises(UnknownName, match="no change 99"):
        await table.change(99)
    with pytest.raises(UnknownName, match="no change 99"):
        await table.settle_change(99, "done")
