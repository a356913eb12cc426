"""One request between a task and a server: bodies pass piece by piece, counted, bounded in time, secrets masked."""

from __future__ import annotations

import asyncio
import base64
import errno
import re
import ssl
from collections.abc import Callable
from contextlib import suppress
from typing import Final
from urllib.parse import unquote, urlsplit

import h11
from msgspec import Struct

from microclaw.addresses import bracketed
from microclaw.egress.allowlist import PLACE, AllowEntry
from microclaw.egress.request_head import HOP_BY_HOP, MAX_HEAD_BYTES, ProxyRequest, RequestRefused
from microclaw.masking import SecretMask

PIECE_BYTES: Final = 64 << 10
LINGER_S: Final = 1.0
MAX_LINGER_BYTES: Final = 4 << 20
MAX_REASON_CHARS: Final = 400
_RANGES: Final = frozenset({b"range", b"if-range", b"accept-encoding"})
_PLAIN: Final = frozenset({b"", b"identity"})


class Streams:
    """The two halves of a connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def close(self, wait_s: float) -> None:
        """Let the peer read what is left, for so long at most; 0 is at once."""
        self.writer.close()
        try:
            if wait_s:
                with suppress(OSError, TimeoutError):
                    async with asyncio.timeout(wait_s):
                        await self.writer.wait_closed()
        finally:
            self.writer.transport.abort()


class Upstream(Struct, frozen=True):
    streams: Streams
    port: int
    tls: bool


async def connect(address: str, port: int, *, way: str | None, tls: ssl.SSLContext | None, name: str) -> Streams:
    """A connection to a checked address, by CONNECT where `way` is an http:// proxy. OSError when there is none."""
    if way is None:
        server_name = None if tls is None else name
        return Streams(*await asyncio.open_connection(address, port, ssl=tls, server_hostname=server_name))
    parts = urlsplit(way)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port or 80)
    try:
        place = f"{bracketed(address)}:{port}"
        lines = [f"CONNECT {place} HTTP/1.1", f"Host: {place}"]
        if parts.username is not None:
            known = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
            lines.append(f"Proxy-Authorization: Basic {base64.b64encode(known.encode()).decode()}")
        writer.write("\r\n".join([*lines, "", ""]).encode())
        head = await reader.readuntil(b"\r\n\r\n")
        if not re.match(rb"HTTP/1\.[01] 200[ \r]", head):
            status = head.partition(b"\r\n")[0][:60].decode("ascii", "replace")
            raise ConnectionRefusedError(errno.ECONNREFUSED, f"the proxy of the settings says {status!r}")
        if tls is not None:
            await writer.start_tls(tls, server_hostname=name)
    except (asyncio.IncompleteReadError, asyncio.LimitOverrunError) as exc:
        writer.transport.abort()
        raise ConnectionAbortedError(errno.ECONNABORTED, "the proxy of the settings broke off") from exc
    except BaseException:
        writer.transport.abort()
        raise
    return Streams(reader, writer)


class VolumeSpent(ConnectionError):
    """The limit of bytes was reached in the middle of an answer."""


