"""One request between a task and a server: bodies pass piece by piece, counted, bounded in time, secrets masked."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Final

import h11

from microclaw.addresses import DEFAULT_PORTS
from microclaw.host.egress.allowlist import PLACE, AllowEntry
from microclaw.host.egress.masking import MaskedStream, SecretMask
from microclaw.host.egress.request_head import HOP_BY_HOP, MAX_HEAD_BYTES, ProxyRequest, RequestHeadRefused

PIECE_BYTES: Final = 64 << 10
LINGER_S: Final = 1.0
MAX_LINGER_BYTES: Final = 4 << 20
MAX_REASON_CHARS: Final = 400
BAD_GATEWAY: Final = 502
FAILURES: Final = (BAD_GATEWAY, 504)
"""Codes of failures after a request was allowed; other codes are refusals."""
_RANGES: Final = frozenset({b"range", b"if-range", b"accept-encoding"})
_PLAIN: Final = frozenset({b"", b"identity"})
_side = partial(h11.Connection, max_incomplete_event_size=MAX_HEAD_BYTES)


@dataclass(slots=True)
class StreamPair:
    """The two halves of a connection. Each wait for the peer ends after `stall_s` with a TimeoutError."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    stall_s: float

    async def read(self) -> bytes:
        """Return the next piece, empty at the end."""
        async with asyncio.timeout(self.stall_s):
            return await self.reader.read(PIECE_BYTES)

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        async with asyncio.timeout(self.stall_s):
            await self.writer.drain()

    async def next_event(self, connection: h11.Connection) -> object:
        """Read from the peer until `connection` has its next event, and return that."""
        while True:
            event = connection.next_event()
            if event is not h11.NEED_DATA:
                return event
            connection.receive_data(await self.read())

    async def close(self) -> None:
        """Close after the peer has read the rest, or at once if this is cancelled."""
        self.writer.close()
        try:
            with suppress(OSError):
                async with asyncio.timeout(self.stall_s):
                    await self.writer.wait_closed()
        finally:
            self.writer.transport.abort()


