"""What a host says of NATS servers that do not let it in, and that it ends in order whatever they did."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import uvloop
from tests.cluster.hosts_of_tests import until
from tests.cluster.nats_servers import NatsServer, one_server

from microclaw.cluster import connection
from microclaw.cluster.connection import connected
from microclaw.config.cluster_settings import ClusterSettings
from microclaw.errors import ConfigError


async def refusal(settings: ClusterSettings) -> ConfigError:
    with pytest.raises(ConfigError) as found:
        async with connected(settings, name="h"):
            pass
    return found.value


@asynccontextmanager
async def hanging_up() -> AsyncIterator[str]:
    """A server that ends each connection as soon as the host signed on."""
    info = json.dumps({"server_id": "X", "version": "2.10.0", "proto": 1, "headers": True, "max_payload": 1 << 20})

    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(f"INFO {info}\r\n".encode())
        with contextlib.suppress(ConnectionError):
            await reader.readline()
            writer.close()

    async with await asyncio.start_server(greet, "127.0.0.1", 0) as server:
        yield f"nats://127.0.0.1:{server.sockets[0].getsockname()[1]}"


def test_a_server_that_ends_the_connection_is_said_in_words(monkeypatch: pytest.MonkeyPatch, cluster_name: str) -> None:
    """With uvloop, as a host runs: it has errors of its own for a connection that is gone."""
    monkeypatch.setattr(connection, "FIRST_S", 1.0)

    async def tried() -> str:
        async with hanging_up() as url:
            return (await refusal(ClusterSettings(nats=url, name=cluster_name))).message

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        assert "it ended the connection" in runner.run(tried())


def test_a_host_that_stops_while_nats_is_away_ends_in_order(
    nats_server: NatsServer, cluster_name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What waits to be sent is for nobody."""
    monkeypatch.setattr(connection, "RECONNECT_S", 0.01)

    async def stopped() -> None:
        async with connected(ClusterSettings(nats=nats_server.url, name=cluster_name), name="h") as cluster:
            nats_server.kill()
            await until(lambda: not cluster.connected, "the connection is there")
            await cluster.client.publish("mc.somewhere", b"waits")
            assert cluster.client.pending_data_size > 0

    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(stopped())
    finally:
        nats_server.start()


async def test_a_user_of_another_cluster_is_told_which_subject_it_may_not_use(
    tmp_path: Path, cluster_name: str
) -> None:
    rights = 'publish { allow: ["mc.mine.>", "$JS.API.INFO"] }, subscribe { allow: ["mc.mine.>"] }'
    users = f'authorization {{ users: [{{user: "a", password: "b", permissions {{ {rights} }} }}] }}'
    password = tmp_path / "password"
    password.write_text("b\n")
    with one_server(tmp_path / "nats", extra=users, jetstream=False) as server:
        settings = ClusterSettings(nats=server.url, name=cluster_name, user="a", password_file=str(password))
        found = await refusal(settings)
    assert f"may not do what the cluster {cluster_name} needs" in found.message
    assert f"mc.{cluster_name}.inbox" in found.message
    assert "cluster.name" in (found.next_step or "")
