"""The hosts of a cluster by lease, on a real nats-server."""

from __future__ import annotations

import asyncio
import time

from tests.cluster.hosts_of_tests import host_in, until
from tests.cluster.nats_servers import NatsServer
from tests.cluster.two_hosts import ClusterHost, Fleet, link_id_of, sees_lamp_elsewhere
from tests.link_server.scripted import ScriptedDevice


async def test_hosts_see_each_other_and_a_leave_at_once(nats_server: NatsServer, cluster_name: str) -> None:
    changes: list[tuple[frozenset[str], frozenset[str]]] = []
    async with host_in(nats_server.url, cluster_name, "a-0001") as (_, first):
        first.listeners.append(lambda joined, left: changes.append((joined, left)))
        async with host_in(nats_server.url, cluster_name, "a-0002", devices=7) as (_, second):
            assert set(second.live) == {"a-0001", "a-0002"}
            await until(lambda: first.is_live("a-0002"), "the first host does not see the second")
            assert first.live["a-0002"].devices == 7
        await until(lambda: not first.is_live("a-0002"), "the first host does not see that the second left")
        assert changes == [(frozenset({"a-0002"}), frozenset()), (frozenset(), frozenset({"a-0002"}))]
        assert not first.lost


async def test_a_host_that_is_cut_off_is_gone_for_the_others_and_knows_it(
    nats_server: NatsServer, cluster_name: str
) -> None:
    async with (
        host_in(nats_server.url, cluster_name, "a-0001") as (_, first),
        host_in(nats_server.url, cluster_name, "b-0001") as (cluster, second),
    ):
        await until(lambda: first.is_live("b-0001"), "the first host does not see the second")
        own: list[tuple[frozenset[str], frozenset[str]]] = []
        second.listeners.append(lambda joined, left: own.append((joined, left)))
        await cluster.client.close()
        await until(lambda: not first.is_live("b-0001"), "the first host holds the other for alive")
        assert second.lost
        assert not second.is_live("b-0001")
        assert second.is_live("a-0001"), "what a host does not know is as it was"
        assert second.stale
        assert own == [(frozenset(), frozenset({"b-0001"}))]
        assert first.is_live("a-0001")


async def test_a_bucket_that_somebody_deleted_is_made_again(nats_server: NatsServer, cluster_name: str) -> None:
    async with (
        host_in(nats_server.url, cluster_name, "a-0001") as (cluster, first),
        host_in(nats_server.url, cluster_name, "b-0001", devices=1) as (_, second),
    ):
        await cluster.jetstream.delete_key_value(cluster.stream("HOSTS"))
        deleted_at = asyncio.get_running_loop().time()
        await until(lambda: min(first.renewed_at, second.renewed_at) > deleted_at, "the leases are not renewed")
        async with host_in(nats_server.url, cluster_name, "c-0001") as (_, third):
            everyone = {"a-0001", "b-0001", "c-0001"}
            await until(
                lambda: set(third.live) == set(first.live) == set(second.live) == everyone, "somebody is missing"
            )
        assert not first.lost
        assert not second.lost


async def test_the_devices_of_a_dead_host_were_seen_until_its_last_lease(
    fleet: Fleet, east: ClusterHost, west: ClusterHost, lamp: ScriptedDevice
) -> None:
    async with lamp.connected():
        await lamp.until_ready()
        await sees_lamp_elsewhere(west)
        links = [host.link(link_id_of(host)) for host in (west, east)]
        connected = links[0].presence
        assert connected is not None
        fleet.live.remove("east")
        fleet.ended["east"] = connected.seen_ms + 600_000
        west.others.hosts_changed()
        await west.until(lambda: links[0].presence is not None and links[0].presence.seen_ms == fleet.ended["east"])
        entries = west.replica.position
        west.others.hosts_changed()
        (kept,) = await west.plane.links.parts.events.presence()
        assert kept.seen_ms == fleet.ended["east"]
        await east.until(lambda: east.replica.position == west.replica.position)
        assert west.replica.position == entries, "it is written once"


async def test_the_time_of_all_hosts_is_that_of_most_when_one_clock_is_set(
    nats_server: NatsServer, cluster_name: str
) -> None:
    ahead = [0.0]
    async with (
        host_in(nats_server.url, cluster_name, "a-0001") as (_, first),
        host_in(nats_server.url, cluster_name, "b-0001", ahead_s=lambda: ahead[0]) as (_, second),
    ):
        await until(lambda: first.is_live("b-0001") and second.is_live("a-0001"), "a host does not see the other")
        for step in (3_600.0, -3_600.0):
            ahead[0] = step
            await until(
                lambda step=step: all(  # type: ignore[misc]
                    abs(hosts.standing()[1].clock_ahead_s - step) < 30 for hosts in (first, second)
                ),
                "the step is not seen",
            )
            for hosts in (first, second):
                assert abs(hosts.now_ms() / 1000 - time.time()) < 30
        assert not first.lost
        assert not second.lost
