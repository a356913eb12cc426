"""The payload of an update, window by window over the link (docs/protocols/ota.md). Read in while it downloads."""

import asyncio
import os
from binascii import unhexlify

from micropython import const

# Without PSRAM.
_WINDOW = const(4096)
_QUIET_MS = const(20_000)
_BUSY_MS = const(2_000)
_MAX_FAILED = const(10)
_HEAD = const(12)
_NOTES = const(4)


class Payload:
    """The file of a bundle. `at`: the offset of the next piece; a power cut leaves what was flushed."""

    def __init__(self, path, size):
        file = open(path, "ab")
        self.write = file.write
        self.flush = file.flush
        self.close = file.close
        self.at = os.stat(path)[6]
        if self.at > size:
            raise OSError("the payload is longer than it should be")
        quarter = max(1, size // _NOTES)
        # From this byte on the plan is notified.
        self.note_at = (self.at // quarter + 1) * quarter


class Window:
    """The receiver of one window: it writes the pieces in order. `sink.at` is the offset of the next one."""

    def __init__(self, up, digest, sink):
        self._news = up.news
        self._key = digest[:8]
        self._sink = sink
        self.end = sink.at
        self.error = None

    def take(self, data):
        sink = self._sink
        offset = int.from_bytes(data[8:_HEAD], "big")
        size = len(data) - _HEAD
        # Other pieces are of an earlier window, or were not requested.
        is_next = bytes(data[:8]) == self._key and offset == sink.at
        if not is_next or not 1 <= size <= self.end - offset or self.error:
            return
        try:
            sink.write(data[_HEAD:])
            sink.at += size
        except OSError as exc:
            self.error = exc
        if self.error or sink.at == self.end:
            self._news.set()


async def download(up, is_small):
    """Download until the plan must know; return the plan's arguments.

    That is a progress note, a whole payload, or a failure.
    If the connection ends, it waits for the next.
    """
    record = up.record
    if record["state"] == "offered":
        up.drop_payload()
        return "downloading", up.slots().unused()
    sink = Payload(up.payload, record["size"])
    if is_small:
        most = _WINDOW
    else:
        most = 4 * _WINDOW
    digest = unhexlify(record["sha256"])
    size = record["size"]
    failed = 0
    up.taker = window = Window(up, digest, sink)
    try:
        while sink.at < size:
            began = sink.at
            await _one(up, window, sink, digest, min(most, size - sink.at))
            error = window.error
            window.error = None
            if isinstance(error, OSError):
                raise error
            if sink.at == began:
                failed = failed + 1
            else:
                failed = 0
            if error in ("blob_unknown", "blob_withdrawn", "blob_range") or failed >= _MAX_FAILED:
                return "failed", "download_failed: " + (error or "no answer")
            if error:
                await asyncio.sleep_ms(_BUSY_MS)
            sink.flush()
            if sink.at >= sink.note_at:
                return "wrote", sink.at
        return ("downloaded",)
    finally:
        if up.taker is window:
            up.taker = None
        sink.close()


async def _one(up, window, sink, digest, length):
    """Ask for the next window, and wait until it is here, refused, or nothing came for 20 s."""
    link = up.link
    news = up.news
    news.clear()
    while link.phase != "ready":
        await news.wait()
        news.clear()
    window.end = sink.at + length
    try:
        await link._say("blob_read", {"sha256": digest, "offset": sink.at, "length": length})
    except OSError:
        # The connection ends; the caller waits for the next.
        return
    before = -1
    while sink.at < window.end and not window.error and link.phase == "ready" and before != sink.at:
        before = sink.at
        try:
            await asyncio.wait_for_ms(news.wait(), _QUIET_MS)
            return
        except asyncio.TimeoutError:
            # Wait once more if data came meanwhile.
            pass
