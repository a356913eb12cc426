"""A copy that is not what the log says: where most hosts follow the log it is fetched anew, else a person decides."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest
from tests.cluster.hosts_of_tests import until
from tests.cluster.leases import caught_up
from tests.cluster.nats_servers import NatsServer
from tests.cluster.test_status import viewing

from microclaw.cluster import left_behind
from microclaw.cluster.left_behind import until_left_behind
from microclaw.cluster.status import ClusterView
from microclaw.store.devices import DeviceRow, DeviceTable
from microclaw.store.replica import Replica

HOSTS = ("a-0001", "b-0001", "c-0001")


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(left_behind, "SURE_S", 1.0)
    monkeypatch.setattr(left_behind, "LOOK_S", 0.1)


@asynccontextmanager
async def hosts_of(
    server: NatsServer, cluster_name: str, folder: Path, host_ids: tuple[str, ...]
) -> AsyncIterator[list[ClusterView]]:
    """They see each other, and have one device more."""
    async with AsyncExitStack() as stack:
        views = [
            await stack.enter_async_context(viewing(server.url, cluster_name, folder, host_id)) for host_id in host_ids
        ]
        await until(lambda: all(len(view.hosts.live) == len(views) for view in views), "hosts do not see each other")
        await add_device(views[0].replica, "lamp")
        await caught_up(*(view.replica for view in views))
        yield views


async def add_device(replica: Replica, name: str) -> None:
    await DeviceTable(replica).put(DeviceRow(name, name, "virtual", (), (), 0))


async def devices(replica: Replica) -> list[str]:
    return [row.name for row in await DeviceTable(replica).list()]


def differ(view: ClusterView) -> None:
    """As if another entry had come here in the place of the last."""
    seq, _ = view.replica._writer.tip
    view.replica._writer.tip = (seq, "f" * 24)


async def test_a_host_that_most_went_on_without_ends_and_fetches_the_store_anew(
    nats_server: NatsServer, cluster_name: str, tmp_path: Path
) -> None:
    async with hosts_of(nats_server, cluster_name, tmp_path, HOSTS[:2]) as (a, b):
        async with viewing(nats_server.url, cluster_name, tmp_path, "c-0001") as c:
            await until(lambda: c.hosts.is_live("a-0001") and c.hosts.is_live("b-0001"), "it sees no others")
            differ(c)
            await add_device(b.replica, "fan")
            async with asyncio.timeout(30):
                await until_left_behind(c.replica, c.log, c.hosts)
            assert await devices(c.replica) == ["lamp"]
        assert (tmp_path / "c-0001.db.replaced").exists()
        assert not (tmp_path / "c-0001.db").exists()
        async with viewing(nats_server.url, cluster_name, tmp_path, "c-0001") as c:
            await add_device(c.replica, "door")
            await caught_up(a.replica, b.replica, c.replica)
            for view in (a, b, c):
                assert sorted(await devices(view.replica)) == ["door", "fan", "lamp"]
                assert view.replica.trouble is None


async def test_of_two_hosts_none_is_most(nats_server: NatsServer, cluster_name: str, tmp_path: Path) -> None:
    async with hosts_of(nats_server, cluster_name, tmp_path, HOSTS[:2]) as (a, b):
        differ(b)
        await add_device(a.replica, "fan")
        await until(lambda: b.replica.differs is not None, "it does not see that it differs")
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(4):
                await until_left_behind(b.replica, b.log, b.hosts)
        assert not b.replica.is_given_up
        assert (await a.status())["problems"]
