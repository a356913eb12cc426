"""A host written from docs/protocols/link.md alone, for a board that runs our firmware."""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tests.firmware.conftest import PATIENCE_S, Firmware
from tests.firmware.test_trust import paired
from tests.link.end import End, Numbers, closing
from websockets.asyncio.server import ServerConnection, serve
from websockets.typing import Subprotocol

from microclaw.host.auth.certificates import CONSTANT_NAME, new_authority, server_certificate


class PlainHost:
    """`ready()` is its next connection, after the greeting."""

    def __init__(self) -> None:
        self.arrived: asyncio.Queue[ServerConnection] = asyncio.Queue()
        self.numbers = Numbers()
        self.heartbeat_s = 15
        self.hello: dict[str, Any] = {}

    async def take(self, socket: ServerConnection) -> None:
        """One connection, until it is closed: also one that no test asks for ends with the server."""
        self.arrived.put_nowait(socket)
        await socket.wait_closed()

    @asynccontextmanager
    async def ready(self, *, rx_seq: int | None = None, back_in_s: int | None = 0) -> AsyncIterator[End]:
        """With `back_in_s` it ends with a `bye`, if it has not ended before."""
        async with asyncio.timeout(PATIENCE_S):
            socket = await self.arrived.get()
        async with closing(End(socket, self.numbers)) as end:
            await self.greet(end, rx_seq)
            yield end
            if back_in_s is not None and socket.state.name == "OPEN":
                await end.say("bye", {"reason": "next", "retry_after_s": back_in_s})

    async def greet(self, end: End, rx_seq: int | None = None) -> None:
        """Both ends' numbers go on from the board's `hello`."""
        numbers = self.numbers
        hello = (await end.next("hello"))["body"]
        self.hello = hello
        if hello["tx_epoch"] != numbers.rx_epoch:
            numbers.rx_epoch = hello["tx_epoch"]
            numbers.rx_seq = 0
        if hello.get("rx_epoch") == numbers.tx_epoch:
            numbers.tx_last = hello["rx_seq"]
        else:
            numbers.tx_last = 0
        welcome: dict[str, Any] = {"session": os.urandom(16), "host": {"name": "h", "version": "1"}}
        welcome |= {"time_ms": time.time_ns() // 1_000_000, "heartbeat_s": self.heartbeat_s}
        welcome |= {"tx_epoch": numbers.tx_epoch, "rx_epoch": numbers.rx_epoch}
        welcome |= {"rx_seq": numbers.rx_seq if rx_seq is None else rx_seq}
        await end.say("welcome", {**welcome, "limits": {"control_bytes": 16_384, "audio_bytes": 2_048}})


@asynccontextmanager
async def hosting(board: Firmware, folder: Path, host: PlainHost) -> AsyncIterator[None]:
    """The board, which does not run yet, is paired with this host."""
    now = datetime.now(UTC)
    authority = new_authority(now)
    path = folder / "server.pem"
    path.write_bytes(server_certificate(authority, [CONSTANT_NAME], [], now).to_pem())
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path)
    options: dict[str, Any] = {"subprotocols": [Subprotocol("microclaw.v1")], "compression": None, "max_size": None}
    listening = socket.socket()
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)  # what is not read fills it soon
    listening.bind(("127.0.0.1", 0))
    async with serve(host.take, sock=listening, ssl=context, ping_interval=None, **options):
        paired(board, authority, listening.getsockname()[1])
        yield
