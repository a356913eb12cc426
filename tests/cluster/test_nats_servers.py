"""The servers of these tests keep what they were given over a kill, alone and as three."""

from __future__ import annotations

from pathlib import Path

import nats
from nats.js.api import StreamConfig
from tests.cluster.nats_servers import NatsServer, three_servers


async def test_a_server_keeps_its_streams_over_a_kill(nats_server: NatsServer) -> None:
    client = await nats.connect(nats_server.url)
    js = client.jetstream()
    await js.add_stream(StreamConfig(name="KEPT", subjects=["kept"]))
    await js.publish("kept", b"1")
    await client.close()

    nats_server.kill()
    nats_server.start()

    client = await nats.connect(nats_server.url)
    assert (await client.jetstream().stream_info("KEPT")).state.messages == 1
    await client.close()


async def test_three_servers_go_on_without_one(tmp_path: Path) -> None:
    with three_servers(tmp_path) as servers:
        client = await nats.connect(servers[0].url)
        js = client.jetstream(timeout=60)
        await js.add_stream(StreamConfig(name="KEPT", subjects=["kept"], num_replicas=3))
        await js.publish("kept", b"1")
        leader = (await js.stream_info("KEPT")).cluster.leader  # type: ignore[union-attr]
        follower = next(server for server in servers[1:] if server.name != leader)
        follower.kill()
        assert (await js.publish("kept", b"2")).seq == 2
        follower.start()
        await client.close()
