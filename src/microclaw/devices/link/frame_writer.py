"""Buffers and writes the WebSocket frames to one device, and holds the end of its connection. Reads nothing."""

from __future__ import annotations

import asyncio
from typing import Final

from microclaw.devices.link.websocket import close_code, encode_close
from microclaw.wire.link.actions import Close

# The code of a connection that ended without a close.
_NO_CLOSE: Final = 1006  # RFC 6455


class FrameWriter:
    """The frames to a device, which `flush` writes at once. After the close frame none is taken."""

    def __init__(self, transport: asyncio.Transport, buffer_bytes: int) -> None:
        # The write buffer is full: the device does not read.
        self.is_paused = False
        self.is_close_sent = False
        self._transport = transport
        self._buffer_bytes = buffer_bytes
        self._frames: list[bytes] = []
        self._frame_bytes = 0

    def limit_buffer(self) -> None:
        """Let the transport report when its buffer is full."""
        self._transport.set_write_buffer_limits(high=self._buffer_bytes)

    def put(self, frame: bytes) -> None:
        """Buffer a frame for the next `flush`, and flush now if the buffer is full."""
        if self.is_close_sent:
            return
        self._frames.append(frame)
        self._frame_bytes += len(frame)
        if self._frame_bytes >= self._buffer_bytes:
            self.flush()

    def put_close(self, code: int | None, reason: str = "") -> None:
        self.put(encode_close(code, reason))
        self.is_close_sent = True

    def flush(self) -> None:
        frames = self._frames
        if not frames:
            return
        if not self._transport.is_closing():
            # `join` would copy a single frame.
            data = frames[0] if len(frames) == 1 else b"".join(frames)
            self._transport.write(data)
        frames.clear()
        self._frame_bytes = 0


class ConnectionEnding:
    """The end of a connection: who began it, with which code, and when it is over."""

    def __init__(self, transport: asyncio.Transport, close_s: float) -> None:
        # The close that the host began.
        self.close: Close | None = None
        # The reason that the device gave beforehand.
        self.bye: str | None = None
        self.has_ended = asyncio.Event()
        self.over: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._transport = transport
        self._close_s = close_s
        # The code of the device's close frame.
        self._device_code: int | None = None
        self._is_closed_by_device = False
        self._abort: asyncio.TimerHandle | None = None

    @property
    def summary(self) -> tuple[int, str]:
        """The close code and the reason."""
        code = _NO_CLOSE
        reason = "the connection broke"
        if self.close is not None:
            code = self.close.code
            reason = self.close.reason
        elif self._is_closed_by_device:
            code = self._device_code or _NO_CLOSE
            reason = "the device closed the connection"
        if self.bye is not None:
            reason = f"bye: {self.bye}"
        return code, reason

    def begin(self, close: Close) -> None:
        """Begin the host's close, which takes at most `close_s`."""
        self.close = close
        self._abort = asyncio.get_running_loop().call_later(self._close_s, self._transport.abort)

    def note_device_close(self, payload: bytes) -> int | None:
        """Note the device's close frame, and return its code."""
        self._is_closed_by_device = True
        self._device_code = close_code(payload)
        return self._device_code

    def finish(self, fault: Exception | None = None) -> None:
        """End `serve`, which raises a fault of the host."""
        if self.over.done():
            return
        if fault is not None:
            self.over.set_exception(fault)
        else:
            self.over.set_result(None)

    def release(self) -> None:
        """Close the transport. The last frames are still sent, within `close_s`."""
        if self._abort is None:
            self._abort = asyncio.get_running_loop().call_later(self._close_s, self._transport.abort)
        if not self._transport.is_closing():
            # TLS ends with the device's close_notify, which must be read.
            self._transport.resume_reading()
        self._transport.close()
