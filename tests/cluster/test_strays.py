"""What is in a cluster's streams and buckets and was put there by nobody of the cluster: it stops nothing."""

from __future__ import annotations

import asyncio
import base64
import sqlite3
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from tests.cluster.hosts_of_tests import TIMES, facts_of, host_in, until
from tests.cluster.nats_servers import NatsServer
from tests.cluster.stores import open_cluster, open_replica

from microclaw.audit import AuditEvent, AuditKind
from microclaw.cluster.connection import Cluster
from microclaw.cluster.duties import Duties
from microclaw.cluster.entry_messages import EntrySeal
from microclaw.cluster.hosts import Hosts
from microclaw.cluster.live_events import LiveEvents
from microclaw.cluster.migrating import put_snapshot
from microclaw.cluster.nats_log import log_subject, note_strays
from microclaw.cluster.shared_store import shared_store, take_snapshot
from microclaw.cluster.status import ClusterView
from microclaw.cluster.store_meta import META_KEY, MetaUnreadable, read_meta
from microclaw.config.cluster_settings import ClusterSettings
from microclaw.events import Alarm, LiveEvent

GARBAGE = b"garbage"


def adding(number: int) -> Callable[[sqlite3.Connection], None]:
    def work(store: sqlite3.Connection) -> None:
        store.execute("CREATE TABLE IF NOT EXISTS numbers (n INTEGER)")
        store.execute("INSERT INTO numbers VALUES (?)", (number,))

    return work


def numbers(store: sqlite3.Connection) -> list[int]:
    return [n for (n,) in store.execute("SELECT n FROM numbers ORDER BY n")]


def test_a_seal_is_good_in_one_place_of_one_log() -> None:
    seal = EntrySeal("0123456789abcdef")
    message = seal.seal(7, b"pentry")
    assert message.hex() == "443f63bb7be1ddc9aa7683537b1cfbc770656e747279"
    assert seal.open(7, message) == b"pentry"
    assert seal.open(8, message) is None
    assert EntrySeal("another").open(7, message) is None
    assert seal.open(7, b"") is None
    assert seal.open(7, message[:-1]) is None
    assert seal.open(7, b"x" + message[1:]) is None


async def test_every_host_passes_over_what_is_nobodys_entry_and_the_writes_go_on(
    nats_server: NatsServer, cluster_name: str, tmp_path: Path
) -> None:
    paths = {host: tmp_path / host / "cluster.db" for host in ("a", "b", "c")}
    async with (
        open_cluster(nats_server.url, cluster_name) as cluster,
        shared_store(cluster, paths["a"], host="a") as (first, log),
        open_replica(nats_server, cluster_name, paths["b"], host="b") as (second, other_log),
    ):
        await first.write(adding(1))
        js, subject = cluster.jetstream, log_subject(cluster)
        again = (await js.get_msg(cluster.stream("LOG"), 1)).data or b""
        for stray in (GARBAGE, b"", b"p" + GARBAGE, b"o" * 60, again, b"x" * 100_000):
            await js.publish(subject, stray)
        await second.write(adding(2))
        await js.publish(subject, GARBAGE)
        await asyncio.gather(*(each.write(adding(n)) for n, each in enumerate((first, second) * 5, 3)))
        await js.publish(subject, GARBAGE)
        for each, its_log in (first, log), (second, other_log):
            await until(lambda log=its_log: log.strays == 8, "they are not all passed over")  # type: ignore[misc]
            await until(lambda log=its_log, at=each: log.last_stray == at.position, "it is behind")  # type: ignore[misc]
            assert each.trouble is None
            assert its_log.trouble is None
            assert await each.read(numbers) == list(range(1, 13))
        last_stray = log.last_stray
        assert (await take_snapshot(cluster, paths["a"])).seq == first.last_entry < first.position
    # A host that starts again, and one that comes anew.
    for host in "a", "c":
        async with open_replica(nats_server, cluster_name, paths[host], host=host) as (replica, log):
            assert await replica.read(numbers) == list(range(1, 13))
            assert (log.strays, log.last_stray) == (1, last_stray)  # behind the snapshot
            await replica.write(adding(13))
            await replica.write(lambda store: store.execute("DELETE FROM numbers WHERE n = 13").close())


async def test_strays_in_the_log_are_said_in_the_status_and_the_security_log(
    nats_server: NatsServer, cluster_name: str, tmp_path: Path
) -> None:
    async with (
        open_cluster(nats_server.url, cluster_name) as cluster,
        shared_store(cluster, tmp_path / "cluster.db", host="a") as (replica, log),
        Hosts.joined(cluster, facts_of("a-0001"), host_id="a-0001", times=TIMES) as hosts,
        Duties.opened(cluster, hosts) as duties,
    ):
        recorded: list[AuditEvent] = []
        noting = asyncio.create_task(note_strays(log, recorded.append))
        await cluster.jetstream.publish(log_subject(cluster), GARBAGE)
        await until(lambda: recorded, "the security log has no line")
        (event,) = recorded
        assert event.kind == AuditKind.CLUSTER_STRAY
        assert event.text == "in the cluster's log: 1 message from nobody of this cluster, the last at 1"
        (problem,) = [
            one
            for one in (await ClusterView(cluster, hosts, duties, replica, log).status())["problems"]
            if "nobody of this cluster" in one["text"]
        ]
        assert problem["text"].startswith("1 message in the log since this host's start was from nobody")
        assert "account" in problem["next"]
        meta = await read_meta(cluster)
        assert meta is not None
        newer = EntrySeal(meta.cluster).seal(2, b"q of a newer microclaw")
        await cluster.jetstream.publish(log_subject(cluster), newer)
        await until(lambda: log.trouble, "the entry is not in the way")
        problems = (await ClusterView(cluster, hosts, duties, replica, log).status())["problems"]
        (stuck,) = [one for one in problems if "this host writes nothing: entry 2 of the cluster's log" in one["text"]]
        assert "upgrade this host" in stuck["next"]
        noting.cancel()
        await asyncio.gather(noting, return_exceptions=True)


