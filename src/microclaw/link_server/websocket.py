"""The host's end of a device's WebSocket: RFC 6455 frames and their flow. No handshake, nothing of the link.

`MessageReader` and the `encode_` functions do no IO. `LinkSocket` is the transport's protocol: what one read brings is
handed over, answered and written in one call, without a task in between (docs/decisions/0008, why not aiohttp's).
"""

from __future__ import annotations

import asyncio
from enum import IntEnum
from typing import Final, NoReturn, Protocol, TypeAlias

try:
    from websockets.speedups import apply_mask
except ImportError:  # a platform without the compiled part: the same in Python, ten times slower
    from websockets.utils import apply_mask

from microclaw.errors import LinkViolation
from microclaw.wire.link.frame import CloseCode

MAX_CLOSE_REASON_BYTES: Final = 123
MESSAGES_A_TURN: Final = 64  # then other connections have theirs


class Opcode(IntEnum):
    CONTINUATION = 0
    TEXT = 1
    BINARY = 2
    CLOSE = 8
    PING = 9
    PONG = 10


Message: TypeAlias = tuple[int, bytes]  # opcode and payload; a plain tuple, for there is one a frame


class MessageReader:
    """`receive(data)`, then `next_message()` until it is None. LinkViolation for bytes that more cannot mend.

    A fragment of a message that is not whole yet comes out as (CONTINUATION, b""), so that who counts messages counts
    it too. A length is checked before its bytes are waited for: at most one frame of `max_bytes` is held, and what
    came in one read with it.
    """

    __slots__ = ("_at", "_data", "_fragments", "_max_bytes", "_opcode", "has_more")

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self.has_more = False  # worth asking for a message
        self._data = b""
        self._at = 0
        self._fragments = bytearray()
        self._opcode: int | None = None  # of the message that is in fragments

    def receive(self, data: bytes) -> None:
        self._data = self._data[self._at :] + data if self._at < len(self._data) else data
        self._at = 0
        self.has_more = True

    def next_message(self) -> Message | None:
        self.has_more = False
        data, at = self._data, self._at
        here = len(data) - at
        if here < 2:
            return None
        first, second = data[at], data[at + 1]
        size, payload_at = second & 0x7F, at + 6
        if size == 126:
            if here < 4:
                return None
            size, payload_at = data[at + 2] << 8 | data[at + 3], at + 8
        elif size == 127:
            if here < 10:
                return None
            size, payload_at = int.from_bytes(data[at + 2 : at + 10], "big"), at + 14
        if first != _WHOLE_BINARY or second < 0x80 or size > self._max_bytes or self._opcode is not None:
            self._check(first, second, size)
        end = payload_at + size
        if end > len(data):
            return None
        self._at = end
        self.has_more = end < len(data)
        payload = apply_mask(data[payload_at:end], data[payload_at - 4 : payload_at])
        if first == _WHOLE_BINARY:
            return _BINARY, payload
        return self._other(first & 0x0F, payload, is_whole=first >= 0x80)

    def _check(self, first: int, second: int, size: int) -> None:
        """What a header may not say, before its payload is there."""
        opcode, is_whole = first & 0x0F, first >= 0x80
        if first & 0x70 or opcode not in _OPCODES:
            _malformed(f"a frame that starts with {first:#04x}")
        if second < 0x80:
            _malformed("a frame without a mask")
        if opcode >= Opcode.CLOSE:
            if not is_whole or size > _MAX_CONTROL_FRAME:
                _malformed(f"a control frame of {size} bytes{'' if is_whole else ', in fragments'}")
            return
        if (opcode == Opcode.CONTINUATION) != (self._opcode is not None):
            _malformed("a fragment of no message" if self._opcode is None else "a message inside another")
        if size + len(self._fragments) > self._max_bytes:
            text = f"a message of {size + len(self._fragments)} bytes, the limit is {self._max_bytes}"
            raise LinkViolation(text, close_code=CloseCode.TOO_LARGE, reason="too_large")

    def _other(self, opcode: int, payload: bytes, *, is_whole: bool) -> Message:
        if opcode == Opcode.CLOSE:
            _check_close(payload)
        if opcode >= Opcode.CLOSE or (is_whole and opcode != Opcode.CONTINUATION):
            return opcode, payload
        if opcode != Opcode.CONTINUATION:
            self._opcode = opcode
        self._fragments += payload
        if not is_whole:
            return Opcode.CONTINUATION, b""
        assert self._opcode is not None
        opcode, self._opcode = self._opcode, None
        payload = bytes(self._fragments)
        self._fragments.clear()
        return opcode, payload