class Exchange:
    """`count` takes bytes that are about to pass and says why they may not; None until the request is allowed."""

    def __init__(self, client: Streams, connection: h11.Connection, *, stall_s: float) -> None:
        self._client = client
        self._connection = connection
        self._stall_s = stall_s
        self.count: Callable[[int], str | None] | None = None
        self.up_bytes = 0
        self.down_bytes = 0
        self.ended = ""
        """Why it ended early; empty when it did not."""

    async def refuse(self, status: int, why: str) -> None:
        """Answer with the reason, unless the answer has begun. The host's own faults (502, 504) are no refusal.

        It is in the status line too: of an answer to CONNECT most clients show that alone.
        """
        if self._connection.our_state not in (h11.IDLE, h11.SEND_RESPONSE):
            return
        text = f"microclaw: {why}\n".encode()
        is_failure = status in (502, 504)
        words = "".join(char for char in why if " " <= char <= "~")
        reason = f"{'Failed' if is_failure else 'Refused'}: {words}"[:MAX_REASON_CHARS]
        headers = [
            ("Content-Type", "text/plain; charset=utf-8"),
            ("Content-Length", str(len(text))),
            ("Connection", "close"),
            ("X-Microclaw-Egress", "failed" if is_failure else "refused"),
        ]
        if self._connection.our_state is h11.IDLE:  # what came is no request that h11 would answer
            head = f"HTTP/1.1 {status} {reason}\r\n" + "".join(f"{name}: {value}\r\n" for name, value in headers)
            await self._send(self._client, head.encode() + b"\r\n" + text)
        else:
            response = h11.Response(status_code=status, headers=headers, reason=reason.encode())
            for event in (response, h11.Data(data=text), h11.EndOfMessage()):
                await self._send(self._client, self._connection.send(event) or b"")
        await self._linger()

    async def _linger(self) -> None:
        """Read what the task still sends: a unix socket that is closed with bytes unread loses the answer."""
        self._client.writer.write_eof()
        read_bytes = 0
        with suppress(TimeoutError):
            async with asyncio.timeout(LINGER_S):
                while read_bytes < MAX_LINGER_BYTES and (data := await self._client.reader.read(PIECE_BYTES)):
                    read_bytes += len(data)

    async def tunnel(self, upstream: Upstream) -> None:
        """CONNECT: bytes both ways until both ends are done, one of them stalls or the volume is spent."""
        established = self._connection.send(h11.Response(status_code=200, headers=[], reason=b"Connection established"))
        await self._send(self._client, established or b"")
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._pump(self._client, upstream.streams, up=True), name="tunnel up")
                group.create_task(self._pump(upstream.streams, self._client, up=False), name="tunnel down")
        except* (OSError, TimeoutError) as errors:
            self.ended = self.ended or str(errors.exceptions[0]) or "a peer stalled"

    async def _pump(self, source: Streams, target: Streams, *, up: bool) -> None:
        while True:
            data = await self._read(source)
            if not data:
                break
            self._counted(len(data), up=up)
            await self._send(target, data)
        if target.writer.can_write_eof():
            target.writer.write_eof()

    async def request(self, upstream: Upstream, request: ProxyRequest, entry: AllowEntry, secret: str | None) -> None:
        """One request in absolute form, and its answer. `secret` goes into the entry's header."""
        server = h11.Connection(h11.CLIENT, max_incomplete_event_size=MAX_HEAD_BYTES)
        mask = SecretMask((secret,)) if secret is not None else None
        headers = _request_headers(request, upstream, entry, secret)
        head = server.send(h11.Request(method=request.method, target=request.target, headers=headers)) or b""
        self._counted(len(head), up=True)
        await self._send(upstream.streams, head)
        uploading = asyncio.create_task(self._upload(upstream, server), name="upload")
        downloading = asyncio.create_task(self._download(upstream, server, mask), name="download")
        try:
            done, _ = await asyncio.wait({uploading, downloading}, return_when=asyncio.FIRST_COMPLETED)
            if downloading not in done:
                uploading.result()  # the task broke off: the server is not asked any further
            await downloading  # an answer may come before all of the body was taken
        finally:
            for running in (uploading, downloading):
                running.cancel()
            await asyncio.wait({uploading, downloading})

    async def _upload(self, upstream: Upstream, server: h11.Connection) -> None:
        while True:
            if self._connection.they_are_waiting_for_100_continue:
                go_on = h11.InformationalResponse(status_code=100, headers=[])
                await self._send(self._client, self._connection.send(go_on) or b"")
            event = self._connection.next_event()
            if event is h11.NEED_DATA:
                self._connection.receive_data(await self._read(self._client))
                continue
            if isinstance(event, h11.Data):
                self._counted(len(event.data), up=True)
                await self._send(upstream.streams, server.send(h11.Data(data=bytes(event.data))) or b"")
                continue
            if isinstance(event, h11.EndOfMessage):
                await self._send(upstream.streams, server.send(h11.EndOfMessage()) or b"")
            return

    async def _download(self, upstream: Upstream, server: h11.Connection, mask: SecretMask | None) -> None:
        stream = None if mask is None else mask.stream()
        while True:
            event = server.next_event()
            if event is h11.NEED_DATA:
                server.receive_data(await self._read(upstream.streams))
            elif isinstance(event, h11.InformationalResponse):
                continue
            elif isinstance(event, h11.Response):
                await self._answer(event, mask)
            elif isinstance(event, h11.Data):
                data = bytes(event.data)
                await self._down(data if stream is None else stream.feed(data))
            elif isinstance(event, h11.EndOfMessage):
                await self._down(b"" if stream is None else stream.rest())
                await self._send(self._client, self._connection.send(h11.EndOfMessage()) or b"")
                return
            else:
                raise ConnectionError("the server broke off")

    async def _answer(self, event: h11.Response, mask: SecretMask | None) -> None:
        """The answer's head without what belongs to the other connection."""
        kept: list[tuple[bytes, bytes]] = []
        for name, value in event.headers.raw_items():
            lowered = name.lower()
            if lowered == b"content-encoding" and mask is not None and value.strip().lower() not in _PLAIN:
                raise RequestRefused(502, "the server compressed its answer, which could hide the secret")
            if lowered == b"content-length" or lowered not in HOP_BY_HOP:
                kept.append((name, value if mask is None else mask.masked_bytes(value)))
        head = self._connection.send(
            h11.Response(
                status_code=event.status_code,
                headers=[*kept, (b"Connection", b"close")],
                reason=event.reason if mask is None else mask.masked_bytes(bytes(event.reason)),
            )
        )
        self._counted(len(head or b""), up=False)
        await self._send(self._client, head or b"")

    async def _down(self, data: bytes) -> None:
        if data:
            self._counted(len(data), up=False)
            await self._send(self._client, self._connection.send(h11.Data(data=data)) or b"")

    def _counted(self, size_bytes: int, *, up: bool) -> None:
        why = None if self.count is None else self.count(size_bytes)
        if why is not None:
            self.ended = why
            if self._connection.our_state is h11.SEND_RESPONSE:
                raise RequestRefused(429, why)
            raise VolumeSpent(why)
        if up:
            self.up_bytes += size_bytes
        else:
            self.down_bytes += size_bytes

    async def _read(self, source: Streams) -> bytes:
        try:
            async with asyncio.timeout(self._stall_s):
                return await source.reader.read(PIECE_BYTES)
        except TimeoutError:
            self.ended = self.ended or f"nothing came for {self._stall_s:g} s"
            raise

    async def _send(self, target: Streams, data: bytes) -> None:
        target.writer.write(data)
        try:
            async with asyncio.timeout(self._stall_s):
                await target.writer.drain()
        except TimeoutError:
            self.ended = self.ended or f"nothing was taken for {self._stall_s:g} s"
            raise


def _request_headers(
    request: ProxyRequest, upstream: Upstream, entry: AllowEntry, secret: str | None
) -> list[tuple[bytes, bytes]]:
    default = 443 if upstream.tls else 80
    host = bracketed(request.host) + ("" if upstream.port == default else f":{upstream.port}")
    headers: list[tuple[bytes, bytes]] = [(b"Host", host.encode())]
    dropped: frozenset[bytes] = frozenset()
    if secret is not None and entry.header is not None:
        name, text = entry.header
        dropped = _RANGES | {name.lower().encode()}  # a part of the answer could hold a part of the secret
        headers += [(name.encode(), text.replace(PLACE, secret).encode()), (b"Accept-Encoding", b"identity")]
    headers += [(name, value) for name, value in request.headers if name.lower() not in dropped]
    if request.length is not None:
        headers.append((b"Content-Length", request.length))
    elif request.chunked:
        headers.append((b"Transfer-Encoding", b"chunked"))
    return [*headers, (b"Connection", b"close")]
