"""A scripted host of one board: it offers updates and serves their payload, as docs/protocols/ota.md says."""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tests.firmware.conftest import Firmware
from tests.firmware.test_trust import paired

from microclaw.auth.certificates import CONSTANT_NAME, new_authority, server_certificate
from microclaw.wire.link.codec import decode, encode
from microclaw.wire.link.messages import (
    Ack,
    AnyMessage,
    BlobRead,
    Bye,
    Call,
    Envelope,
    ErrorMessage,
    Event,
    Hello,
    Limits,
    Log,
    OtaStatus,
    Ping,
    Pong,
    Result,
    Software,
    Welcome,
)

PIECE_BYTES = 1008
Serve = Callable[["UpdateHost", BlobRead], bool]


class UpdateHost:
    """One board's host. `offer` waits in its outbox until the board acks it; `serve` may refuse to answer a window."""

    def __init__(self, payload: bytes = b"") -> None:
        self.payload = payload
        self.hellos: list[Hello] = []
        self.statuses: list[OtaStatus] = []
        self.errors: list[ErrorMessage] = []
        self.events: list[tuple[str, Any]] = []
        self.logs: list[str] = []
        self.results: list[Result] = []
        self.windows: list[BlobRead] = []
        self.serve: Serve = lambda _host, _window: True
        self.lets_in = True
        self.news = asyncio.Condition()
        self.tx_epoch = os.urandom(8)
        self._sent = 0
        self._queue: list[tuple[int, AnyMessage]] = []
        self._seen: set[bytes] = set()
        self._rx_epoch = b""
        self._rx_seq = 0
        self.writer: asyncio.StreamWriter | None = None

    def say(self, body: AnyMessage) -> None:
        """A durable message."""
        self._sent += 1
        self._queue.append((self._sent, body))
        if self.writer is not None:
            self.send(body, self._sent)

    def cut(self) -> None:
        """The connection breaks."""
        if self.writer is not None:
            self.writer.transport.abort()

    async def until(self, holds: Callable[[], bool]) -> None:
        async with self.news:
            await self.news.wait_for(holds)

    def states(self, version: str) -> list[str]:
        return [status.state for status in self.statuses if status.version == version]

    async def take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection."""
        try:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 101 Switching\r\nSec-WebSocket-Protocol: microclaw.v1\r\n\r\n")
            while True:
                opcode, data = await _frame(reader)
                if opcode == 8:
                    return
                if opcode == 2:
                    self.writer = writer
                    await self.hear(decode(data[1:]))
        except (ConnectionError, asyncio.IncompleteReadError, ssl.SSLError):
            pass  # the board left
        finally:
            if self.writer is writer:
                self.writer = None
            writer.close()

    async def hear(self, said: Envelope) -> None:
        body = said.body
        is_new = True
        if said.seq is not None:
            is_new = said.seq > self._rx_seq and said.id not in self._seen
            self._rx_seq = max(self._rx_seq, said.seq)
            self._seen.add(said.id)
            self.send(Ack(self._rx_seq))
        match body:
            case Hello() if self.lets_in:
                if body.tx_epoch != self._rx_epoch:
                    self._rx_epoch, self._rx_seq = body.tx_epoch, 0
                self.hellos.append(body)
                now_ms = int(time.time() * 1000)
                limits = Limits(16384, 2048)
                host = Software("host", "1")
                self.send(
                    Welcome(bytes(16), host, now_ms, 15, self.tx_epoch, self._rx_seq, limits, self._rx_epoch or None)
                )
                done = body.rx_seq if body.rx_epoch == self.tx_epoch else 0
                for seq, waiting in self._queue:
                    if seq > done:
                        self.send(waiting, seq)
            case Ping():
                now_us = time.time_ns() // 1000
                self.send(Pong(body.n, body.t0, now_us, now_us), re=said.id)
            case OtaStatus() if is_new:
                self.statuses.append(body)
            case BlobRead():
                self.windows.append(body)
                if self.serve(self, body):
                    self.answer(body)
            case Result():
                self.results.append(body)
            case Event() if is_new:
                self.events.append((body.name, body.data))
            case Log():
                self.logs.append(body.text)
            case ErrorMessage():
                self.errors.append(body)
            case Bye():
                pass
        async with self.news:
            self.news.notify_all()

    def answer(self, wanted: BlobRead) -> None:
        data = self.payload[wanted.offset : wanted.offset + wanted.length]
        for at in range(0, len(data), PIECE_BYTES):
            head = b"\x04" + wanted.sha256[:8] + (wanted.offset + at).to_bytes(4, "big")
            self._write(head + data[at : at + PIECE_BYTES])

    def call(self, method: str, params: dict[str, Any]) -> None:
        self.send(Call(method, params, False))

    def send(self, body: AnyMessage, seq: int | None = None, re: bytes | None = None) -> None:
        self._write(b"\x01" + encode(Envelope(os.urandom(16), body, int(time.time() * 1000), seq, re)))

    def _write(self, data: bytes) -> None:
        assert self.writer is not None
        size = bytes([len(data)]) if len(data) < 126 else bytes([126]) + len(data).to_bytes(2, "big")
        self.writer.write(b"\x82" + size + data)


async def _frame(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    first, second = await reader.readexactly(2)
    size = second & 127
    if size == 126:
        size = int.from_bytes(await reader.readexactly(2), "big")
    mask = await reader.readexactly(4)
    data = await reader.readexactly(size)
    return first & 15, bytes(byte ^ mask[at % 4] for at, byte in enumerate(data))


@asynccontextmanager
async def hosting_updates(board: Firmware, folder: Path, host: UpdateHost) -> AsyncIterator[UpdateHost]:
    """A link's server that the board trusts."""
    now = datetime.now(UTC)
    authority = new_authority(now)
    (folder / "server.pem").write_bytes(server_certificate(authority, [CONSTANT_NAME], [], now).to_pem())
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "server.pem")
    listening = socket.socket()
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)  # what is not read fills it soon
    listening.bind(("127.0.0.1", 0))
    async with await asyncio.start_server(host.take, sock=listening, ssl=context, limit=1024):
        paired(board, authority, listening.getsockname()[1])
        yield host