class Receiver(Protocol):
    """Who takes what comes over a LinkSocket. Called on the loop's thread; what it raises ends `LinkSocket.run`."""

    def got(self, opcode: int, payload: bytes) -> None:
        """A message. What this sends is written when this read is done."""

    def breached(self, violation: LinkViolation) -> None:
        """What came is no WebSocket any more: nothing else will come."""

    def writable(self) -> None:
        """The device has read: there is room again."""


class LinkSocket(asyncio.Protocol):
    """Give it to `transport.set_protocol`, then `run` until the connection is over; `begin_close` ends it.

    While the device does not read (`is_paused`) it is not read from either. `http` is the protocol that made the
    handshake: it hears of the end of the connection.
    """

    def __init__(
        self,
        transport: asyncio.Transport,
        http: asyncio.BaseProtocol,
        address: str,
        *,
        max_bytes: int,
        write_buffer_bytes: int,
    ) -> None:
        self.address = address
        self.is_paused = False
        self.peer_code: int | None = None  # what the device closed with
        self._transport = transport
        self._http = http
        self._write_buffer_bytes = write_buffer_bytes
        self._reader = MessageReader(max_bytes)
        self._receiver: Receiver | None = None
        self._out: list[bytes] = []
        self._out_bytes = 0
        self._is_running = self._is_handing = self._close_said = self._is_broken = False
        self._loop = asyncio.get_running_loop()
        self._over: asyncio.Future[None] = self._loop.create_future()
        self._again: asyncio.Handle | None = None
        transport.set_write_buffer_limits(high=write_buffer_bytes)

    async def run(self, receiver: Receiver | None) -> None:
        """Hand over what comes until the connection is over, which the caller then closes."""
        self._receiver = receiver
        self._is_running = True
        self._go_on()
        await self._over

    async def turn_away(self, code: int, reason: str) -> None:
        """Close instead of `run`; returns when the connection is over."""
        self.begin_close(code, reason)
        await self.run(None)

    # Out

    def send(self, message: bytes) -> None:
        """A message, written with the next `flush`, or now when they have grown to what may be buffered."""
        self._put(encode_message(message))

    def flush(self) -> None:
        """Write what was sent. While messages are handed over it is done after them."""
        if not self._is_handing:
            self._flush()

    def begin_close(self, code: int, reason: str) -> None:
        """Say it; the connection is over when the device says so too, or is lost. The second time does nothing."""
        self._close(code, reason)
        self.flush()
        if self._is_broken:
            self._end()

    def close_transport(self) -> None:
        """What was written still goes out, until `abort`."""
        self._transport.close()

    def abort(self) -> None:
        """End the connection now."""
        self._transport.abort()

    def _close(self, code: int | None, reason: str = "") -> None:
        if not self._close_said:
            self._put(encode_close(code, reason))
            self._close_said = True

    def _put(self, frame: bytes) -> None:
        if self._close_said:
            return
        self._out.append(frame)
        self._out_bytes += len(frame)
        if self._out_bytes >= self._write_buffer_bytes:
            self._flush()

    def _flush(self) -> None:
        out = self._out
        if not out:
            return
        if not self._transport.is_closing():
            self._transport.write(out[0] if len(out) == 1 else b"".join(out))
        out.clear()
        self._out_bytes = 0

    # What the transport tells (asyncio.Protocol)

    def data_received(self, data: bytes) -> None:
        """Bytes of the device; what nobody takes yet waits, and no more is read."""
        if self._is_broken or self._over.done():
            return
        self._reader.receive(data)
        if not self._is_running or self.is_paused or self._again is not None:
            self._pause_reading()
        else:
            self._hand_over()

    def pause_writing(self) -> None:
        self.is_paused = True

    def resume_writing(self) -> None:
        self.is_paused = False
        if self._over.done():
            return
        if self._receiver is not None:
            try:
                self._receiver.writable()
            except Exception as exc:  # a fault of ours: `run` raises it, where the connection is looked after
                self._fail(exc)
        if self._is_running and self._again is None:
            self._again = self._loop.call_soon(self._go_on)

    def connection_lost(self, exc: Exception | None) -> None:
        self._end()
        self._http.connection_lost(exc)

    # In

    def _hand_over(self) -> None:
        """What has come, until the device must read first or this connection's turn is over."""
        reader, left = self._reader, MESSAGES_A_TURN
        self._is_handing = True
        try:
            while reader.has_more and not self.is_paused and left:
                message = self._next()
                if message is None:
                    break
                left -= 1
                self._hand(*message)
        except Exception as exc:  # a fault of ours, as above
            self._fail(exc)
        self._is_handing = False
        self._flush()
        if reader.has_more:
            self._wait_for_a_turn()

    def _wait_for_a_turn(self) -> None:
        self._pause_reading()
        if not self.is_paused and self._again is None and not self._over.done():
            self._again = self._loop.call_soon(self._go_on)

    def _go_on(self) -> None:
        self._again = None
        if not self._over.done():
            self._hand_over()
            if self._again is None and not self.is_paused and not self._is_broken:
                self._resume_reading()

    def _next(self) -> Message | None:
        try:
            return self._reader.next_message()
        except LinkViolation as exc:
            self._break_off(exc)
            return None

    def _hand(self, opcode: int, payload: bytes) -> None:
        if opcode == _CLOSE:
            self._peer_closed(close_code(payload))
        elif not self._close_said and self._receiver is not None:
            self._receiver.got(opcode, payload)
            if opcode == _PING:
                self._put(encode_pong(payload))

    def _peer_closed(self, code: int | None) -> None:
        if not self._close_said:
            self.peer_code = code
        self._close(code)
        self._end()

    def _break_off(self, violation: LinkViolation) -> None:
        """Nothing that the device says after this could be read, its answer to a close neither."""
        self._is_broken = True
        self._reader.has_more = False
        self._pause_reading()
        if self._close_said:
            self._end()
        else:
            assert self._receiver is not None
            self._receiver.breached(violation)

    def _fail(self, exc: Exception) -> None:
        self._reader.has_more = False
        self._pause_reading()
        if not self._over.done():
            self._over.set_exception(exc)

    def _end(self) -> None:
        self._reader.has_more = False
        if not self._over.done():
            self._over.set_result(None)
        if self._again is not None:
            self._again.cancel()

    def _pause_reading(self) -> None:
        if not self._transport.is_closing():
            self._transport.pause_reading()

    def _resume_reading(self) -> None:
        if not self._transport.is_closing():
            self._transport.resume_reading()


