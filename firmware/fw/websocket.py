"""One WebSocket over verified TLS (RFC 6455, the client's end). Knows no message of the link.

Reads are buffered: a read of TLS costs 3.5 ms on an ESP32, and a frame has three or four parts.
"""

import asyncio
import os
import struct

from binding import bound
from micropython import const

# Longer payloads are read into their message directly.
_BUFFER_BYTES = const(512)
# The type byte and a CONTROL payload.
MAX_MESSAGE_BYTES = 16385
_CLOSE_WAIT_S = const(3)
# The host must take a frame within this time, or the connection ends.
WRITE_S = 20


class Closed(Exception):
    """The end of a connection; `code` is the close code of the host, None if the connection broke."""

    def __init__(self, code=None, reason=""):
        super().__init__("{} {}".format(code, reason))
        self.code = code
        self.reason = reason


class Breach(Exception):
    """A breach of the protocol by the host: the code of `error`, and the close code."""

    def __init__(self, code, error, message):
        super().__init__(message)
        self.code = code
        self.error = error
        self.message = message


class Leave(Exception):
    """The close of a connection by this end; `wait_s` before the next one, None for the usual time."""

    def __init__(self, code, reason, wait_s=None):
        super().__init__(reason)
        self.code = code
        self.reason = reason
        self.wait_s = wait_s


class WebSocket:
    def __init__(self, stream):
        self._stream = stream
        self._lock = asyncio.Lock()
        self._buffer = bytearray(_BUFFER_BYTES)
        self._at = self._end = 0
        # A frame is not out whole: nothing can follow.
        self.is_torn = False

    def __getattr__(self, name):
        """Load `get` or `upgrade` from http_head.py, when a connection begins."""
        import http_head

        return bound(getattr(http_head, name), self)

    async def _fill(self):
        size = await self._into(self._buffer)
        self._at = 0
        self._end = size

    async def _into(self, view):
        """Read once; return the number of bytes, or wait on if TLS has no whole record yet (None)."""
        count = None
        while count is None:
            count = await self._stream.readinto(view)
        if not count:
            raise Closed()
        return count

    async def read(self, n):
        data = bytearray(n)
        view = memoryview(data)
        at = 0
        while at < n:
            if self._at < self._end:
                size = min(n - at, self._end - self._at)
                view[at : at + size] = memoryview(self._buffer)[self._at : self._at + size]
                self._at += size
            elif n - at >= _BUFFER_BYTES:
                size = await self._into(view[at:])
            else:
                await self._fill()
                size = 0
            at += size
        return data

    async def receive(self):
        """Return the next message and answer pings meanwhile; Closed at the end."""
        whole = None
        while True:
            first, second = await self.read(2)
            size = second & 127
            if size > 125:
                width = 2 if size == 126 else 8
                size = int.from_bytes(await self.read(width), "big")
            opcode = first & 15
            # Control frames are short and whole.
            is_wrong = opcode & 8 and (size > 125 or not first & 0x80)
            if first & 0x70 or second & 0x80 or is_wrong:
                raise Breach(4400, "malformed", "not a frame of a WebSocket")
            if opcode & 8:
                data = await self.read(size)
                if opcode in (8, 9):
                    # A close is answered by a close, a ping by a pong.
                    answer = 8 if opcode == 8 else 10
                    await self._send(answer, data)
                if opcode == 8:
                    if len(data) > 1:
                        code = struct.unpack(">H", data)[0]
                    else:
                        code = None
                    raise Closed(code, str(data[2:], "utf-8"))
                continue
            if opcode == 1:
                raise Breach(1003, "not_binary", "a text message")
            expected = 2 if whole is None else 0
            if opcode != expected:
                raise Breach(4400, "malformed", "frames out of order")
            if size + len(whole or b"") > MAX_MESSAGE_BYTES:
                raise Breach(4413, "too_large", "a message over {} bytes".format(MAX_MESSAGE_BYTES))
            data = await self.read(size)
            if whole is None:
                whole = data
            else:
                whole = whole + data
            if first & 0x80:
                return whole

    async def send(self, message):
        await self._send(2, message)

    @property
    def is_busy(self):
        """True while a sender waits for the network to take its data."""
        return self._lock.locked()

    async def _send(self, opcode, data):
        size = len(data)
        frame = bytearray((0x80 | opcode, 0x80 | min(size, 126)))
        if size > 125:
            frame.extend(struct.pack(">H", size))
        mask = os.urandom(4)
        frame.extend(mask)
        masked(data, mask, frame)
        async with self._lock:
            if self.is_torn:
                raise OSError("the connection broke in a message")
            self.is_torn = True
            self._stream.write(frame)
            if self._stream.out_buf:
                try:
                    await asyncio.wait_for(self._stream.drain(), WRITE_S)
                except asyncio.TimeoutError:
                    raise OSError("the host took nothing for {} s".format(WRITE_S))
            self.is_torn = False
        # A tight loop of messages must let other tasks run.
        await asyncio.sleep_ms(0)

    async def close(self, code, reason):
        """Send a close, and wait a little until the host has read it."""
        try:
            await asyncio.wait_for(self._closing(code, reason), _CLOSE_WAIT_S)
        except (OSError, Closed, asyncio.TimeoutError):
            # It is over either way.
            pass

    async def _closing(self, code, reason):
        await self._send(8, struct.pack(">H", code) + reason.encode()[:100])
        # Unread data would turn the close into a reset, and lose the code.
        while True:
            await self._fill()

    def abort(self):
        try:
            self._stream.s.close()
        except OSError:
            # It is closed already.
            pass


def masked(data, mask, out):
    """Append `data` with the mask to `out`, and return it.

    It works with whole numbers: a loop over bytes is fifty times slower.
    """
    for at in range(0, len(data), 256):
        part = data[at : at + 256]
        key = int.from_bytes((mask * 64)[: len(part)], "big")
        out.extend((int.from_bytes(part, "big") ^ key).to_bytes(len(part), "big"))
    return out


async def connect(address, port, context, name):
    """Connect by TLS; `name` is the server's.

    The handshake is made with the first bytes, so that it does not hold up programs.
    """
    reader, _ = await asyncio.open_connection(address, port, ssl=context, server_hostname=name)
    return WebSocket(reader)
