"""A host that does not read what the others write, for a while: it catches up, and memory is bounded meanwhile."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import sqlite3
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

import pytest
from tests.cluster.chaos import Host
from tests.cluster.hosts_of_tests import until
from tests.cluster.nats_servers import NatsServer, one_server
from tests.cluster.stores import open_replica
from tests.cluster.test_outages import IMAGE

from microclaw.cluster import nats_log
from microclaw.store import replica_writer
from microclaw.store.replica import Replica

SIZE_BYTES: Final = 50_000
MORE_THAN_NATS_KEEPS: Final = 1_700  # of that size: a server keeps 64 MB for a client that does not read
MAX_MORE_MB: Final = 300  # the two queues of 64 MB each, and what Python and SQLite need for them


def image(number: int, body: bytes) -> Callable[[sqlite3.Connection], int]:
    return lambda connection: connection.execute(IMAGE, (f"image-{number}", body)).rowcount


async def write_images(replica: Replica, count: int) -> None:
    rng = random.Random(1)
    for number in range(count):
        await replica.write(image(number, rng.randbytes(SIZE_BYTES)))


def peak_mb(pid: int) -> float:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024


async def test_a_stopped_host_is_dropped_by_nats_comes_back_and_catches_up(tmp_path: Path) -> None:
    with one_server(tmp_path / "nats") as server:
        host = Host(tmp_path / "sleeper", server.url)
        host.home.mkdir(mode=0o700)
        try:
            await asyncio.to_thread(host.start)
            async with open_replica(server, "microclaw", tmp_path / "w" / "cluster.db", host="writer") as (replica, _):
                before = peak_mb(host.pid)
                os.kill(host.pid, signal.SIGSTOP)
                await write_images(replica, MORE_THAN_NATS_KEEPS)
                await until(lambda: "Slow Consumer" in (server.folder / "log").read_text(), "NATS does not drop it")
                os.kill(host.pid, signal.SIGCONT)
                await until(lambda: _position(host) >= replica.position, "it does not catch up")
                ((count, size),) = host.rows("SELECT count(*), sum(length(code)) FROM images")
                assert (count, size) == (MORE_THAN_NATS_KEEPS, MORE_THAN_NATS_KEEPS * SIZE_BYTES)
                assert peak_mb(host.pid) - before < MAX_MORE_MB
                await asyncio.to_thread(host.client.post, "/v1/devices/provision", {"name": "lamp"})
        finally:
            with suppress(AssertionError, ProcessLookupError):
                os.kill(host.pid, signal.SIGCONT)
            host.kill()


async def test_a_copy_that_cannot_keep_up_takes_no_more_than_its_limits_and_catches_up(
    nats_server: NatsServer, cluster_name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replica_writer, "MAX_INCOMING_BYTES", 1 << 20)
    monkeypatch.setattr(nats_log, "_PENDING_BYTES", 1 << 20)
    busy, most = threading.Event(), 0
    async with (
        open_replica(nats_server, cluster_name, tmp_path / "a" / "cluster.db", host="a") as (first, _),
        open_replica(nats_server, cluster_name, tmp_path / "b" / "cluster.db", host="b") as (second, _),
    ):

        def hold(_: sqlite3.Connection) -> None:
            busy.wait(60)

        holding = asyncio.create_task(second.write(hold))
        for number in range(100):
            await first.write(image(number, random.Random(number).randbytes(SIZE_BYTES)))
            most = max(most, second._writer._incoming_bytes)
        assert second.position < first.position
        busy.set()
        await holding
        await until(lambda: second.position == first.position, "it does not catch up")
        assert (1 << 20) <= most < (1 << 20) + 2 * SIZE_BYTES
        same = "SELECT sha256, code FROM images ORDER BY sha256"
        assert await second.read(lambda c: c.execute(same).fetchall()) == await first.read(
            lambda c: c.execute(same).fetchall()
        )


def _position(host: Host) -> int:
    ((seq,),) = host.rows("SELECT seq FROM log_position")
    return int(seq)
