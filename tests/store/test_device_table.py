from __future__ import annotations

from dataclasses import replace

import pytest

from microclaw.errors import StoreError
from microclaw.store.database import Database
from microclaw.store.devices import DeviceRow, DeviceTable

PORTS = ("wasmachine://127.0.0.1:18080", "virtual:/x")
ROW = DeviceRow("d1", "virtual-1", "virtual", ("demo", "desk"), 1000, transports=PORTS)


@pytest.fixture
def table(database: Database) -> DeviceTable:
    return DeviceTable(database)


@pytest.mark.parametrize("other", [replace(ROW, transports=()), replace(ROW, name="other")])
async def test_name_or_transport_of_another_device_is_refused_and_nothing_changes(
    table: DeviceTable, other: DeviceRow
) -> None:
    await table.put(ROW)
    with pytest.raises(StoreError):
        await table.put(replace(other, device_id="d2"))
    assert await table.list() == (ROW,)


async def test_deleted_device_gives_its_name_and_transports_back(table: DeviceTable) -> None:
    await table.put(ROW)
    assert await table.delete("d1")
    assert not await table.delete("d1")
    assert await table.list() == ()
    again = replace(ROW, device_id="d2")
    await table.put(again)
    assert await table.list() == (again,)


async def test_a_device_that_was_reached_stays_so_and_is_changed_only_as_it_was_seen(table: DeviceTable) -> None:
    await table.put(unreached := replace(ROW, reached=False))
    await table.mark_reached("d1")
    lamp = replace(unreached, name="lamp")
    assert await table.replace(unreached, lamp)
    assert not await table.replace(unreached, replace(ROW, name="late"))
    assert await table.list() == (replace(lamp, reached=True),)


async def test_a_text_has_every_character_but_none_that_postgresql_cannot_keep(table: DeviceTable) -> None:
    text = "grüß ' \\ \N{SNOWMAN} %s ? :name \0"
    await table.put(DeviceRow("d1", text, "b", (text,)))
    (row,) = await table.list()
    assert row.labels == (text,)
    assert row.name in (text, text.replace("\0", "\ufffd"))
