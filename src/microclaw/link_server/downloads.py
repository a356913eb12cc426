"""GET /ota/SHA256.bin: a payload over HTTPS, for boards that prefer it to the link. Whose it is, the listener asked."""

from __future__ import annotations

import asyncio
import os
import re
from pathlib import Path
from typing import Final

from aiohttp import hdrs, web

from microclaw.durable import open_regular
from microclaw.link_server.http_connection import plain_answer
from microclaw.link_server.updates import BlobFault, BlobRefused, DeviceUpdates

MAX_DOWNLOAD_S: Final = 900.0
"""A device that takes longer asks for the rest with Range."""
_PATH: Final = re.compile(r"/ota/([0-9a-f]{64})\.bin")
_NO_BYTES: Final = re.compile(r"bytes=-0+")  # RFC 9110, section 14.1.2: not satisfiable
_CHUNK_BYTES: Final = 262_144
_WRITTEN_BYTES: Final = 65_536  # at once: the device decrypts while the next piece is encrypted
_STATUS: Final[dict[BlobFault, int]] = {"blob_unknown": 404, "blob_withdrawn": 410, "blob_range": 416, "blob_busy": 503}


class Downloads:
    """One at a time a device: a new one ends the one before, whose connection may be dead."""

    def __init__(self, updates: DeviceUpdates) -> None:
        self._updates = updates
        self._running: dict[str, tuple[asyncio.Transport, asyncio.TimerHandle]] = {}

    def named(self, request: web.BaseRequest) -> str | None:
        """The SHA-256 that the request asks for; None for another request."""
        found = _PATH.fullmatch(request.path)
        return None if found is None or request.method != hdrs.METH_GET else found[1]

    async def answer(self, request: web.BaseRequest, link_id: str, sha256: str) -> web.StreamResponse:
        """The file, or the part that Range names: 200, 206, 416; 404 and 410 as on the link."""
        source = self._updates.source
        try:
            if source is None:
                raise BlobRefused("blob_unknown", "this host has no updates")
            path = await source.file(link_id, sha256)
        except BlobRefused as exc:
            return plain_answer(_STATUS[exc.fault], f"{exc.fault}: {exc.message}")
        fd, size = await asyncio.to_thread(_open, path)
        try:
            part = _part(request, size)
            if part is None:
                refusal = plain_answer(416, "a range without bytes")
                refusal.headers[hdrs.CONTENT_RANGE] = f"bytes */{size}"
                return refusal
            self._begin(request, link_id)
            response = web.StreamResponse(status=206 if hdrs.RANGE in request.headers else 200)
            response.content_type = "application/octet-stream"
            response.content_length = len(part)
            response.headers[hdrs.ACCEPT_RANGES] = "bytes"
            if response.status == 206:
                response.headers[hdrs.CONTENT_RANGE] = f"bytes {part.start}-{part.stop - 1}/{size}"
            response.force_close()
            await response.prepare(request)
            await _send(response, fd, part)
            await response.write_eof()
        finally:
            await asyncio.to_thread(os.close, fd)
        return response

    def _begin(self, request: web.BaseRequest, link_id: str) -> None:
        transport = request.transport
        if transport is None:
            raise ConnectionResetError("the connection went away")
        if link_id in self._running:
            self._end(link_id)
        limit = asyncio.get_running_loop().call_later(MAX_DOWNLOAD_S, self._end, link_id)
        self._running[link_id] = transport, limit

    def _end(self, link_id: str) -> None:
        transport, limit = self._running.pop(link_id)
        limit.cancel()
        transport.abort()  # one that has ended is not touched


def _open(path: Path) -> tuple[int, int]:
    """The file, and its size."""
    fd = open_regular(path, os.O_RDONLY)
    return fd, os.fstat(fd).st_size


def _part(request: web.BaseRequest, size: int) -> range | None:
    """What the request asks for of so many bytes; None for a range with none of them."""
    if _NO_BYTES.fullmatch(request.headers.get(hdrs.RANGE, "").strip()):  # aiohttp takes it for all of them
        return None
    try:
        wanted = request.http_range
    except ValueError:
        return None
    return range(*wanted.indices(size)) or None


async def _send(response: web.StreamResponse, fd: int, part: range) -> None:
    """The next chunk is read in a thread while this one is sent: TLS over an event loop knows no sendfile."""
    at, reading = (
        part.start,
        asyncio.ensure_future(asyncio.to_thread(os.pread, fd, _size(part, part.start), part.start)),
    )
    try:
        while at < part.stop:
            chunk = memoryview(await reading)
            if not chunk:
                raise OSError("the payload became shorter")
            at += len(chunk)
            if at < part.stop:
                reading = asyncio.ensure_future(asyncio.to_thread(os.pread, fd, _size(part, at), at))
            for begin in range(0, len(chunk), _WRITTEN_BYTES):
                await response.write(chunk[begin : begin + _WRITTEN_BYTES])
    finally:
        await asyncio.wait((reading,))  # the file is closed next


def _size(part: range, at: int) -> int:
    return min(_CHUNK_BYTES, part.stop - at)
