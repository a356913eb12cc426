"""Drives one LinkSession over one WebSocket: messages and timers. The store's work is in store_work.py.

The connection's owner (a DeviceLink, or an UnauthenticatedConnection) applies the device's messages. A message is
read, answered and written in the call that brings its bytes, without a task in between (docs/decisions/0008); tasks
wait only for the store and for the end. If a device does not read, nothing is read from it either. Every queue is
bounded: the lanes, the actions for the store (`max_unapplied`), and the transport's buffer.

It is one long file because every method reads or changes the same connection.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine
from typing import TYPE_CHECKING, Final, TypeAlias

from websockets.frames import Opcode

from microclaw.devices.link.limits import LinkLimits, RateLimit
from microclaw.devices.link.meter import FAULTS, LinkMeter
from microclaw.devices.link.store_work import StoreWork
from microclaw.devices.link.websocket import MessageReader, close_code, encode_close, encode_whole
from microclaw.errors import LinkViolation
from microclaw.wire.link import actions
from microclaw.wire.link.frame import MAX_MESSAGE_BYTES, CloseCode
from microclaw.wire.link.heartbeat import HeartbeatClock
from microclaw.wire.link.messages import Hello, PairRequest
from microclaw.wire.link.session import LinkSession
from microclaw.wire.link.states import LinkPhase

if TYPE_CHECKING:
    from microclaw.devices.link.device_link import DeviceLink
    from microclaw.devices.link.http_connection import WebSocketRequest
    from microclaw.devices.link.pairing import UnauthenticatedConnection

_log = logging.getLogger(__name__)

# After this number of messages in a row, other connections have their turn.
MESSAGES_A_TURN: Final = 64
# The code of a connection that ended without a close.
_NO_CLOSE: Final = 1006  # RFC 6455
Work: TypeAlias = Coroutine[None, None, None]


class LinkConnection(asyncio.Protocol):
    """One device's WebSocket. `serve` returns when it has ended and all its messages are applied.

    `owner` receives messages that are not durable. `store` is None for a device without a credential, whose session
    has nothing durable; the store's methods that wait are called one after the other, in the order of the session's
    actions.
    """

    def __init__(
        self,
        arrival: WebSocketRequest,
        session: LinkSession,
        owner: DeviceLink | UnauthenticatedConnection,
        store: DeviceLink | None,
        *,
        clock: HeartbeatClock,
        limits: LinkLimits,
        meter: LinkMeter,
    ) -> None:
        self.session = session
        self.address = arrival.http.address
        self.has_ended = asyncio.Event()
        self.end = (_NO_CLOSE, "the connection broke")
        self.rtt_ms: float | None = None
        self.on_ready: Callable[[], Awaitable[None]] | None = None
        # The listener to the device's audio.
        self.on_audio: Callable[[actions.Hear], None] | None = None
        # Gives the device one new certificate.
        self.on_renewal: Callable[[LinkConnection, bytes, PairRequest], Work] | None = None
        self._http = arrival.http
        self._transport = arrival.transport
        self._answer = arrival.answer
        self._owner = owner
        self._store = store
        self._clock = clock
        self._limits = limits
        self._meter = meter
        self._rate = _message_rate(limits, clock.now_ms() / 1000, is_authenticated=store is not None)
        self._tasks: asyncio.TaskGroup | None = None
        self._work = StoreWork(self, store)
        self._loop = asyncio.get_running_loop()
        self._over: asyncio.Future[None] = self._loop.create_future()
        self._tick: asyncio.Handle | None = None
        # uvloop's handle of a timer that is due already does not say when.
        self._tick_at = 0.0
        self._init_reading()
        self._init_writing()

    def _init_reading(self) -> None:
        # The meter counts it as a connection.
        self._is_counted = False
        # It ended without a single message.
        self._was_silent = False
        self._reader = MessageReader(MAX_MESSAGE_BYTES)
        # True between the handshake and the end.
        self._is_open = False
        # Invalid bytes were received, so nothing after them can be read.
        self._is_broken = False
        # The messages of one read are handled as a batch, and their answers written at once.
        self._is_handling = False
        self._must_set_tick = False
        # Messages wait for this connection's next turn.
        self._next_turn: asyncio.Handle | None = None

    def _init_writing(self) -> None:
        self._frames: list[bytes] = []
        self._frame_bytes = 0
        # The write buffer is full: the device does not read.
        self._is_paused = False
        self._closing: actions.Close | None = None
        self._is_close_sent = False
        # The code of the device's close frame.
        self._peer_code: int | None = None
        self._abort: asyncio.TimerHandle | None = None

    async def serve(self) -> None:
        """Take the transport over, answer the handshake, and return when the connection has ended."""
        try:
            # Without a transport the device has left already.
            if self._http.transport is not None and await self._answer_handshake():
                await self._run()
        finally:
            self._release()

    async def _answer_handshake(self) -> bool:
        """Return False if the device left before the answer."""
        self._transport.set_write_buffer_limits(high=self._limits.write_buffer_bytes)
        self._transport.set_protocol(self)
        try:
            await self._answer()
        except OSError as exc:
            _log.info("link: %s went away before its answer: %s", self.address, exc)
            return False
        return True

    async def _run(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            self._tasks = tasks
            self._work.tasks = tasks
            self._is_open = True
            self.session.connected()
            self._continue()
            try:
                await self._over
            finally:
                self._end_session()

    def _release(self) -> None:
        if self._tick is not None:
            self._tick.cancel()
        if self._abort is None:
            self._abort = self._loop.call_later(self._limits.close_s, self._transport.abort)
        if not self._transport.is_closing():
            # TLS ends with the device's close_notify, which must be read.
            self._transport.resume_reading()
        # The last frames are still sent, within `close_s`.
        self._transport.close()
        self._count()
        self.has_ended.set()

    def pump(self) -> None:
        """Carry out the session's actions, after it was changed from outside."""
        if self._is_handling:
            # The end of the batch writes everything, in the order of the lanes.
            self._must_set_tick = True
            return
        now_ms = self._clock.now_ms()
        self._run_actions(now_ms)
        self._set_tick()
        self._write(now_ms)
        self._flush()

    def send_audio(self, payload: bytes) -> None:
        """Send one audio frame of the host's stream now. Moves no timer."""
        if self.session.send_audio(payload) and not self._is_handling:
            now_ms = self._clock.now_ms()
            self._meter.audio_ms = now_ms
            self._run_actions(now_ms)
            self._write(now_ms)
            self._flush()

    @property
    def has_recent_audio(self) -> bool:
        """True if audio was sent or received within the last second, over any of the host's connections."""
        return self._clock.now_ms() - self._meter.audio_ms < _SPEAKS_MS

    @property
    def is_live(self) -> bool:
        """True after the handshake, until the end begins."""
        return self._is_open and self._closing is None

    def start(self, work: Work, name: str) -> asyncio.Task[None] | None:
        """Run work that belongs to this connection. Returns None, and does not begin it, if the connection ended."""
        if self._tasks is None or not self._is_open:
            work.close()
            return None
        return self._tasks.create_task(work, name=f"link to {self.address}: {name}")

    def close(self, code: int, reason: str, *, retry_after_s: int | None = None) -> None:
        """End the connection in order, soon, also before it is served."""
        if self._tasks is None:
            self._begin_close(actions.Close(code, reason, retry_after_s))
            return
        self.session.close(code, reason, retry_after_s=retry_after_s)
        self.pump()

    # What the transport calls (asyncio.Protocol)

    def data_received(self, data: bytes) -> None:
        """Handle bytes of the device. While complete messages wait, no more bytes are read."""
        if self._is_broken or self._over.done():
            return
        self._reader.receive(data)
        if self._is_open and not self._is_paused and self._next_turn is None:
            self._handle_messages()
        else:
            self._pause_reading()

    def pause_writing(self) -> None:
        self._is_paused = True

    def resume_writing(self) -> None:
        self._is_paused = False
        if self._is_open:
            self._plan_turn()

    def connection_lost(self, exc: Exception | None) -> None:
        self._finish()
        self._http.connection_lost(exc)

    # Reading

    def _handle_messages(self) -> None:
        """Handle the messages that were received, until the device must read first or this turn is over."""
        reader = self._reader
        self._is_handling = True
        try:
            self._handle_batch()
        except Exception as exc:
            # A defect of the host: `serve` raises it.
            self._finish(exc)
        self._is_handling = False
        if self._must_set_tick:
            self._must_set_tick = False
            self._set_tick()
        self._flush()
        if reader.has_more or self._is_broken:
            self._pause_reading()
        if reader.has_more and not self._is_paused:
            self._plan_turn()

    def _handle_batch(self) -> None:
        for _ in range(MESSAGES_A_TURN):
            if not self._reader.has_more or self._is_paused:
                return
            try:
                message = self._reader.next_message()
            except LinkViolation as exc:
                self._refuse_unreadable(exc)
                return
            if message is None:
                return
            self._handle(*message)

    def _plan_turn(self) -> None:
        if self._next_turn is None:
            self._next_turn = self._loop.call_soon(self._continue)

    def _continue(self) -> None:
        """Begin this connection's next turn, or continue when the device reads again."""
        self._next_turn = None
        if self._over.done():
            return
        try:
            self.pump()
        except Exception as exc:
            # A defect of the host: `serve` raises it.
            self._finish(exc)
        self._handle_messages()
        has_ended = self._is_broken or self._over.done() or self._transport.is_closing()
        if self._next_turn is None and not self._is_paused and not has_ended:
            self._transport.resume_reading()

    def _handle(self, opcode: int, payload: bytes) -> None:
        """Handle a message of the device. The answers are in `_frames` when this returns."""
        if opcode == _CLOSE:
            if not self._is_close_sent:
                self._peer_code = close_code(payload)
            self._send_close(self._peer_code)
            self._finish()
            return
        if self._is_close_sent:
            return
        now_ms = self._clock.now_ms()
        if not self._rate.allows(now_ms / 1000):
            self._refuse(CloseCode.TOO_MANY, "too_many", "too many messages")
        elif opcode == _BINARY:
            if self.session.receive(payload):
                self._must_set_tick = True
        elif opcode == _TEXT:
            self._refuse(CloseCode.NOT_BINARY, "not_binary", "a text message, the link is binary")
        self._run_actions(now_ms)
        if self.session.lanes.count or self._closing is not None:
            self._write(now_ms)
        if opcode == _PING:
            self._put(encode_whole(Opcode.PONG, payload))

    def _refuse(self, code: int, reason: str, text: str) -> None:
        self.session.refuse(LinkViolation(text, close_code=code, reason=reason))

    def _refuse_unreadable(self, violation: LinkViolation) -> None:
        """Close after invalid bytes. The device's answer to the close cannot be read, so it is not waited for."""
        self._is_broken = True
        if self._is_close_sent:
            self._finish()
            return
        self.session.refuse(violation)
        now_ms = self._clock.now_ms()
        self._run_actions(now_ms)
        self._write(now_ms)

    def _pause_reading(self) -> None:
        if not self._transport.is_closing():
            self._transport.pause_reading()

    # Actions of the session

    def _run_actions(self, now_ms: float) -> None:
        while (action := self.session.next_action()) is not None:
            match action:
                case actions.Hear():
                    self._meter.audio_ms = now_ms
                    if self.on_audio is not None:
                        self.on_audio(action)
                case actions.Close():
                    self._begin_close(action)
                case actions.ReportPeer(peer=Hello() as peer) if self._store is not None:
                    self._is_counted = True
                    self._meter.connections += 1
                    self._store.ready(self, peer)
                    self._work.add(action)
                case actions.Deliver(envelope=envelope) if envelope.seq is None:
                    self._owner.receive(self, envelope)
                case actions.ReportRtt(rtt_ms=rtt_ms):
                    self._meter.count_rtt(rtt_ms / 1000)
                    self.rtt_ms = rtt_ms
                case _:
                    self._work.add(action)

    def _begin_close(self, close: actions.Close) -> None:
        if self._closing is not None:
            return
        self._closing = close
        self.end = (close.code, close.reason)
        if self.session.unreadable is not None and self._store is not None:
            self._store.calls.fail_unreadable(self.session.unreadable)
        if close.code in FAULTS:
            self._meter.count_refused(FAULTS[CloseCode(close.code)])
        self._abort = self._loop.call_later(self._limits.close_s, self._transport.abort)

    # Timers

    def _set_tick(self) -> None:
        due_ms = self.session.next_tick_ms()
        if due_ms is None:
            return
        when = self._loop.time() + max(_SOONEST_TICK_S, (due_ms - self._clock.now_ms()) / 1000)
        if self._tick is not None:
            if self._tick_at <= when:
                return
            self._tick.cancel()
        self._tick_at = when
        self._tick = self._loop.call_at(when, self._on_tick)

    def _on_tick(self) -> None:
        self._tick = None
        self.session.tick()
        self.pump()

    # Writing

    def _write(self, now_ms: float) -> None:
        """Write the messages of the lanes while the device reads, then the close frame if the end has begun."""
        if not self._is_open or self._is_paused:
            return
        while (message := self.session.lanes.take(now_ms)) is not None:
            self._put(encode_whole(_BINARY, message))
            if self._is_paused:
                return
        if self._closing is not None:
            self._send_close(self._closing.code, self._closing.reason)

    def _send_close(self, code: int | None, reason: str = "") -> None:
        self._put(encode_close(code, reason))
        self._is_close_sent = True
        if self._is_broken:
            self._finish()

    def _put(self, frame: bytes) -> None:
        """Buffer a frame for the next `_flush`, and flush now if the buffer is full."""
        if self._is_close_sent:
            return
        self._frames.append(frame)
        self._frame_bytes += len(frame)
        if self._frame_bytes >= self._limits.write_buffer_bytes:
            self._flush()

    def _flush(self) -> None:
        frames = self._frames
        if not frames:
            return
        if not self._transport.is_closing():
            # `join` would copy a single frame.
            data = frames[0] if len(frames) == 1 else b"".join(frames)
            self._transport.write(data)
        frames.clear()
        self._frame_bytes = 0

    # The end

    def _finish(self, fault: Exception | None = None) -> None:
        self._reader.has_more = False
        if not self._over.done():
            if fault is not None:
                self._over.set_exception(fault)
            else:
                self._over.set_result(None)

    def _end_session(self) -> None:
        self._was_silent = self.session.phase is LinkPhase.OPEN
        self.session.closed()
        self._run_actions(self._clock.now_ms())
        self._is_open = False
        self._owner.end_session()
        if self._closing is None and self._is_close_sent:
            self.end = (self._peer_code or _NO_CLOSE, "the device closed the connection")

    def _count(self) -> None:
        self._meter.dropped_by_lane["telemetry"] += self.session.lanes.telemetry_dropped
        self._meter.glitches += self.session.lanes.glitches
        self._meter.replayed_messages += self.session.outgoing.replayed
        if self._is_counted:
            self._meter.connections -= 1
        elif self._was_silent and self._closing is None:
            self._meter.count_refused("no_hello")


def _message_rate(limits: LinkLimits, now_s: float, *, is_authenticated: bool) -> RateLimit:
    if is_authenticated:
        return RateLimit(limits.messages_a_second, limits.messages_at_once, now_s)
    return RateLimit(limits.unauthenticated_messages_a_second, limits.unauthenticated_messages_at_once, now_s)


# No setting of a session may make its ticks a busy loop.
_SOONEST_TICK_S: Final = 0.005
_SPEAKS_MS: Final = 1000
# Comparing an enum costs ten times as much as comparing an int.
_BINARY: Final = int(Opcode.BINARY)
_TEXT: Final = int(Opcode.TEXT)
_CLOSE: Final = int(Opcode.CLOSE)
_PING: Final = int(Opcode.PING)
