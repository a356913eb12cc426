"""A host that was away while the log was shortened ends by itself, and has the store when it is started again."""

from __future__ import annotations

import asyncio
import sys
from contextlib import closing
from pathlib import Path
from sqlite3 import connect

from microclaw.cluster.shared_store import shared_store, take_snapshot
from tests.cli.conftest import clean_environ
from tests.cluster.nats_servers import NatsServer
from tests.cluster.stores import open_cluster
from tests.cluster.two_hosts import Wire, wire_to

from microclaw.store.devices import DeviceRow, DeviceTable

LIMIT_S = 60.0


async def test_a_host_behind_the_purge_ends_with_an_error_and_fetches_the_store_anew(
    nats_server: NatsServer, cluster_name: str, tmp_path: Path
) -> None:
    async with (
        asyncio.timeout(3 * LIMIT_S),
        open_cluster(nats_server.url, cluster_name, host="other") as cluster,
        shared_store(cluster, tmp_path / "other.db", host="other") as (replica, _),
        wire_to(nats_server.port) as wire,
    ):
        host, _ = await _started(tmp_path / "home", wire, cluster_name)
        wire.cut()
        for name in ("lamp", "fan", "door"):
            await DeviceTable(replica).put(DeviceRow(name, name, "virtual", (), (), 0))
        await take_snapshot(cluster, tmp_path / "other.db", kept=0)
        await wire.mend()
        _, _errors = await host.communicate()
        assert host.returncode == 1
        again, facts = await _started(tmp_path / "home", wire, cluster_name)
        assert "problems" in facts
        async with shared_store(cluster, tmp_path / "third.db", host="third") as (third, _):
            names = [row.name for row in await DeviceTable(third).list()]
        again.terminate()
        await again.communicate()
        assert again.returncode == 0
    with closing(connect(tmp_path / "home" / "cluster.db")) as copy:
        found = [name for (name,) in copy.execute("SELECT name FROM devices ORDER BY name")]
    assert found == names == ["door", "fan", "lamp"]


async def _started(home: Path, wire: Wire, cluster_name: str) -> tuple[asyncio.subprocess.Process, str]:
    """The host's process, and the facts that it tells when it is ready."""
    words = ["up", "--json", "--port", "0", "--link", "off", "--nats", wire.url]
    environ = {**clean_environ(home), "MICROCLAW_CLUSTER__NAME": cluster_name}
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "microclaw.cli", *words, stdout=pipe, stderr=pipe, env=environ
    )
    assert process.stdout is not None
    return process, (await process.stdout.readline()).decode()
