"""The host that bench.link measures: the device plane alone, with credentials for N devices, and a raw TLS echo.

Audio frames are echoed, or answered by a stream of the host's own (`--paced`). Limits on rates are lifted (but
`--guarded`): this is how fast it is, not what it grants. With `--database` it is the host `--name` of a cluster, whose
hosts have the folder `--home` together: each has its copy of the store, its lease, and follows the others.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import secrets
import signal
import ssl
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import cast

import uvloop
from aiohttp import web

from bench.paced_stream import PacedStream, Pacer
from microclaw.app.cluster import HostCluster, open_cluster
from microclaw.devices.link.connection import LinkConnection
from microclaw.devices.link.device_link import DeviceLink
from microclaw.devices.link.device_ownership import DeviceOwnership
from microclaw.devices.link.limits import LinkLimits
from microclaw.devices.link.link_parts import LinkParts, OpenAudio
from microclaw.devices.link.links import LinkRegistry
from microclaw.devices.link.listener import Listener
from microclaw.devices.link.meter import LinkMeter
from microclaw.devices.link.other_hosts import OtherHosts
from microclaw.devices.link.tasks import DeviceTasks
from microclaw.host.auth.authority import Authority
from microclaw.host.auth.certificates import host_names
from microclaw.host.auth.pairing import HostIdentity
from microclaw.host.config.load import load_settings
from microclaw.host.config.settings import ClusterSettings
from microclaw.host.store.database import Database
from microclaw.host.store.identity import IdentityTable
from microclaw.host.store.link_events import LinkEventTable, LinkTaskTable
from microclaw.host.store.links import LinkTable
from microclaw.interfaces.api.server import tcp_listener
from microclaw.virtual.link_client.state import SystemClock
from microclaw.wire.link.actions import Hear
from microclaw.wire.link.frame import FrameType
from microclaw.wire.link.messages import AudioFormat, CancelStream, StartAsr, StopAsr, TtsStart

LIMITS = LinkLimits(
    arriving_in_all=4096,
    arriving_an_address=4096,
    connections_in_all=16_384,
    connections_an_address=16_384,
    messages_a_second=1e9,
    messages_at_once=1e9,
)
STREAM = 2
TOKENS_AT_ONCE = 1_000  # fewer than the writes that may wait for the store
_AUDIO_OUT = bytes((FrameType.AUDIO_OUT,))


class RawEcho(asyncio.Protocol):
    """The least that a TLS server can do."""

    transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)  # uvloop's is one by its methods only

    def data_received(self, data: bytes) -> None:
        self.transport.write(data)


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--devices", type=int, default=1000)
    parser.add_argument("--guarded", action="store_true", help="the limits that a host has without being told")
    parser.add_argument("--paced", action="store_true", help="speak 50 frames a second to whom speaks, echo nothing")
    parser.add_argument("--address", default="127.0.0.1", help="where to listen")
    parser.add_argument("--database", metavar="URL", help="be a host of that database")
    parser.add_argument("--home", type=Path, help="of all hosts of the cluster (default: a folder for a moment)")
    parser.add_argument("--name", default="bench", help="of this host in the cluster")
    options = parser.parse_args()
    devices: int = options.devices
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    async with AsyncExitStack() as stack:
        folder = options.home or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="mc-bench-")))
        database, cluster = await _store(folder, options.database, options.name, stack)
        if options.paced:
            pacer = Pacer()
        else:
            pacer = None
        answering = Answering(pacer)
        holding = None if cluster is None else cluster.holding
        links = await LinkRegistry.open(link_parts(database, open_audio=answering.open_audio, holding=holding))
        if cluster is not None:
            _follow(cluster, links, stack)
        listener = stack.enter_context(tcp_listener(options.address, 0))
        identity = await host_identity(folder / "identity", database, listener.getsockname()[1])
        tokens = []
        for first in range(0, devices, TOKENS_AT_ONCE):
            numbers = range(first, min(devices, first + TOKENS_AT_ONCE))
            tokens += await asyncio.gather(*(identity.credentials.grant(f"bench-{n}") for n in numbers))
        if options.guarded:
            limits = LinkLimits()
        else:
            limits = LIMITS
        server = Listener(links, identity, limits=limits, meter=LinkMeter(), find_owner=known_device)
        tls = identity.authority.server_context()
        await stack.enter_async_context(server.serving(listener, tls))
        loop = asyncio.get_running_loop()
        raw = await loop.create_server(RawEcho, options.address, 0, ssl=identity.authority.server_context())
        bare = await stack.enter_async_context(_bare_aiohttp(identity.authority.server_context(), pacer))
        ready = {
            "pid": os.getpid(),
            "host": None if cluster is None else cluster.host_id,
            "port": listener.getsockname()[1],
            "raw_port": raw.sockets[0].getsockname()[1],
            "bare_port": bare,
            "ca": identity.authority.ca_pem.decode(),
            "tokens": [issued.token for issued in tokens if issued is not None],
        }
        print(json.dumps(ready), flush=True)
        if pacer is not None:
            pacing = asyncio.create_task(pacer.run(), name="pacer")
        else:
            pacing = None
        await stop.wait()
        if pacing is not None:
            pacing.cancel()
        raw.close()


async def _store(
    folder: Path, url: str | None, name: str, stack: AsyncExitStack
) -> tuple[Database, HostCluster | None]:
    if url is None:
        return await stack.enter_async_context(Database.open(folder / "microclaw.db")), None
    settings = load_settings({}, home=folder / name, http_port=0)
    cluster = await open_cluster(replace(settings, cluster=ClusterSettings(database=url, host=name)), url, stack)
    return cluster.database, cluster


def _follow(cluster: HostCluster, links: LinkRegistry, stack: AsyncExitStack) -> None:
    """As HostCluster.follow, but that no other host calls devices here."""
    others = OtherHosts(links, cluster.holding)
    cluster.holding.replaced = links.replaced
    cluster.database.listen(others.changed)
    cluster.hosts.listen(others.hosts_changed)
    following = asyncio.create_task(others.run(), name="follow the other hosts")
    stack.callback(following.cancel)


@asynccontextmanager
async def _bare_aiohttp(tls: ssl.SSLContext, pacer: Pacer | None) -> AsyncIterator[int]:
    """WebSockets with the library that the link is built on, and nothing else."""

    async def echo(request: web.BaseRequest) -> web.StreamResponse:
        socket = web.WebSocketResponse(protocols=("microclaw.v1",), compress=False, autoping=False)
        await socket.prepare(request)
        async for message in socket:
            await socket.send_bytes(message.data)
        return socket

    async def converse(request: web.BaseRequest) -> web.StreamResponse:
        assert pacer is not None
        socket = web.WebSocketResponse(protocols=("microclaw.v1",), compress=False, autoping=False)
        await socket.prepare(request)

        async def say(payload: bytes) -> None:
            with suppress(ConnectionError):  # who left hears no more
                await socket.send_bytes(_AUDIO_OUT + payload)

        stream = PacedStream(pacer, say)
        async for message in socket:
            stream.heard(message.data[1:])
        stream.is_on = False
        return socket

    server = web.Server(echo if pacer is None else converse, access_log=None)
    listening = await asyncio.get_running_loop().create_server(server, "127.0.0.1", 0, ssl=tls)
    yield listening.sockets[0].getsockname()[1]
    listening.close()
    await server.shutdown(1)


class Answering:
    """Answers a device's audio: it goes back, or the host speaks as long as the device does."""

    def __init__(self, pacer: Pacer | None) -> None:
        self._pacer = pacer

    def open_audio(self, _link: DeviceLink, connection: LinkConnection, _audio: AudioFormat) -> AnsweredAudio:
        connection.session.send(TtsStart(STREAM, "pcm16", 16_000))
        if self._pacer is None:
            return AnsweredAudio(connection.send_audio)

        async def say(payload: bytes) -> None:
            connection.send_audio(payload)

        return AnsweredAudio(PacedStream(self._pacer, say).heard)


