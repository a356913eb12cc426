"""Hosts of two versions: what an older one does with a database that a newer one upgraded."""

from __future__ import annotations

import asyncio

import msgspec
import psycopg
import pytest
from tests.cluster.hosts_of_tests import host_in
from tests.store.two_hosts import until

from microclaw.cluster.duties import Duties
from microclaw.cluster.status import ClusterView
from microclaw.errors import StoreError
from microclaw.store.devices import DeviceRow, DeviceTable
from microclaw.store.schema import VERSION

LAMP = DeviceRow("lamp", "lamp", "virtual")


async def test_an_older_host_reads_and_writes_nothing_once_a_newer_one_upgraded_the_store(database_url: str) -> None:
    async with host_in(database_url, "old-0001") as (old, hosts):
        table, duties = DeviceTable(old), Duties(old, hosts, is_able=lambda: not old.is_too_old)
        await table.put(LAMP)
        fences: list[int] = []

        async def work(fence: int) -> None:
            fences.append(fence)
            await asyncio.Event().wait()

        holding = asyncio.create_task(duties.hold("telegram", work))
        await until(lambda: fences)
        with psycopg.connect(database_url) as newer:
            newer.execute("ALTER TABLE devices ADD COLUMN colour TEXT")
            newer.execute("UPDATE store_version SET version = %s", (VERSION + 1,))
            facts = msgspec.json.encode({**_facts(hosts.live["old-0001"]), "schema": VERSION + 1, "more": True})
            newer.execute(
                "INSERT INTO hosts (host_id, name, home, facts, renewed_ms, until_ms) "
                "SELECT 'new-0001', 'new', 'new', %s, renewed_ms, until_ms + 60000 FROM hosts", (facts.decode(),),
            )  # fmt: skip
        with pytest.raises(StoreError) as refused:
            await table.put(LAMP)
        assert str(VERSION + 1) in refused.value.message
        assert [row.name for row in await table.list()] == ["lamp"]
        async with asyncio.timeout(60):
            while (await duties.held())[0][1] == "old-0001" and not holding.done():  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        await until(lambda: hosts.is_live("new-0001"))
        problems = (await ClusterView(old, hosts, duties).status())["problems"]
        assert str(VERSION + 1) in " ".join(one["text"] for one in problems)
        holding.cancel()
        await asyncio.wait((holding,))
    async with host_in(database_url, "old-0002") as (again, _):
        assert [row.name for row in await DeviceTable(again).list()] == ["lamp"]
        with pytest.raises(StoreError):
            await DeviceTable(again).delete("lamp")


def _facts(facts: object) -> dict[str, object]:
    return dict(msgspec.to_builtins(facts))