@dataclass(slots=True)
class Exchange:
    """One request of a task and its answer.

    `count` is called with the number of bytes that are about to pass, and may raise RequestHeadRefused. It is None
    until the request is allowed.
    """

    client: StreamPair
    connection: h11.Connection = field(default_factory=partial(_side, h11.SERVER))
    request: ProxyRequest | None = None
    count: Callable[[int], None] | None = None
    up_bytes: int = 0
    down_bytes: int = 0

    @property
    def has_answered(self) -> bool:
        """True if the answer has begun: a fault from then on ends it."""
        return self.connection.our_state not in (h11.IDLE, h11.SEND_RESPONSE)

    async def refuse(self, status: int, why: str) -> None:
        """Answer with the reason; 502 and 504 say "failed", other codes "refused".

        The reason is in the status line too, because most clients show only that line of an answer to CONNECT. It is
        not written by h11, which does not answer a request that it could not read.
        """
        outcome = "failed" if status in FAILURES else "refused"
        printable = "".join(char for char in why if " " <= char <= "~")
        reason = f"{outcome.capitalize()}: {printable}"
        text = f"microclaw: {why}\n".encode()
        head = (
            f"HTTP/1.1 {status} {reason[:MAX_REASON_CHARS]}",
            "Content-Type: text/plain; charset=utf-8",
            f"Content-Length: {len(text)}",
            "Connection: close",
            f"X-Microclaw-Egress: {outcome}",
        )
        await self.client.send("\r\n".join((*head, "", "")).encode() + text)
        self.client.writer.write_eof()
        # A socket that is closed with unread bytes loses the answer.
        left_bytes = MAX_LINGER_BYTES
        with suppress(TimeoutError):
            async with asyncio.timeout(LINGER_S):
                while left_bytes > 0:
                    data = await self.client.reader.read(PIECE_BYTES)
                    if not data:
                        break
                    left_bytes -= len(data)

    async def tunnel(self, upstream: StreamPair) -> None:
        """Answer CONNECT: pass bytes both ways until both ends are done, one stalls, or the volume is used up."""
        opened = h11.Response(status_code=200, headers=[], reason=b"Connection established")
        await self.client.send(self.connection.send(opened) or b"")
        async with asyncio.TaskGroup() as group:
            group.create_task(self._pump(self.client, upstream), name="tunnel up")
            group.create_task(self._pump(upstream, self.client), name="tunnel down")

    async def _pump(self, source: StreamPair, target: StreamPair) -> None:
        while data := await source.read():
            self._count(target, data)
            await target.send(data)
        if target.writer.can_write_eof():
            target.writer.write_eof()

    async def fetch(self, upstream: StreamPair, request: ProxyRequest, entry: AllowEntry, secret: str | None) -> None:
        """Pass on one request in absolute form, and its answer. `secret` goes into the entry's header."""
        server = _side(h11.CLIENT)
        headers = _request_headers(request, entry, secret)
        await self._send(upstream, server, h11.Request(method=request.method, target=request.path, headers=headers))
        async with asyncio.TaskGroup() as group:
            uploading = group.create_task(self._upload(upstream, server), name="upload")
            await self._download(upstream, server, secret)
            # The server may answer before it has read the whole body.
            uploading.cancel()

    async def _upload(self, upstream: StreamPair, server: h11.Connection) -> None:
        if self.connection.they_are_waiting_for_100_continue:
            await self._send(self.client, self.connection, h11.InformationalResponse(status_code=100, headers=[]))
        try:
            while isinstance(event := await self.client.next_event(self.connection), h11.Data):
                await self._send(upstream, server, event)
        except h11.RemoteProtocolError as exc:
            raise ConnectionError("the task closed the connection, or its body is not HTTP/1.1") from exc
        await self._send(upstream, server, h11.EndOfMessage())

    async def _download(self, upstream: StreamPair, server: h11.Connection, secret: str | None) -> None:
        mask = SecretMask(() if secret is None else (secret,))
        masked = MaskedStream(mask)
        answer = partial(self._send, self.client, self.connection)
        event = await upstream.next_event(server)
        while isinstance(event, h11.InformationalResponse):
            event = await upstream.next_event(server)
        if not isinstance(event, h11.Response):
            raise ConnectionError("the server closed the connection")
        encodings = {value.strip().lower() for name, value in event.headers if name == b"content-encoding"}
        if secret is not None and not encodings <= _PLAIN:
            raise RequestHeadRefused(BAD_GATEWAY, "the server compressed its answer, which could hide the secret")
        headers = []
        for name, value in event.headers.raw_items():
            if name.lower() not in HOP_BY_HOP:
                headers.append((name, mask.masked_bytes(value)))
        headers.append((b"Connection", b"close"))
        reason = mask.masked_bytes(bytes(event.reason))
        await answer(h11.Response(status_code=event.status_code, headers=headers, reason=reason))
        while isinstance(piece := await upstream.next_event(server), h11.Data):
            await answer(h11.Data(data=masked.feed(bytes(piece.data))))
        await answer(h11.Data(data=masked.rest()))
        await answer(h11.EndOfMessage())

    async def _send(self, target: StreamPair, connection: h11.Connection, event: h11.Event) -> None:
        data = connection.send(event) or b""
        # The end of a message is not counted: it passes even if the volume is used up.
        if isinstance(event, h11.Request | h11.Response | h11.Data):
            self._count(target, data)
        await target.send(data)

    def _count(self, target: StreamPair, data: bytes) -> None:
        assert self.count is not None
        self.count(len(data))
        if target is self.client:
            self.down_bytes += len(data)
        else:
            self.up_bytes += len(data)


def _request_headers(request: ProxyRequest, entry: AllowEntry, secret: str | None) -> list[tuple[bytes, bytes]]:
    host = request.host
    scheme = "https" if entry.tls else "http"
    if request.port != DEFAULT_PORTS[scheme]:
        host += f":{request.port}"
    headers: list[tuple[bytes, bytes]] = [(b"Host", host.encode())]
    dropped: frozenset[bytes] = frozenset()
    if secret is not None:
        name, text = entry.header_parts
        # A part of the answer could contain a part of the secret, which the mask would not find.
        dropped = _RANGES | {name.lower().encode()}
        headers += [(name.encode(), text.replace(PLACE, secret).encode()), (b"Accept-Encoding", b"identity")]
    headers += [(name, value) for name, value in request.headers if name.lower() not in dropped]
    return [*headers, (b"Connection", b"close")]
