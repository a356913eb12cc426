"""The payloads that devices may fetch: of releases offered to them, from disk in threads. It sends nothing."""

from __future__ import annotations

import asyncio
from pathlib import Path

from microclaw.link_server.update_windows import BlobRefused
from microclaw.ota.payloads import Payloads
from microclaw.store.firmware import FirmwareTable, ReleaseRow


class OfferedPayloads:
    """The PayloadSource of the link server."""

    def __init__(self, table: FirmwareTable, payloads: Payloads) -> None:
        self._table = table
        self._payloads = payloads

    async def window(self, link_id: str, sha256: bytes, offset: int, length: int) -> bytes:
        """Asked of the store each time: a release that is withdrawn ends its downloads."""
        release = await self._offered(link_id, sha256.hex())
        if not 0 <= offset < release.size_bytes:
            raise BlobRefused("blob_range", f"the payload has {release.size_bytes} bytes")
        length = min(length, release.size_bytes - offset)
        data = await asyncio.to_thread(self._payloads.read, release.sha256, offset, length)
        if len(data) != length:
            raise OSError(f"the payload {release.sha256[:12]} is shorter than it was")
        return data

    async def file(self, link_id: str, sha256: str) -> Path:
        release = await self._offered(link_id, sha256)
        return self._payloads.path(release.sha256)

    async def _offered(self, link_id: str, sha256: str) -> ReleaseRow:
        rows = await self._table.offered(link_id, sha256)
        if not rows:
            raise BlobRefused("blob_unknown", "nobody offered this device such an update")
        live = [row for row in rows if row.withdrawn_ms is None]
        if not live:
            raise BlobRefused("blob_withdrawn", "the update was withdrawn")
        if self._payloads.shared is not None:
            await self._payloads.bring(sha256)
        return live[0]
