"""A cluster over three NATS servers, of which one is killed, or all."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
from pathlib import Path

import nats.errors
import pytest
from tests.cluster.hosts_of_tests import LIMIT_S, facts_of
from tests.cluster.hosts_of_tests import until as happens
from tests.cluster.nats_servers import NatsServer, one_server, three_servers, urls_of
from tests.cluster.stores import open_replica
from tests.cluster.test_outages import NAME, adding, make_table, numbers, until, written

from microclaw.cluster import nats_log
from microclaw.cluster.audit_stream import make_audit_stream
from microclaw.cluster.connection import connected
from microclaw.cluster.duties import Duties
from microclaw.cluster.hosts import Hosts
from microclaw.cluster.shared_store import shared_store
from microclaw.cluster.status import ClusterView
from microclaw.config.cluster_settings import ClusterSettings
from microclaw.errors import StoreError


async def test_three_servers_go_on_when_the_logs_leader_is_killed(tmp_path: Path) -> None:
    with three_servers(tmp_path / "nats") as servers:
        settings = ClusterSettings(nats=urls_of(servers), name=NAME)
        async with (
            connected(settings, name="a") as cluster,
            shared_store(cluster, tmp_path / "a" / "cluster.db", host="a") as (first, _),
            connected(settings, name="b") as other,
            shared_store(other, tmp_path / "b" / "cluster.db", host="b") as (second, _),
        ):
            assert cluster.replicas == 3
            await first.write(make_table)
            for number in range(3):
                await written(first, number)
                info = await cluster.jetstream.stream_info(cluster.stream("LOG"))
                assert info.cluster is not None
                leader = next(server for server in servers if server.name == info.cluster.leader)
                leader.kill()
                await written(second, 100 + number)
                leader.start()
            await until(lambda: first.position == second.position)
            assert set(await first.read(numbers)) == {0, 1, 2, 100, 101, 102}
            assert await second.read(numbers) == await first.read(numbers)


async def test_hosts_and_status_when_one_of_three_servers_dies_and_when_all_did(
    tmp_path: Path, cluster_name: str
) -> None:
    with three_servers(tmp_path) as servers:
        settings = ClusterSettings(nats=urls_of(servers), name=cluster_name)
        async with (
            connected(settings, name="a") as cluster,
            shared_store(cluster, tmp_path / "a.db", host="a-0001") as (replica, log),
            Hosts.joined(cluster, facts_of("a-0001"), host_id="a-0001") as hosts,
            Duties.opened(cluster, hosts) as duties,
        ):
            await make_audit_stream(cluster)
            view = ClusterView(cluster, hosts, duties, replica, log)
            streams = {stream["name"]: stream for stream in (await view.status())["streams"]}
            assert {stream["replicas"] for stream in streams.values()} == {3}
            leader = streams[f"KV_{cluster.stream('HOSTS')}"]["leader"]
            next(server for server in servers if server.name == leader).kill()
            killed_at = asyncio.get_running_loop().time()
            await happens(lambda: hosts.renewed_at > killed_at and not hosts.stale, "the lease is not renewed")
            problems: list[str] = []
            while problems != [f"the NATS server {leader} is away"]:
                assert asyncio.get_running_loop().time() < killed_at + LIMIT_S, problems
                problems = [problem["text"] for problem in (await view.status())["problems"]]
            last = next(server for server in servers if server.name != leader)
            for server in servers:
                if server is not last:
                    server.kill()
            await happens(lambda: hosts.lost and cluster.connected, "a lease without a majority")
            found = await view.status()
            texts = [problem["text"] for problem in found["problems"]]
            assert [host["host"] for host in found["hosts"]] == ["a-0001"]
            assert f"the NATS server {last.name} is away" not in texts, "this host is connected to it"
            assert not [text for text in texts if "is gone" in text], "who holds what is not known"
            assert [text for text in texts if "its lease has ended" in text]
            last.kill()
            await happens(lambda: not cluster.connected, "a connection without a server")
            for server in servers:
                server.launch()
            await happens(lambda: not hosts.lost and not hosts.stale, "the host is not back")
            while problems := [problem["text"] for problem in (await view.status())["problems"]]:
                own = view.server_name()
                assert f"the NATS server {own} is away" not in problems, "this host is connected to it"
                assert asyncio.get_running_loop().time() < killed_at + 3 * LIMIT_S, problems


# NATS' client leaves what it opened to a server that does not greet to the garbage collector.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
async def test_a_host_leaves_a_stopped_server_though_much_was_still_to_be_sent_there(tmp_path: Path) -> None:
    with three_servers(tmp_path) as servers:
        async with connected(ClusterSettings(nats=urls_of(servers), name=NAME), name="a") as cluster:
            where = cluster.client.connected_url
            assert where is not None
            stopped = next(server for server in servers if server.port == where.port)
            stopped.pause()
            with contextlib.suppress(asyncio.TimeoutError, nats.errors.Error):
                async with asyncio.timeout(2):
                    for _ in range(40):  # more than the system keeps for it
                        await cluster.client.publish(f"{cluster.prefix}.much", bytes(1_000_000))
            await happens(
                lambda: cluster.connected and cluster.client.connected_url not in (None, where), "it stays there"
            )
            await cluster.jetstream.account_info()


async def test_a_log_that_a_server_shows_shorter_for_a_moment_is_no_other_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As one that was cut off does; then it is seen whether the entries are those that were here."""
    with one_server(tmp_path / "nats") as server:
        async with open_replica(server, NAME, tmp_path / "a" / "cluster.db", host="a") as (replica, log):
            await replica.write(make_table)
            server.stop()
            shutil.copytree(server.folder / "data", tmp_path / "before")
            server.start()
            await written(replica, 1)
            await written(replica, 2)
            server.stop()
            shutil.copytree(server.folder / "data", tmp_path / "all")
            _put_back(server, tmp_path / "before")
            server.start()
            monkeypatch.setattr(nats_log, "COMMIT_S", 1.0)
            for _ in range(3):
                await asyncio.to_thread(server.wait_until_ready)
                with pytest.raises(StoreError, match="NATS cannot be reached"):
                    await replica.write(adding(3))
            server.stop()
            _put_back(server, tmp_path / "all")
            server.start()
            await written(replica, 4)
            assert await replica.read(numbers) == [1, 2, 4]
            assert await log.look() == replica.position


def _put_back(server: NatsServer, data: Path) -> None:
    shutil.rmtree(server.folder / "data")
    shutil.copytree(data, server.folder / "data")
