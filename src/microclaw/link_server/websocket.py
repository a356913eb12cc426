"""The WebSocket of one link connection: messages handed over as the bytes come, frames written at once. No link in it.

aiohttp makes the handshake. From then on the protocol's `data_received` ends in `Receiver.got` without a task in
between, and all that one read caused is one write (docs/decisions/0008). Where aiohttp does not hand its connection
over, a task receives from it: slower, and otherwise the same.
"""

from __future__ import annotations

import asyncio
from typing import Final, Protocol

from aiohttp import WSCloseCode, WSMsgType, web

from microclaw.errors import LinkViolation
from microclaw.link_server.ws_frames import (
    Message,
    MessageReader,
    Opcode,
    close_code,
    encode_close,
    encode_message,
    encode_pong,
)
from microclaw.wire.link.frame import CloseCode, FrameLimits

MESSAGES_A_TURN: Final = 64  # then other connections have theirs


class Receiver(Protocol):
    """Who takes what comes over a LinkSocket. Called on the loop's thread; what it raises ends `LinkSocket.run`."""

    def got(self, opcode: int, payload: bytes) -> None:
        """A message. What this sends is written when this read is done."""

    def breached(self, violation: LinkViolation) -> None:
        """What came is no WebSocket any more: nothing else will come."""

    def writable(self) -> None:
        """The device has read: there is room again."""


class LinkSocket:
    """`open`, then `run` until the connection is over; `begin_close` ends it. `response` is aiohttp's answer.

    While the device does not read (`is_paused`) it is not read from either.
    """

    def __init__(self, limits: FrameLimits, subprotocol: str, *, write_buffer_bytes: int) -> None:
        self.response = _Upgrade(limits, subprotocol)
        self.is_paused = False
        self.peer_code: int | None = None  # what the device closed with
        self._write_buffer_bytes = write_buffer_bytes
        self._transport: asyncio.Transport | None = None
        self._reader = MessageReader(limits.message_bytes)
        self._receiver: Receiver | None = None
        self._out: list[bytes] = []
        self._out_bytes = 0
        self._is_fed = self._is_handing = self._close_said = self._is_broken = False
        self._loop = asyncio.get_running_loop()
        self._over: asyncio.Future[None] = self._loop.create_future()
        self._again: asyncio.Handle | None = None
        self._room = asyncio.Event()

    async def open(self, request: web.BaseRequest, transport: asyncio.Transport) -> None:
        """The handshake. Raises what `prepare` raises."""
        self._transport = transport
        transport.set_write_buffer_limits(high=self._write_buffer_bytes)
        await self.response.prepare(request)

    async def run(self, receiver: Receiver) -> None:
        """Hand over what comes until the connection is over, which the caller then closes."""
        self._receiver = receiver
        if self._is_fed:
            self._go_on()
            await self._over
        else:
            await self._receive_in_a_task()

    async def turn_away(self, code: int, reason: str) -> None:
        """Close instead of `run`; returns when the connection is over."""
        self.begin_close(code, reason)
        await self.run(_Deaf())

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
        if not out or self._transport is None:
            return
        if not self._transport.is_closing():
            self._transport.write(out[0] if len(out) == 1 else b"".join(out))
        out.clear()
        self._out_bytes = 0

    # What the protocol tells (arrival.LinkProtocol)

    def take_over(self) -> None:
        """aiohttp hands its connection over: what comes from now on goes to `feed`."""
        self._is_fed = True

    def feed(self, data: bytes) -> None:
        """Bytes of the device; what nobody takes yet waits, and no more is read."""
        if self._is_broken or self._over.done():
            return
        self._reader.receive(data)
        if self._receiver is None or self.is_paused or self._again is not None:
            self._pause_reading()
        else:
            self._hand_over()

    def pause_writing(self) -> None:
        self.is_paused = True
        self._room.clear()

    def resume_writing(self) -> None:
        self.is_paused = False
        self._room.set()
        if self._receiver is None or self._over.done():
            return
        try:
            self._receiver.writable()
        except Exception as exc:  # a fault of ours: `run` raises it, where the connection is looked after
            self._fail(exc)
        if self._is_fed and self._again is None:
            self._again = self._loop.call_soon(self._go_on)

    def lost(self) -> None:
        self._room.set()
        self._end()

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
        assert self._transport is not None
        if not self._transport.is_closing():
            self._transport.pause_reading()

    def _resume_reading(self) -> None:
        assert self._transport is not None
        if not self._transport.is_closing():
            self._transport.resume_reading()

    # Where aiohttp keeps its connection to itself

    async def _receive_in_a_task(self) -> None:
        while not self._over.done():
            if self.is_paused:
                await self._room.wait()
                continue
            message = await self.response.receive()
            if message.type in _HANDED:
                self._hand(int(message.type), bytes(message.data))
            elif message.type is WSMsgType.TEXT:
                self._hand(Opcode.TEXT, b"")
            elif message.type is WSMsgType.CLOSE:
                self._peer_closed(message.data or None)
            elif self.response.found is not None:
                self._break_off(self.response.found)
            else:
                self._end()
            self._flush()


class _Deaf:
    """Receiver of a connection that was closed before it began."""

    def got(self, opcode: int, payload: bytes) -> None: ...

    def breached(self, violation: LinkViolation) -> None: ...

    def writable(self) -> None: ...


class _Upgrade(web.WebSocketResponse):
    """aiohttp's handshake. How it would end a connection is only noted: the link says its own close."""

    def __init__(self, limits: FrameLimits, subprotocol: str) -> None:
        super().__init__(
            protocols=(subprotocol,), max_msg_size=limits.message_bytes + 1, compress=False, autoping=False
        )
        self.found: LinkViolation | None = None  # what aiohttp's reader found wrong

    async def close(self, *, code: int = WSCloseCode.OK, message: bytes = b"", drain: bool = True) -> bool:  # noqa: ARG002
        self.found = _FOUND.get(code)
        return False


_CLOSE: Final = int(Opcode.CLOSE)  # an enum's comparison costs ten times an int's, and this is every message
_PING: Final = int(Opcode.PING)
_HANDED: Final = (WSMsgType.BINARY, WSMsgType.PING, WSMsgType.PONG)
# What aiohttp closes with by itself (RFC 6455, 7.4.1), as the link says it.
_FOUND: Final[dict[int, LinkViolation]] = {
    WSCloseCode.MESSAGE_TOO_BIG: LinkViolation(
        "a message that is too large", close_code=CloseCode.TOO_LARGE, reason="too_large"
    ),
    WSCloseCode.PROTOCOL_ERROR: LinkViolation("not a WebSocket message"),
    WSCloseCode.INVALID_TEXT: LinkViolation(
        "a text message, the link is binary", close_code=CloseCode.NOT_BINARY, reason="not_binary"
    ),
}
