"""A host that does not read what the others write, for a while: it catches up, and memory is bounded meanwhile."""

from __future__ import annotations

import asyncio
import random
import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Final

import pytest
from tests.cluster.hosts_of_tests import until
from tests.cluster.nats_servers import NatsServer
from tests.cluster.stores import open_replica
from tests.cluster.test_outages import IMAGE

from microclaw.cluster import nats_log
from microclaw.store import replica_writer

SIZE_BYTES: Final = 50_000


def image(number: int, body: bytes) -> Callable[[sqlite3.Connection], int]:
    return lambda connection: connection.execute(IMAGE, (f"image-{number}", body)).rowcount


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
