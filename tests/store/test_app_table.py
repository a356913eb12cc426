"""Images, changes and desired apps as rows, in the classes that the change log gives them."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from microclaw.apps.change_log import Change, ChangeLog, Claims, DesiredApp, RemoveApp, SetLevel
from microclaw.errors import StoreError
from microclaw.store.apps import ImageRow
from microclaw.store.database import Database

SHA = "ab" * 32
IMAGE = ImageRow(SHA, b"\0asm\x01\0\0\0", "int main(void);", '{"compiler":"zig"}', 5)
BLINK = DesiredApp("d1", "blink", SHA, 8192, 20, 180_000, (2, 4), 6, Claims(reads=(5,)))
CHANGE = Change(0, 7, "d1", "gpio.set", "pin 4 to 1", None, SetLevel(4, 1), None, by="ada")


@pytest.fixture
async def table(database: Database) -> ChangeLog:
    table = ChangeLog(database)
    await table.put_image(IMAGE)
    return table


async def want(table: ChangeLog, app: DesiredApp) -> None:
    await table.settle_change(await table.add_change(CHANGE), "done", put=app)


async def test_images_and_desired_apps_are_replaced_by_newer_ones_and_kept_per_device(table: ChangeLog) -> None:
    await table.put_image(replace(IMAGE, source=None, meta="{}", created_ms=99))
    assert await table.image(SHA) == IMAGE
    newer = replace(IMAGE, source="// a comment\nint main(void);", meta='{"lines":[2]}')
    await table.put_image(replace(newer, created_ms=99))
    assert await table.image(SHA) == newer
    fade, other = replace(BLINK, name="fade", pins=()), replace(BLINK, device_id="d2")
    for row in (other, fade, BLINK, upgraded := replace(BLINK, heap_bytes=4096, since_ms=50)):
        await want(table, row)
    assert await table.desired() == (upgraded, fade, other)
    assert await table.desired("d1") == (upgraded, fade)


async def test_settled_change_and_the_desired_apps_change_together_or_not_at_all(table: ChangeLog) -> None:
    await want(table, old := replace(BLINK, name="old"))
    change_id = await table.add_change(replace(CHANGE, forward=RemoveApp("old")))
    with pytest.raises(StoreError):
        await table.settle_change(change_id, "done", put=replace(BLINK, sha256="ef" * 32), without=("d1", "old"))
    assert ((await table.change(change_id)).state, await table.desired()) == ("planned", (old,))
    await table.settle_change(change_id, "done", put=BLINK, without=("d1", "old"))
    assert ((await table.change(change_id)).state, await table.desired()) == ("done", (BLINK,))
