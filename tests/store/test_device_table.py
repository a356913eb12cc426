from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from microclaw.errors import StoreError
from microclaw.store.database import Database
from microclaw.store.devices import DeviceRow, DeviceTable

PORTS = ("wasmachine://127.0.0.1:18080", "virtual:/x")
ROW = DeviceRow("d1", "virtual-1", "virtual", ("demo", "desk"), 1000, transports=PORTS)


@pytest.fixture
def table(database: Database) -> DeviceTable:
    return DeviceTable(database)


async def test_device_is_kept_as_it_was_put(table: DeviceTable) -> None:
    await table.put(ROW)
    assert await table.list() == (ROW,)


async def test_devices_come_by_name(table: DeviceTable) -> None:
    for device_id, name in (("1", "lamp"), ("2", "attic"), ("3", "pump")):
        await table.put(DeviceRow(device_id, name, "virtual"))
    assert [row.name for row in await table.list()] == ["attic", "lamp", "pump"]


async def test_put_replaces_names_labels_and_transports(table: DeviceTable) -> None:
    await table.put(ROW)
    changed = replace(ROW, name="lamp", labels=(), transports=("serial:tcp://h:1", ROW.transports[0]))
    await table.put(changed)
    assert await table.list() == (changed,)


async def test_name_of_another_device_is_refused_and_nothing_changes(table: DeviceTable) -> None:
    await table.put(ROW)
    with pytest.raises(StoreError):
        await table.put(replace(ROW, device_id="d2", transports=()))
    assert await table.list() == (ROW,)


async def test_transport_of_another_device_is_refused_and_nothing_changes(table: DeviceTable) -> None:
    await table.put(ROW)
    with pytest.raises(StoreError):
        await table.put(replace(ROW, device_id="d2", name="other"))
    assert await table.list() == (ROW,)


async def test_deleted_device_gives_its_name_and_transports_back(table: DeviceTable) -> None:
    await table.put(ROW)
    await table.delete("d1")
    await table.delete("d1")
    assert await table.list() == ()
    again = replace(ROW, device_id="d2")
    await table.put(again)
    assert await table.list() == (again,)


async def test_devices_outlive_the_process(store_path: Path) -> None:
    async with Database.open(store_path) as database:
        await DeviceTable(database).put(ROW)
    async with Database.open(store_path) as database:
        assert await DeviceTable(database).list() == (ROW,)


async def test_a_text_has_every_character_but_none_that_postgresql_cannot_keep(database: Database) -> None:
    text = "grüß ' \\ \N{SNOWMAN} %s ? :name \0"
    await DeviceTable(database).put(DeviceRow("d1", text, "b", (text,)))
    (row,) = await DeviceTable(database).list()
    assert row.labels == (text,)
    assert row.name in (text, text.replace("\0", "\ufffd"))
