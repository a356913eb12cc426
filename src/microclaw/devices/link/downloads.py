"""GET /ota/SHA256.bin: a payload over HTTPS, for boards that prefer it to the link.

The listener has authenticated the device before.
"""

from __future__ import annotations

import asyncio
import re
from typing import Final

from aiohttp import hdrs, web

from microclaw.devices.link.http_connection import plain_answer
from microclaw.devices.link.update_windows import BlobFault, BlobRefused, DeviceUpdates

MAX_DOWNLOAD_S: Final = 900.0
"""A device that takes longer asks for the rest with Range."""
_PATH: Final = re.compile(r"/ota/([0-9a-f]{64})\.bin")
# Small pieces: the device decrypts one while the next is encrypted.
_CHUNK_BYTES: Final = 65_536
_STATUS: Final[dict[BlobFault, int]] = {"blob_unknown": 404, "blob_withdrawn": 410, "blob_range": 416, "blob_busy": 503}


class Downloads:
    """The downloads under way, one for each device: a new one ends the older, whose connection may be dead."""

    def __init__(self, updates: DeviceUpdates) -> None:
        self._updates = updates
        self._running: dict[str, tuple[asyncio.Transport, asyncio.TimerHandle]] = {}

    def requested_sha256(self, request: web.BaseRequest) -> str | None:
        """Return the SHA-256 of the payload that the request is for, None for another request."""
        match = _PATH.fullmatch(request.path)
        if match is None or request.method != hdrs.METH_GET:
            return None
        return match[1]

    async def answer(self, request: web.BaseRequest, link_id: str, sha256: str) -> web.StreamResponse:
        """Answer with the file, or with the part that Range names: 200, 206, 416; 404 and 410 as on the link."""
        source = self._updates.source
        try:
            if source is None:
                raise BlobRefused("blob_unknown", "this host has no updates")
            path = await source.file(link_id, sha256)
        except BlobRefused as exc:
            return plain_answer(_STATUS[exc.fault], f"{exc.fault}: {exc.message}")
        try:
            size = (await asyncio.to_thread(path.stat)).st_size
            is_empty = (request.http_range.start or 0) >= size
        except FileNotFoundError:
            return plain_answer(404, "blob_unknown: it is not on this host's disk")
        except ValueError:
            # The Range header is invalid.
            is_empty = True
        if is_empty:
            refusal = plain_answer(416, "a range without bytes")
            refusal.headers[hdrs.CONTENT_RANGE] = f"bytes */{size}"
            return refusal
        self._begin(request, link_id)
        response = web.FileResponse(path, _CHUNK_BYTES, headers={hdrs.CONTENT_TYPE: "application/octet-stream"})
        response.force_close()
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
        # This does nothing to a transport that has ended.
        transport.abort()
