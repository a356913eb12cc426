"""Drives one LinkSession over one WebSocket: messages and timers. It stores nothing.

The connection's owner (a DeviceSession, or an UnauthenticatedConnection) applies the device's messages. A message is
read, answered and written in the call that brings its bytes, without a task in between (docs/decisions/0008); tasks
wait only for the store and for the end. If a device does not read, nothing is read from it either. Every queue is
bounded: the lanes, the actions for the store (`max_unapplied`), and the transport's buffer.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Final, TypeAlias

from websockets.frames import Opcode

from microclaw.devices.link.frame_writer import ConnectionEnding, FrameWriter
from microclaw.devices.link.limits import LinkLimits, RateLimit
from microclaw.devices.link.meter import ConnectionCounts, LinkMeter
from microclaw.devices.link.websocket import MessageReader, encode_whole
from microclaw.errors import LinkViolation
from microclaw.wire.link import actions
from microclaw.wire.link.frame import MAX_MESSAGE_BYTES, CloseCode
from microclaw.wire.link.heartbeat import HeartbeatClock
from microclaw.wire.link.messages import Envelope, Hello
from microclaw.wire.link.session import LinkSession
from microclaw.wire.link.states import LinkPhase

if TYPE_CHECKING:
    from microclaw.devices.link.http_connection import WebSocketRequest

_log = logging.getLogger(__name__)

# After this number of messages in a row, other connections have their turn.
MESSAGES_A_TURN: Final = 64
Work: TypeAlias = Coroutine[None, None, None]


class ConnectionOwner:
    """The owner of a connection, which applies its messages. No method waits.

    These methods do nothing, as for a device without a credential, which never sends a hello.
    """

    def ready(self, connection: LinkConnection, hello: Hello) -> None:
        """Note the device's hello, which begins the session."""

    def receive(self, connection: LinkConnection, envelope: Envelope) -> None:
        """Apply a message that is not durable."""

    def receive_audio(self, hear: actions.Hear) -> None:
        """Take one audio frame."""

    def store(self, connection: LinkConnection, action: actions.Action) -> None:
        """Carry out an action that waits for the store, after the earlier ones."""
        raise AssertionError(f"nothing of the session with {connection.address} is durable, and it says {action}")

    def fail_unreadable(self, violation: LinkViolation) -> None:
        """Note a message that cannot be read. The connection ends."""

    def end_session(self) -> None:
        """Note that no more messages come."""

    def detach(self) -> None:
        """Note that the connection has ended, and that its messages are applied."""


