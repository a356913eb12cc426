"""The payload of an update, window by window over the link (docs/protocols/ota.md). Read in while it downloads."""

import asyncio
import time
from binascii import unhexlify

from messages import encode
from micropython import const
from ota_keys import is_small

_WINDOW = const(4096)  # without PSRAM; and what a slot's block has
_QUIET_MS = const(20_000)
_BUSY_MS = const(2_000)
_MAX_FAILED = const(10)
_HEAD = const(12)


class Window:
    """Takes the pieces of one window as they come, in order, and writes them. `sink` knows where the next one goes."""

    def __init__(self, up, digest, sink):
        self._news, self._key, self._sink = up.news, digest[:8], sink
        self.end = sink.at
        self.error = None

    def take(self, data):
        sink = self._sink
        offset, size = int.from_bytes(data[8:_HEAD], "big"), len(data) - _HEAD
        if bytes(data[:8]) != self._key or offset != sink.at or size < 1 or offset + size > self.end or self.error:
            return  # of an earlier window, or none that was asked for
        try:
            sink.write(data[_HEAD:])
        except OSError as exc:
            self.error = exc
        if self.error or sink.at == self.end:
            self._news.set()


async def download(up):
    """Until the payload is whole and the plan says so, or it failed. A connection that ends is waited for."""
    record = up.record
    kind = record["kind"]
    if record["state"] == "offered":
        up.slots(kind).forget(up)
        up.move("downloading", up.slots(kind).unused(up))
    sink = up.slots(kind).sink(up)
    digest, size, failed = unhexlify(record["sha256"]), record["size"], 0
    del record  # each note of how far it is makes another one
    up.taker = window = Window(up, digest, sink)
    try:
        while sink.at < size:
            began = sink.at
            await _one(up, window, sink, digest, size)
            error, window.error = window.error, None
            if isinstance(error, OSError):
                raise error
            failed = failed + 1 if sink.at == began else 0
            if error in ("blob_unknown", "blob_withdrawn", "blob_range") or failed >= _MAX_FAILED:
                up.slots(kind).forget(up)
                up.move("failed", "download_failed: " + (error or "no answer"))
                return
            if error:
                await asyncio.sleep_ms(_BUSY_MS)
            sink.flush()
            if sink.at >= sink.note_at:
                up.move("wrote", sink.at)
                sink.noted()
        sink.close()
        up.move("downloaded")
    finally:
        if up.taker is window:
            up.taker = None
        sink.close()


async def _one(up, window, sink, digest, size):
    """Ask for the next window, and wait until it is here, refused, or nothing came for 20 s."""
    link, news = up.link, up.news
    news.clear()
    while link.phase != "ready":
        await news.wait()
        news.clear()
    length = min(_WINDOW if is_small() else 4 * _WINDOW, size - sink.at)
    window.end = sink.at + length
    try:
        await link._say("blob_read", {"sha256": digest, "offset": sink.at, "length": length})
    except OSError:
        return  # the connection ends; the next one is waited for
    before = -1
    while sink.at < window.end and not window.error and link.phase == "ready" and before != sink.at:
        before = sink.at
        try:
            await asyncio.wait_for_ms(news.wait(), _QUIET_MS)
            return
        except asyncio.TimeoutError:
            pass  # once more, if something came meanwhile