def duty_key(cluster: Cluster, name: str) -> str:
    return f"$KV.{cluster.stream('DUTIES')}.{name}"


@pytest.mark.parametrize(
    "value",
    [
        GARBAGE,
        b'{"holder": "a-0001", "fence": 99999999999999999}',
    ],
)
async def test_a_duty_that_was_overwritten_is_put_right(
    nats_server: NatsServer, cluster_name: str, value: bytes
) -> None:
    async with (
        host_in(nats_server.url, cluster_name, "a-0001") as (cluster, hosts),
        Duties.opened(cluster, hosts) as duties,
    ):
        fences: list[int] = []

        async def work(fence: int) -> None:
            fences.append(fence)
            await asyncio.Event().wait()

        holding = asyncio.create_task(duties.hold("rollouts", work))
        await until(lambda: fences, "nobody has the duty")
        await cluster.jetstream.publish(duty_key(cluster, "rollouts"), value)
        await until(lambda: duties.overwritten == {"rollouts": 1}, "it is not put right")
        await until(lambda: len(fences) == 2, "its work does not begin again")
        assert fences[1] > fences[0]
        holding.cancel()
        await asyncio.gather(holding, return_exceptions=True)


async def test_what_the_cluster_says_of_its_store_is_put_right_by_a_snapshot(
    nats_server: NatsServer, cluster_name: str, tmp_path: Path
) -> None:
    path = tmp_path / "a" / "cluster.db"
    async with (
        open_cluster(nats_server.url, cluster_name) as cluster,
        shared_store(cluster, path, host="a") as (replica, log),
        Hosts.joined(cluster, facts_of("a-0001"), host_id="a-0001", times=TIMES) as hosts,
        Duties.opened(cluster, hosts) as duties,
    ):
        await replica.write(adding(1))
        before = await read_meta(cluster)
        assert before is not None
        await cluster.jetstream.publish(f"$KV.{cluster.stream('META')}.{META_KEY}", GARBAGE)
        files = f"$O.{cluster.stream('FILES')}.M"
        for name in base64.urlsafe_b64encode(before.snapshot.encode()).decode(), "bm90LWEtbm90ZQ==", "@", "0":
            await cluster.jetstream.publish(f"{files}.{name}", GARBAGE)
        status = await ClusterView(cluster, hosts, duties, replica, log).status()
        assert [one for one in status["problems"] if "says of its store was overwritten" in one["text"]]
        with pytest.raises(MetaUnreadable, match="was overwritten by nobody of this cluster"):
            async with open_replica(nats_server, cluster_name, tmp_path / "b" / "cluster.db", host="b"):
                pass
        after = await put_snapshot(ClusterSettings(nats=nats_server.url, name=cluster_name), path)
        assert (after.cluster, after.log_made, after.seq) == (before.cluster, before.log_made, 1)
        await take_snapshot(cluster, path, kept=0)
        async with open_replica(nats_server, cluster_name, tmp_path / "b" / "cluster.db", host="b") as (anew, _):
            assert await anew.read(numbers) == [1]


@pytest.mark.parametrize(
    "forged",
    [
        {"host_id": "other-0001"},
        {"api": "javascript:alert(1)"},
        {"wall_ms": 1 << 63},
        {"name": "a\x1b[31m\n"},
        {"devices": -1},
    ],
    ids=str,
)
async def test_facts_that_no_host_tells_are_no_host(
    nats_server: NatsServer, cluster_name: str, forged: dict[str, object]
) -> None:
    async with host_in(nats_server.url, cluster_name, "a-0001") as (cluster, hosts):
        facts = msgspec.to_builtins(facts_of("b-0001")()) | forged
        lease = msgspec.json.encode({"beat": 1, "facts": facts})
        await cluster.jetstream.publish(f"$KV.{cluster.stream('HOSTS')}.b-0001", lease)
        await until(lambda: "b-0001" in hosts.unread, "it is not refused")
        assert list(hosts.live) == ["a-0001"]
        assert "account" in (hosts.unread["b-0001"].next_step or "")
        await until(lambda: not hosts.unread, "what is gone is still named")


async def test_live_events_of_others_are_made_safe_to_show(nats_server: NatsServer, cluster_name: str) -> None:
    async with open_cluster(nats_server.url, cluster_name) as cluster:
        got: list[LiveEvent] = []
        events = LiveEvents(cluster, "a", got.append)
        async with events.serving():
            bad = {
                "device": "lamp\n\x1b[31mred",
                "at_ms": 1,
                "code": "c\u202e",
                "text": "one\ntwo\x1b[2J" + "x" * 99_999,
            }
            for news in (bad, bad | {"at_ms": 1 << 62}, bad | {"at_ms": -1}):
                told = [("alarm", news)]
                await cluster.client.publish(f"{cluster.prefix}.live", msgspec.msgpack.encode(["b", told]))
            await until(lambda: events.refused == 2, "they are not refused")
            (event,) = got
            assert isinstance(event, Alarm)
            assert (event.device, event.code) == ("lamp red", "c")
            assert event.text.startswith("one\ntwoxxx")
            assert len(event.text) < 20_000
