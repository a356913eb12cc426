"""What a host tells of the others: in the API's form, true, also without the database and beside a newer version."""

from __future__ import annotations

import asyncio

import msgspec
import psycopg
import pytest
from prometheus_client.parser import text_string_to_metric_families
from tests.cluster.hosts import host_in, wire_to
from tests.store.two_hosts import until

from microclaw.api.metrics_page import cluster_metrics, metrics_page
from microclaw.cluster.duties import Duties
from microclaw.cluster.operations import ClusterDuty
from microclaw.cluster.status import ClusterView
from microclaw.errors import StoreError
from microclaw.store.devices import DeviceRow, DeviceTable
from microclaw.store.schema import VERSION

LAMP = DeviceRow("lamp", "lamp", "virtual")


async def test_hosts_and_who_is_gone_are_told_until_it_is_back_and_what_is_old_as_old(database_url: str) -> None:
    async with wire_to(database_url) as wire, host_in(database_url, "a-0001") as (database, hosts):
        view = ClusterView(database, hosts, Duties(database, hosts), {"calls_served": 5})

        async def work(_fence: int) -> None:
            assert (await view.status()).duties == [ClusterDuty(name="telegram", holder="a-0001", fence=1)]

        await view.duties.hold("telegram", work)
        async with (
            host_in(wire.url, "b-0001", devices=93) as (cut_off, there),
            host_in(database_url, "c-0001", devices=2),
        ):
            await until(lambda: len(hosts.live) == len(there.live) == 3)
            found = await view.status()
            assert [one.host_id for one in found.hosts] == ["a-0001", "b-0001", "c-0001"]
            assert (found.connected, found.member, found.problems) == (True, True, [])
            assert found.database.startswith("127.0.0.1:")
            wire.cut()
            await until(lambda: len(hosts.live) == 2 and there.lost)
            old = ClusterView(cut_off, there, Duties(cut_off, there))
            found = await old.status()
            assert (found.connected, found.member, found.duties) == (False, False, [])
            assert "database" in found.problems[0].text
            assert old.gauges()["member"] == 0
        await until(lambda: len(hosts.live) == 1)
        found = await view.status()
        ended = [(one.host_id, one.facts.devices, one.ended) for one in found.ended]
        assert sorted(ended) == [("b-0001", 93, "gone"), ("c-0001", 2, "in order")]
        (problem,) = found.problems
        assert "b-0001" in problem.text
        pages = text_string_to_metric_families(metrics_page(cluster_metrics(view.gauges())).decode())
        shown = {one.name: one.samples[0].value for one in pages if one.name.startswith("microclaw_cluster")}
        assert shown["microclaw_cluster_hosts"] == shown["microclaw_cluster_hosts_gone"] == 1
        assert 5.0 in shown.values()
        async with host_in(database_url, "b-0002"):
            await until(lambda: hosts.is_live("b-0002"))
            assert [one.host_id for one in hosts.ended()] == ["c-0001"]


async def test_an_older_host_gives_up_its_duties_and_writes_nothing_beside_a_newer_one(database_url: str) -> None:
    async with host_in(database_url, "old-0001") as (old, hosts):
        table, duties = DeviceTable(old), Duties(old, hosts, is_able=lambda: not old.is_too_old)
        await table.put(LAMP)
        begun = asyncio.Event()

        async def work(_fence: int) -> None:
            begun.set()
            await asyncio.Event().wait()

        holding = asyncio.create_task(duties.hold("telegram", work))
        await asyncio.wait_for(begun.wait(), 60)
        facts = msgspec.structs.replace(hosts.live["old-0001"], schema=VERSION + 1)
        newer = msgspec.json.encode({**msgspec.structs.asdict(facts), "more": True}).decode()
        with psycopg.connect(database_url) as connection:
            connection.execute("UPDATE store_version SET version = %s", (VERSION + 1,))
            connection.execute(
                "INSERT INTO hosts (host_id, name, home, facts, renewed_ms, until_ms) "
                "SELECT 'new-0001', 'new', 'new', %s, renewed_ms, until_ms + 60000 FROM hosts", (newer,),
            )  # fmt: skip
        with pytest.raises(StoreError, match=str(VERSION + 1)):
            await table.put(LAMP)
        assert [row.name for row in await table.list()] == ["lamp"]
        async with asyncio.timeout(60):
            while (await duties.held())[0][1] == "old-0001" and not holding.done():  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        await until(lambda: hosts.is_live("new-0001"))
        problems = (await ClusterView(old, hosts, duties).status()).problems
        assert str(VERSION + 1) in " ".join(one.text for one in problems)
        holding.cancel()
        await asyncio.wait((holding,))