class AnsweredAudio:
    """The audio of one connection: each frame is given to `hear`."""

    def __init__(self, hear: Callable[[bytes], None]) -> None:
        self._hear = hear

    def receive(self, message: StartAsr | StopAsr | CancelStream) -> None:
        pass

    def receive_audio(self, hear: Hear) -> None:
        self._hear(hear.payload)

    def end(self) -> None:
        pass


def link_parts(
    database: Database,
    *,
    open_audio: OpenAudio | None = None,
    holding: DeviceOwnership | None = None,
) -> LinkParts:
    return LinkParts(
        links=LinkTable(database, now_ms=now_ms, random_bytes=secrets.token_bytes),
        events=LinkEventTable(database),
        clock=SystemClock(),
        new_id=lambda: secrets.token_bytes(16),
        publish=lambda _: None,
        owner_of=lambda _: None,
        tasks=DeviceTasks(LinkTaskTable(database)),
        open_audio=open_audio,
        holding=holding,
    )


async def known_device(endpoint: str) -> str:
    """Whoever has a credential is known."""
    return endpoint


async def host_identity(folder: Path, database: Database, port: int) -> HostIdentity:
    """At which nobody pairs."""
    names = host_names("localhost", ("127.0.0.1",))
    authority = await Authority.open(folder, IdentityTable(database), lambda: names, now_ms=now_ms)
    return HostIdentity(authority, database, port=port, enrol=_nobody_pairs, mint_id=str, now_ms=now_ms)


async def _nobody_pairs(board: str, *, name: str | None, device_id: str | None, is_new: bool = False) -> str:  # noqa: ARG001
    raise AssertionError("a device of the benchmark asked to be paired")


def now_ms() -> int:
    return time.time_ns() // 1_000_000


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())
