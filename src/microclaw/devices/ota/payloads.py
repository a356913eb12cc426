"""Payloads of releases as files named by their SHA-256: each is complete and correct, or absent. It signs nothing.

A device fetches the payloads of releases that it was offered.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import os
import re
from collections.abc import Callable, Container
from pathlib import Path
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from microclaw.devices.link.update_windows import BlobRefused
from microclaw.durable import make_private_folder, open_regular, replace_file
from microclaw.errors import ConfigError, StoreError
from microclaw.host.store.firmware import FirmwareTable, ReleaseRow

if TYPE_CHECKING:
    # A host without a cluster imports none of its files.
    from microclaw.host.cluster.payload_rows import SharedFiles

_OURS: Final = re.compile(r"[0-9a-f]{64}(\.part|\.new)?")
_log = logging.getLogger(__name__)
_SEND_AGAIN: Final = "publish it again"
_SIGN_AGAIN: Final = "sign a manifest of this very payload, then publish both"


class Payloads(Struct, frozen=True):
    """The files of payloads. All methods but `share` and `bring` block: call them in a thread.

    `shared` is for a cluster.
    """

    folder: Path
    shared: SharedFiles | None = None

    async def share(self, sha256: str) -> None:
        """Give a payload that is stored here to the other hosts."""
        if self.shared is not None:
            await self.shared.put(sha256, self.path(sha256))

    async def bring(self, sha256: str) -> bool:
        """Return True if the payload is here, after fetching it from another host if needed."""
        is_here = await asyncio.to_thread(self.has, sha256)
        if is_here or self.shared is None:
            return is_here
        try:
            await self.shared.fetch(sha256, self.path(sha256))
        except StoreError as exc:
            _log.warning("%s", exc.message)
            return False
        return True

    def open(self, needed: Container[str]) -> None:
        """Make the folder, and remove pieces and files that no release needs."""
        make_private_folder(self.folder)
        for path in self.folder.iterdir():
            if path.name not in needed and _OURS.fullmatch(path.name) and path.is_file():
                try:
                    path.unlink()
                except OSError as exc:
                    # A file too many harms nothing, so the host still starts.
                    _log.warning("cannot remove %s: %s", path, exc)

    def path(self, sha256: str) -> Path:
        """Return the path for a SHA-256, which the caller has checked to be 64 digits."""
        assert len(sha256) == 64
        assert sha256.isalnum()
        return self.folder / sha256

    def has(self, sha256: str) -> bool:
        return self.path(sha256).is_file()

    def complete(self, sha256: str, size: int, sent: bytes | None, check: Callable[[bytes], None]) -> None:
        """Give the payload its name, on the disk, once SHA-256 and size are right and `check` raised no ConfigError.

        Without `sent` it checks the file that is here already, and removes it if it has another SHA-256. Raises
        ConfigError; StoreError if the disk does not take it.
        """
        path = self.path(sha256)
        data = self._read_whole(path) if sent is None else sent
        if hashlib.sha256(data).hexdigest() != sha256:
            if sent is None:
                path.unlink(missing_ok=True)
            text = f"the payload has another SHA-256 than the manifest says ({sha256[:12]})"
            raise ConfigError(text, next_step=_SIGN_AGAIN)
        if len(data) != size:
            raise ConfigError(f"the payload has {len(data)} bytes, the manifest says {size}", next_step=_SIGN_AGAIN)
        check(data)
        if sent is not None:
            self._write(path, sent)

    def _read_whole(self, path: Path) -> bytes:
        try:
            return path.read_bytes()
        except OSError as exc:
            raise ConfigError(f"the payload is not here: {exc.strerror}", next_step=_SEND_AGAIN) from exc

    def _write(self, path: Path, data: bytes) -> None:
        try:
            replace_file(path, data, only_writer=True)
        except OSError as exc:
            text = f"cannot keep {path.name}: {exc.strerror or exc}; nothing of it was kept"
            raise StoreError(text, next_step="free some space on the disk, then publish it again") from exc

    def read(self, sha256: str, offset: int, length: int) -> bytes:
        """Return up to `length` bytes from `offset` on. Raises OSError."""
        fd = open_regular(self.path(sha256), os.O_RDONLY)
        try:
            return os.pread(fd, length, offset)
        finally:
            os.close(fd)


class OfferedPayloads:
    """The PayloadSource of the link server."""

    def __init__(self, table: FirmwareTable, payloads: Payloads) -> None:
        self._table = table
        self._payloads = payloads

    async def window(self, link_id: str, sha256: bytes, offset: int, length: int) -> bytes:
        """Return a part of a payload. It asks the store each time, so withdrawing a release ends its downloads."""
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
        rows = await self._table.releases_offered(link_id, sha256)
        if not rows:
            raise BlobRefused("blob_unknown", "this device was not offered such an update")
        release = next((row for row in rows if row.withdrawn_ms is None), None)
        if release is None:
            raise BlobRefused("blob_withdrawn", "the update was withdrawn")
        if self._payloads.shared is not None:
            await self._payloads.bring(sha256)
        return release
