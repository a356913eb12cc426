"""Hosts of two versions in one cluster: what an older one does with a newer one's store, messages and leases."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from contextlib import closing
from pathlib import Path

import msgspec
import pytest
from microclaw.cluster.connection import Cluster
from microclaw.cluster.entry_messages import EntrySeal
from microclaw.cluster.nats_log import log_subject
from microclaw.cluster.shared_store import shared_store
from microclaw.cluster.store_meta import read_meta
from microclaw.store.recording import Entry, Statement, encode
from tests.cluster.hosts_of_tests import TIMES, facts_of, host_in, until
from tests.cluster.nats_servers import NatsServer
from tests.cluster.stores import open_cluster, open_replica

from microclaw.cluster.call_codec import encode_request, encode_value, read_answer, read_request
from microclaw.cluster.duties import Duties
from microclaw.cluster.hosts import Hosts
from microclaw.cluster.status import ClusterView
from microclaw.devices.calls import GpioGet
from microclaw.errors import ProtocolError, StoreError
from microclaw.store.schema import VERSION

NEWER = VERSION + 1


def upgrade(store: sqlite3.Connection) -> None:
    """As the next migration of a newer microclaw does it."""
    store.execute("ALTER TABLE devices ADD COLUMN colour TEXT")
    store.execute("CREATE TABLE newer (a)")
    store.execute("INSERT INTO newer VALUES (1)")
    store.execute(f"PRAGMA user_version = {NEWER}")


def add(store: sqlite3.Connection) -> None:
    store.execute("INSERT INTO newer VALUES (2)")


def rows(store: sqlite3.Connection) -> list[int]:
    return [a for (a,) in store.execute("SELECT a FROM newer")]


async def sealed(cluster: Cluster, seq: int, data: bytes) -> bytes:
    """As a newer host of this cluster seals it."""
    meta = await read_meta(cluster)
    assert meta is not None
    return EntrySeal(meta.cluster).seal(seq, data)


async def test_an_older_host_reads_and_writes_nothing_once_a_newer_one_upgraded_the_store(
    nats_server: NatsServer, cluster_name: str, tmp_path: Path
) -> None:
    async with (
        open_cluster(nats_server.url, cluster_name, host="old") as cluster,
        shared_store(cluster, tmp_path / "old" / "cluster.db", host="old") as (old, log),
        Hosts.joined(cluster, facts_of("old-0001"), host_id="old-0001", times=TIMES) as hosts,
        Duties.opened(cluster, hosts, is_able=lambda: not old.is_too_old) as duties,
        open_replica(nats_server, cluster_name, tmp_path / "new" / "cluster.db", host="new") as (new, _),
    ):
        ended: list[int] = []

        async def work(fence: int) -> None:
            await new.write(upgrade)
            try:
                await until(lambda: False, "the duty stays")
            finally:
                ended.append(fence)

        holding = asyncio.create_task(duties.hold("telegram", work))
        await until(lambda: ended, "the duty is not given up")
        await until(lambda: duties.known["telegram"].holder is None, "the duty is not free")
        assert old.store_version == NEWER
        with pytest.raises(StoreError):
            await old.write(add)
        assert await old.read(rows) == [1]
        (await ClusterView(cluster, hosts, duties, old, log).status())["problems"]
        holding.cancel()
        await asyncio.gather(holding, return_exceptions=True)
    for host in "old", "new":
        with closing(sqlite3.connect(tmp_path / host / "cluster.db")) as store:
            assert store.execute("PRAGMA user_version").fetchone() == (NEWER,)
            assert rows(store) == [1]
    with pytest.raises(StoreError):
        async with open_replica(nats_server, cluster_name, tmp_path / "old" / "cluster.db", host="old"):
            pass


async def test_an_entry_of_another_form_is_refused_once_and_followed_by_no_write(
    nats_server: NatsServer, cluster_name: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with (
        open_cluster(nats_server.url, cluster_name) as cluster,
        shared_store(cluster, tmp_path / "cluster.db", host="old") as (old, log),
    ):
        newer = Entry("e" * 24, "new", NEWER, [Statement("SELECT 1", [()])], "", format=2)
        await cluster.jetstream.publish(log_subject(cluster), await sealed(cluster, 1, b"p" + encode(newer)))
        await until(lambda: "the form 2" in caplog.text, "the entry is not said")
        assert old.trouble is not None
        assert log.strays == 0
        with pytest.raises(StoreError):
            await old.write(lambda store: store.execute("CREATE TABLE one (a)").close())
        assert old.position == 0


async def test_a_lease_and_a_duty_of_another_form_are_left_alone(
    nats_server: NatsServer, cluster_name: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    async with host_in(nats_server.url, cluster_name, "old-0001") as (cluster, hosts):
        bucket = f"$KV.{cluster.stream('HOSTS')}.new-0001"
        facts = msgspec.to_builtins(facts_of("new-0001")()) | {"colour": "red"}
        known = {"beat": 1, "facts": facts, "more": True}
        await cluster.jetstream.publish(bucket, msgspec.json.encode(known))
        await until(lambda: hosts.is_live("new-0001"), "fields that are not known make no difference")
        for _ in range(3):
            await cluster.jetstream.publish(bucket, msgspec.json.encode({"form": 2, "whatever": 1}))
        await until(lambda: "new-0001" in hosts.unread, "the lease is not said")
        await until(lambda: not hosts.is_live("new-0001"), "it counts as alive")
        async with Duties.opened(cluster, hosts) as duties:
            held = f"$KV.{cluster.stream('DUTIES')}.telegram"
            await cluster.jetstream.publish(held, msgspec.json.encode({"holder": None, "fence": 1, "form": 2}))
            with pytest.raises(ProtocolError):
                await duties._take("telegram")


def test_calls_and_answers_of_another_form_are_refused_in_words() -> None:
    request = msgspec.msgpack.decode(encode_request("d-1", GpioGet(4), 1.0))
    answer = msgspec.msgpack.decode(encode_value("h", 1, None))
    assert len(request) == 4, "a form of 1 is not sent: the first hosts of a cluster knew no number"
    with pytest.raises(ProtocolError):
        read_request(msgspec.msgpack.encode([*request, 2]))
    with pytest.raises(ProtocolError):
        read_answer(msgspec.msgpack.encode([*answer[:3], None, 2]), GpioGet(4))
