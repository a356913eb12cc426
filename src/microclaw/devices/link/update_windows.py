"""Sends updates to devices: windows of payloads in BLOB frames. Which payloads, the publisher decides.

Each connection has one window under way at a time, which is read in a thread and sent in the lowest lane. Only a few
windows are worked on at once, in the order of their requests, however many devices there are: so the event loop is
never held for long, audio of other devices is on time, and every download gets the same share. While a person speaks
there is a pause after each window, because a process that is always busy gets its processor late.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal, Protocol, TypeAlias
from weakref import WeakSet

from msgspec import Struct, field

from microclaw.devices.link.connection import LinkConnection
from microclaw.errors import MicroclawError
from microclaw.host.store.firmware import OfferRow
from microclaw.wire.link.frame import MAX_BLOB_BYTES
from microclaw.wire.link.lanes import Lane
from microclaw.wire.link.messages import BlobRead

if TYPE_CHECKING:
    from microclaw.devices.link.device_link import DeviceLink

BlobFault: TypeAlias = Literal["blob_unknown", "blob_withdrawn", "blob_range", "blob_busy"]
# One window is read while another is sent.
WINDOWS_AT_ONCE: Final = 2
# With this pause about 10 MB/s are sent while a person speaks.
AUDIO_PAUSE_S: Final = 0.002
_log = logging.getLogger(__name__)


class BlobRefused(MicroclawError, code="blob_refused"):
    """A request for a payload that is refused; `fault` is the code of the `error` that the device gets."""

    def __init__(self, fault: BlobFault, text: str) -> None:
        super().__init__(text)
        self.fault = fault


class PayloadSource(Protocol):
    """The payloads that devices may fetch (ota.payloads.OfferedPayloads). Both raise BlobRefused."""

    async def window(self, link_id: str, sha256: bytes, offset: int, length: int) -> bytes:
        """Return up to `length` bytes from `offset` on, fewer only at the end."""

    async def file(self, link_id: str, sha256: str) -> Path:
        """Return the whole payload, for the device of this link."""


class DeviceUpdates(Struct):
    """The updates of a host, none if `source` is None. `changed` gets each new status of an offered update."""

    source: PayloadSource | None = None
    changed: Callable[[OfferRow], None] = lambda _: None
    _reading: WeakSet[LinkConnection] = field(default_factory=WeakSet)
    _turn: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(WINDOWS_AT_ONCE))

    def serve(self, link: DeviceLink, connection: LinkConnection, request: BlobRead, message_id: bytes) -> None:
        """Begin to send a window, or send the reason for the refusal."""
        if self.source is None:
            link.send_error("blob_unknown", "this host has no updates", re=message_id)
        elif connection in self._reading or connection.session.lanes.depth(Lane.BLOB):
            link.send_error("blob_busy", "a window is under way", re=message_id)
        elif connection.start(self._send(self.source, link, connection, request, message_id), "update"):
            self._reading.add(connection)

    async def _send(
        self, source: PayloadSource, link: DeviceLink, connection: LinkConnection, request: BlobRead, message_id: bytes
    ) -> None:
        try:
            async with self._turn:
                data = await source.window(link.link_id, request.sha256, request.offset, request.length)
                for start in range(0, len(data), MAX_BLOB_BYTES):
                    piece = data[start : start + MAX_BLOB_BYTES]
                    connection.session.send_blob(request.sha256, request.offset + start, piece)
                # The device may ask for the next window as soon as it has this one.
                self._reading.discard(connection)
                connection.pump()
                # Messages of other devices that were received meanwhile are handled first.
                pause_s = AUDIO_PAUSE_S if connection.has_recent_audio else 0
                await asyncio.sleep(pause_s)
        except BlobRefused as exc:
            link.send_error(exc.fault, exc.message, re=message_id)
        except (OSError, MicroclawError) as exc:
            _log.warning("an update's payload cannot be read: %s", exc)
            link.send_error("blob_unknown", "this host cannot read it", re=message_id)
        finally:
            self._reading.discard(connection)
