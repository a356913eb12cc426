"""Updates on their way to devices: windows of payloads by BLOB frames. It decides nothing: who publishes sets it.

One window a connection is under way at a time; it is read in a thread, and its frames have the lowest lane. However
many devices ask, few windows are worked on at once, in the order in which they were asked for: the event loop is never
held for long, so that audio of other devices keeps its times, and every download gets the same share. While somebody
speaks there is a pause after each: a host that is busy all the time gets its processor late.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal, Protocol, TypeAlias
from weakref import WeakSet

from msgspec import Struct, field

from microclaw.errors import MicroclawError
from microclaw.link_server.connection import Connection
from microclaw.store.firmware import OfferRow
from microclaw.wire.link.frame import MAX_BLOB_BYTES
from microclaw.wire.link.lanes import Lane
from microclaw.wire.link.messages import BlobRead

if TYPE_CHECKING:
    from microclaw.link_server.device_link import DeviceLink

BlobFault: TypeAlias = Literal["blob_unknown", "blob_withdrawn", "blob_range", "blob_busy"]
WINDOWS_AT_ONCE: Final = 2  # one is read while the other is sent
AUDIO_PAUSE_S: Final = 0.002  # with it about 10 MB/s go out while somebody speaks
_log = logging.getLogger(__name__)


class BlobRefused(MicroclawError, code="blob_refused"):
    """`fault` is the code of the `error` that the device gets."""

    def __init__(self, fault: BlobFault, text: str) -> None:
        super().__init__(text)
        self.fault = fault


class PayloadSource(Protocol):
    """The payloads that devices may fetch (ota.payloads.OfferedPayloads). Both raise BlobRefused."""

    async def window(self, link_id: str, sha256: bytes, offset: int, length: int) -> bytes:
        """At most `length` bytes from `offset` on; fewer only at the end."""

    async def file(self, link_id: str, sha256: str) -> Path:
        """The whole payload, for the device of this link."""


class DeviceUpdates(Struct):
    """`source` None: this host has no updates. `changed` hears of each status of an update that was offered here."""

    source: PayloadSource | None = None
    changed: Callable[[OfferRow], None] = lambda _: None
    _reading: WeakSet[Connection] = field(default_factory=WeakSet)
    _turn: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(WINDOWS_AT_ONCE))

    def serve(self, link: DeviceLink, connection: Connection, wanted: BlobRead, message_id: bytes) -> None:
        """Begin to send a window, or say why not."""
        if self.source is None:
            link.object_to("blob_unknown", "this host has no updates", re=message_id)
        elif connection in self._reading or connection.session.lanes.depth(Lane.BLOB):
            link.object_to("blob_busy", "a window is under way", re=message_id)
        elif connection.start(self._send(self.source, link, connection, wanted, message_id), "update"):
            self._reading.add(connection)

    async def _send(
        self, source: PayloadSource, link: DeviceLink, connection: Connection, wanted: BlobRead, message_id: bytes
    ) -> None:
        try:
            async with self._turn:
                data = await source.window(link.link_id, wanted.sha256, wanted.offset, wanted.length)
                for at in range(0, len(data), MAX_BLOB_BYTES):
                    piece = data[at : at + MAX_BLOB_BYTES]
                    connection.session.send_blob(wanted.sha256, wanted.offset + at, piece)
                self._reading.discard(connection)  # the device may ask for the next one as soon as it has this one
                connection.pump()
                # What came from other devices meanwhile goes first.
                await asyncio.sleep(AUDIO_PAUSE_S if connection.somebody_speaks else 0)
        except BlobRefused as exc:
            link.object_to(exc.fault, exc.message, re=message_id)
        except (OSError, MicroclawError) as exc:
            _log.warning("an update's payload cannot be read: %s", exc)
            link.object_to("blob_unknown", "this host cannot read it", re=message_id)
        finally:
            self._reading.discard(connection)