class LinkConnection(asyncio.Protocol):
    """One device's WebSocket. `serve` returns when it has ended and all its messages are applied."""

    def __init__(
        self,
        arrival: WebSocketRequest,
        session: LinkSession,
        owner: ConnectionOwner,
        rate: RateLimit,
        *,
        clock: HeartbeatClock,
        limits: LinkLimits,
        meter: LinkMeter,
    ) -> None:
        self.session = session
        self.owner = owner
        self.address = arrival.http.address
        self.counts = ConnectionCounts(meter)
        self.ending = ConnectionEnding(arrival.transport, limits.close_s)
        # Of this connection's work. None before `serve`.
        self.tasks: asyncio.TaskGroup | None = None
        self._arrival = arrival
        self._rate = rate
        self._clock = clock
        self._timer = _SessionTimer(session, clock, self._on_timer)
        self._reader = MessageReader(MAX_MESSAGE_BYTES)
        self._writer = FrameWriter(arrival.transport, limits.write_buffer_bytes)
        # True between the handshake and the end.
        self._is_open = False
        # Invalid bytes were received, so nothing after them can be read.
        self._is_broken = False
        # The messages of one read are handled as a batch, and their answers written at once.
        self._is_handling = False
        self._must_set_timer = False
        # Messages wait for this connection's next turn.
        self._next_turn: asyncio.Handle | None = None

    async def serve(self) -> None:
        """Take the transport over, answer the handshake, and return when the connection has ended."""
        try:
            # Without a transport the device has left already.
            if self._arrival.http.transport is not None and await self._answer_handshake():
                await self._run()
        finally:
            self._release()

    async def _answer_handshake(self) -> bool:
        """Return False if the device left before the answer."""
        self._writer.limit_buffer()
        self._arrival.transport.set_protocol(self)
        try:
            await self._arrival.answer()
        except OSError as exc:
            _log.info("link: %s went away before its answer: %s", self.address, exc)
            return False
        return True

    async def _run(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            self.tasks = tasks
            self._is_open = True
            self.session.connected()
            self._continue()
            try:
                await self.ending.over
            finally:
                self._end_session()

    def _release(self) -> None:
        self._timer.cancel()
        self.ending.release()
        self.counts.note_end(self.session, is_host_close=self.ending.close is not None)
        self.ending.has_ended.set()

    def pump(self) -> None:
        """Carry out the session's actions, after it was changed from outside."""
        if self._is_handling:
            # The end of the batch writes everything, in the order of the lanes.
            self._must_set_timer = True
            return
        now_ms = self._clock.now_ms()
        self._run_actions(now_ms)
        self._timer.set()
        self._write(now_ms)
        self._writer.flush()

    def send_audio(self, payload: bytes) -> None:
        """Send one audio frame of the host's stream now. Moves no timer."""
        if self.session.send_audio(payload) and not self._is_handling:
            now_ms = self._clock.now_ms()
            self.counts.note_audio(now_ms)
            self._run_actions(now_ms)
            self._write(now_ms)
            self._writer.flush()

    @property
    def has_recent_audio(self) -> bool:
        """True if audio was sent or received within the last second, over any of the host's connections."""
        return self.counts.has_recent_audio(self._clock.now_ms())

    @property
    def is_live(self) -> bool:
        """True after the handshake, until the end begins."""
        return self._is_open and self.ending.close is None

    def start(self, work: Work, name: str) -> asyncio.Task[None] | None:
        """Run work that belongs to this connection. Returns None, and does not begin it, if the connection ended."""
        if self.tasks is None or not self._is_open:
            work.close()
            return None
        return self.tasks.create_task(work, name=f"link to {self.address}: {name}")

    def close(self, code: int, reason: str, *, retry_after_s: int | None = None) -> None:
        """End the connection in order, soon, also before it is served."""
        if self.tasks is None:
            self._begin_close(actions.Close(code, reason, retry_after_s))
            return
        self.session.close(code, reason, retry_after_s=retry_after_s)
        self.pump()

    # What the transport calls (asyncio.Protocol)

    def data_received(self, data: bytes) -> None:
        """Handle bytes of the device. While complete messages wait, no more bytes are read."""
        if self._is_broken or self.ending.over.done():
            return
        self._reader.receive(data)
        if self._is_open and not self._writer.is_paused and self._next_turn is None:
            self._handle_messages()
        else:
            self._pause_reading()

    def pause_writing(self) -> None:
        self._writer.is_paused = True

    def resume_writing(self) -> None:
        self._writer.is_paused = False
        if self._is_open:
            self._plan_turn()

    def connection_lost(self, exc: Exception | None) -> None:
        self._finish()
        self._arrival.http.connection_lost(exc)

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
        if self._must_set_timer:
            self._must_set_timer = False
            self._timer.set()
        self._writer.flush()
        if reader.has_more or self._is_broken:
            self._pause_reading()
        if reader.has_more and not self._writer.is_paused:
            self._plan_turn()

    def _handle_batch(self) -> None:
        for _ in range(MESSAGES_A_TURN):
            if not self._reader.has_more or self._writer.is_paused:
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
            self._next_turn = asyncio.get_running_loop().call_soon(self._continue)

    def _continue(self) -> None:
        """Begin this connection's next turn, or continue when the device reads again."""
        self._next_turn = None
        if self.ending.over.done():
            return
        try:
            self.pump()
        except Exception as exc:
            # A defect of the host: `serve` raises it.
            self._finish(exc)
        self._handle_messages()
        has_ended = self._is_broken or self.ending.over.done() or self._arrival.transport.is_closing()
        if self._next_turn is None and not self._writer.is_paused and not has_ended:
            self._arrival.transport.resume_reading()

    def _handle(self, opcode: int, payload: bytes) -> None:
        """Handle a message of the device. The answers are buffered when this returns."""
        if opcode == _CLOSE:
            self._answer_close(payload)
            return
        if self._writer.is_close_sent:
            return
        now_ms = self._clock.now_ms()
        if not self._rate.allows(now_ms / 1000):
            self._refuse(CloseCode.TOO_MANY, "too_many", "too many messages")
        elif opcode == _BINARY:
            if self.session.receive(payload):
                self._must_set_timer = True
        elif opcode == _TEXT:
            self._refuse(CloseCode.NOT_BINARY, "not_binary", "a text message, the link is binary")
        self._run_actions(now_ms)
        if self.session.lanes.count or self.ending.close is not None:
            self._write(now_ms)
        if opcode == _PING:
            self._writer.put(encode_whole(Opcode.PONG, payload))

    def _answer_close(self, payload: bytes) -> None:
        if not self._writer.is_close_sent:
            code = self.ending.note_device_close(payload)
            self._writer.put_close(code)
        self._finish()

    def _refuse(self, code: int, reason: str, text: str) -> None:
        self.session.refuse(LinkViolation(text, close_code=code, reason=reason))

    def _refuse_unreadable(self, violation: LinkViolation) -> None:
        """Close after invalid bytes. The device's answer to the close cannot be read, so it is not waited for."""
        self._is_broken = True
        if self._writer.is_close_sent:
            self._finish()
            return
        self.session.refuse(violation)
        now_ms = self._clock.now_ms()
        self._run_actions(now_ms)
        self._write(now_ms)

    def _pause_reading(self) -> None:
        if not self._arrival.transport.is_closing():
            self._arrival.transport.pause_reading()

    # Actions of the session

    def _run_actions(self, now_ms: float) -> None:
        while (action := self.session.next_action()) is not None:
            match action:
                case actions.Hear():
                    self.counts.note_audio(now_ms)
                    self.owner.receive_audio(action)
                case actions.Close():
                    self._begin_close(action)
                case actions.ReportPeer(peer=Hello() as peer):
                    self.counts.note_ready()
                    self.owner.ready(self, peer)
                    self.owner.store(self, action)
                case actions.Deliver(envelope=envelope) if envelope.seq is None:
                    self.owner.receive(self, envelope)
                case actions.ReportRtt(rtt_ms=rtt_ms):
                    self.counts.note_rtt(rtt_ms)
                case _:
                    self.owner.store(self, action)

    def _begin_close(self, close: actions.Close) -> None:
        if self.ending.close is not None:
            return
        self.ending.begin(close)
        if self.session.unreadable is not None:
            self.owner.fail_unreadable(self.session.unreadable)
        self.counts.note_close(close.code)

    def _on_timer(self) -> None:
        try:
            self.session.tick()
            self.pump()
        except Exception as exc:
            # A defect of the host: `serve` raises it.
            self._finish(exc)

    # Writing

    def _write(self, now_ms: float) -> None:
        """Write the messages of the lanes while the device reads, then the close frame if the end has begun."""
        writer = self._writer
        if not self._is_open or writer.is_paused:
            return
        while (message := self.session.lanes.take(now_ms)) is not None:
            writer.put(encode_whole(_BINARY, message))
            if writer.is_paused:
                return
        close = self.ending.close
        if close is not None:
            writer.put_close(close.code, close.reason)
            if self._is_broken:
                self._finish()

    # The end

    def _finish(self, fault: Exception | None = None) -> None:
        self._reader.has_more = False
        self.ending.finish(fault)

    def _end_session(self) -> None:
        self.counts.was_silent = self.session.phase is LinkPhase.OPEN
        self.session.closed()
        self._run_actions(self._clock.now_ms())
        self._is_open = False
        self.owner.end_session()


class _SessionTimer:
    """The time when the session has something to do: a ping, an ack, the end of a wait."""

    def __init__(self, session: LinkSession, clock: HeartbeatClock, on_due: Callable[[], None]) -> None:
        self._session = session
        self._clock = clock
        self._on_due = on_due
        self._loop = asyncio.get_running_loop()
        self._handle: asyncio.Handle | None = None
        # uvloop's handle of a timer that is due already does not say when.
        self._due_s = 0.0

    def set(self) -> None:
        due_ms = self._session.next_tick_ms()
        if due_ms is None:
            return
        due_s = self._loop.time() + max(_SOONEST_TICK_S, (due_ms - self._clock.now_ms()) / 1000)
        if self._handle is not None:
            if self._due_s <= due_s:
                return
            self._handle.cancel()
        self._due_s = due_s
        self._handle = self._loop.call_at(due_s, self._call)

    def cancel(self) -> None:
        if self._handle is not None:
            self._handle.cancel()

    def _call(self) -> None:
        self._handle = None
        self._on_due()


# No setting of a session may make its ticks a busy loop.
_SOONEST_TICK_S: Final = 0.005
# Comparing an enum costs ten times as much as comparing an int.
_BINARY: Final = int(Opcode.BINARY)
_TEXT: Final = int(Opcode.TEXT)
_CLOSE: Final = int(Opcode.CLOSE)
_PING: Final = int(Opcode.PING)