def close_code(payload: bytes) -> int | None:
    """What a close frame says, None when it says nothing."""
    return int.from_bytes(payload[:2], "big") if payload else None


def encode_message(message: bytes) -> bytes:
    """A whole binary message, without a mask: a server has none."""
    size = len(message)
    if 126 <= size < 65_536:
        return bytes((_WHOLE_BINARY, 126, size >> 8, size & 0xFF)) + message
    return _head(_WHOLE_BINARY, size) + message


def encode_pong(payload: bytes) -> bytes:
    return _head(0x80 | Opcode.PONG, len(payload)) + payload


def encode_close(code: int | None, reason: str = "") -> bytes:
    """`reason` is cut to what a control frame carries, between characters."""
    if code is None:
        return _head(_WHOLE_CLOSE, 0)
    said = reason.encode()[:MAX_CLOSE_REASON_BYTES].decode(errors="ignore").encode()
    return _head(_WHOLE_CLOSE, 2 + len(said)) + code.to_bytes(2, "big") + said


def _head(first: int, size: int) -> bytes:
    if size < 126:
        return bytes((first, size))
    if size < 65_536:
        return bytes((first, 126, size >> 8, size & 0xFF))
    return bytes((first, 127)) + size.to_bytes(8, "big")


def _check_close(payload: bytes) -> None:
    """RFC 6455, 7.4: which codes an end may send."""
    code = close_code(payload)
    if code is None:
        return
    if len(payload) < 2 or code in _NEVER_SENT or not (1000 <= code <= 1014 or 3000 <= code <= 4999):
        _malformed(f"a close frame that says {payload[:2].hex()}")


def _malformed(text: str) -> NoReturn:
    raise LinkViolation(text, close_code=CloseCode.MALFORMED)


_MAX_CONTROL_FRAME: Final = 125
_BINARY: Final = int(Opcode.BINARY)  # an enum's comparison costs ten times an int's, and this is every message
_CLOSE: Final = int(Opcode.CLOSE)
_PING: Final = int(Opcode.PING)
_WHOLE_BINARY: Final = 0x80 | _BINARY
_WHOLE_CLOSE: Final = 0x80 | int(Opcode.CLOSE)
_OPCODES: Final = frozenset(map(int, Opcode))
_NEVER_SENT: Final = frozenset({1004, 1005, 1006})
