"""Drives one LinkSession over one WebSocket: messages, timers, and the store's work in order.

Whose connection it is (a DeviceLink, or an UnauthenticatedConnection) applies what the device sends. A message is
taken, answered and written where its bytes come in, without a task in between (docs/decisions/0008); a task waits only
for the store and for the end. A device that does not read is not read from either. Everything that waits is bounded:
the lanes, the jobs for the store (`max_unapplied`), and what the transport holds.

It is one long file because every method reads or moves the same connection.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine
from typing import TYPE_CHECKING, Final, NamedTuple, TypeAlias

from websockets.frames import Opcode

from microclaw.errors import LinkViolation, MicroclawError, NewerConnection, StoreUnreachable
from microclaw.link_server.limits import LinkLimits, RateLimit
from microclaw.link_server.meter import FAULTS, LinkMeter
from microclaw.link_server.websocket import MessageReader, close_code, encode_close, encode_whole
from microclaw.wire.link import actions
from microclaw.wire.link.frame import MAX_MESSAGE_BYTES, CloseCode
from microclaw.wire.link.heartbeat import Clock
from microclaw.wire.link.messages import Envelope, Hello, PairRequest
from microclaw.wire.link.session import LinkSession
from microclaw.wire.link.states import Phase

if TYPE_CHECKING:
    from microclaw.link_server.device_link import DeviceLink
    from microclaw.link_server.http_connection import HttpConnection
    from microclaw.link_server.pairing import UnauthenticatedConnection

_log = logging.getLogger(__name__)

MESSAGES_A_TURN: Final = 64  # then other connections have theirs
_GONE: Final = 1006  # RFC 6455: the connection ended without a close
Work: TypeAlias = Coroutine[None, None, None]


class Arrival(NamedTuple):
    """A request for a WebSocket. `answer` ends the handshake; `http` has the transport until then, hears of its end."""

    http: HttpConnection
    transport: asyncio.Transport
    answer: Callable[[], Awaitable[object]]


class Connection(asyncio.Protocol):
    """`serve` returns when the connection is gone and everything that came over it is applied.

    `owner` is told what comes that is not durable. `store` is None for a device without a credential: its session has
    nothing durable; its methods that wait are called one after the other, in the order of the session's actions.
    """

    def __init__(
        self,
        arrival: Arrival,
        session: LinkSession,
        owner: DeviceLink | UnauthenticatedConnection,
        store: DeviceLink | None,
        *,
        clock: Clock,
        limits: LinkLimits,
        meter: LinkMeter,
    ) -> None:
        self.session = session
        self.address = arrival.http.address
        self.gone = asyncio.Event()
        self.end = (_GONE, "the connection broke")
        self.rtt_ms: float | None = None
        self.on_ready: Callable[[], Awaitable[None]] | None = None
        self.on_audio: Callable[[actions.Hear], None] | None = None  # who listens to the device
        self.on_renewal: Callable[[Connection, bytes, PairRequest], Work] | None = None  # gives one new certificate
        self._http, self._transport, self._answer = arrival
        self._owner = owner
        self._store = store
        self._clock = clock
        self._limits = limits
        self._meter = meter
        now_s = clock.now_ms() / 1000
        if store is None:
            self._rate = RateLimit(
                limits.unauthenticated_messages_a_second, limits.unauthenticated_messages_at_once, now_s
            )
        else:
            self._rate = RateLimit(limits.messages_a_second, limits.messages_at_once, now_s)
        self._tasks: asyncio.TaskGroup | None = None
        self._jobs: deque[actions.Action] = deque()
        self._is_working = self._is_counted = False
        self._was_silent = False  # it went without a single message
        # Reading
        self._reader = MessageReader(MAX_MESSAGE_BYTES)
        self._is_open = False  # between the handshake and the end
        self._is_broken = False  # what came is no WebSocket any more: nothing after it could be read
        self._is_taking = False  # what one read brought is taken, answered and written as one
        self._timers_moved = False  # by what is taken
        self._again: asyncio.Handle | None = None  # messages wait for this connection's next turn
        # Writing
        self._out: list[bytes] = []
        self._out_bytes = 0
        self._is_paused = False  # the device does not read
        # The end
        self._closing: actions.Close | None = None
        self._close_said = False
        self._peer_code: int | None = None  # what the device closed with
        self._abort: asyncio.TimerHandle | None = None
        self._loop = asyncio.get_running_loop()
        self._over: asyncio.Future[None] = self._loop.create_future()
        self._tick: asyncio.Handle | None = None
        self._tick_at = 0.0  # uvloop's handle of a timer that is due already does not tell when

    async def serve(self) -> None:
        """Answer the handshake, with the transport taken over, and return when the connection has ended."""
        try:
            if self._http.transport is None:
                return  # it went away meanwhile
            self._transport.set_write_buffer_limits(high=self._limits.write_buffer_bytes)
            self._transport.set_protocol(self)
            try:
                await self._answer()
            except OSError as exc:
                _log.info("link: %s went away before its answer: %s", self.address, exc)
                return
            async with asyncio.TaskGroup() as tasks:
                self._tasks = tasks
                self._is_open = True
                self.session.connected()
                self._go_on()
                try:
                    await self._over
                finally:
                    self._left()
        finally:
            if self._tick is not None:
                self._tick.cancel()
            if self._abort is None:
                self._abort = self._loop.call_later(self._limits.close_s, self._transport.abort)
            if not self._transport.is_closing():
                self._transport.resume_reading()  # TLS ends with the device's close_notify, which must be read
            self._transport.close()  # what was sent last still goes out, for `close_s` at most
            self._count()
            self.gone.set()

    def pump(self) -> None:
        """Carry out the session's actions, after it got something from outside."""
        if self._is_taking:  # it is done with what the device's message causes, in the order of the lanes
            self._timers_moved = True
            return
        now_ms = self._clock.now_ms()
        self._run_actions(now_ms)
        self._set_tick()
        self._write(now_ms)
        self._flush()

    def send_audio(self, payload: bytes) -> None:
        """One audio frame of the host's stream, written now; it moves no timer."""
        if self.session.send_audio(payload) and not self._is_taking:
            now_ms = self._meter.audio_ms = self._clock.now_ms()
            self._run_actions(now_ms)
            self._write(now_ms)
            self._flush()

    @property
    def somebody_speaks(self) -> bool:
        """True if audio came or went within the last second, over any of the host's connections."""
        return self._clock.now_ms() - self._meter.audio_ms < _SPEAKS_MS

    def start(self, work: Work, name: str) -> asyncio.Task[None] | None:
        """Run work that belongs to this connection; None, and not begun, where it has ended."""
        if self._tasks is None or not self._is_open:
            work.close()
            return None
        return self._tasks.create_task(work, name=f"link to {self.address}: {name}")

    def close(self, code: int, reason: str, *, retry_after_s: int | None = None) -> None:
        """End the connection in order, soon; also one that is not being served yet."""
        if self._tasks is None:
            self._begin_close(actions.Close(code, reason, retry_after_s))
            return
        self.session.close(code, reason, retry_after_s=retry_after_s)
        self.pump()

    # What the transport calls (asyncio.Protocol)

    def data_received(self, data: bytes) -> None:
        """Bytes of the device. While messages wait to be taken, no more bytes are read."""
        if self._is_broken or self._over.done():
            return
        self._reader.receive(data)
        if self._is_open and not self._is_paused and self._again is None:
            self._take_messages()
        else:
            self._pause_reading()

    def pause_writing(self) -> None:
        self._is_paused = True

    def resume_writing(self) -> None:
        self._is_paused = False
        if self._is_open and self._again is None:
            self._again = self._loop.call_soon(self._go_on)

    def connection_lost(self, exc: Exception | None) -> None:
        self._finish()
        self._http.connection_lost(exc)

    # Reading

    def _take_messages(self) -> None:
        """Take the messages that have come, until the device must read first or this connection's turn is over."""
        reader = self._reader
        left = MESSAGES_A_TURN
        self._is_taking = True
        try:
            while reader.has_more and not self._is_paused and left:
                try:
                    message = reader.next_message()
                except LinkViolation as exc:
                    self._unreadable(exc)
                    break
                if message is None:
                    break
                left -= 1
                self._take(*message)
        except Exception as exc:  # a fault of ours: `serve` raises it, where the connection is looked after
            self._finish(exc)
        self._is_taking = False
        if self._timers_moved:
            self._timers_moved = False
            self._set_tick()
        self._flush()
        if reader.has_more or self._is_broken:
            self._pause_reading()
        if reader.has_more and not self._is_paused and self._again is None:
            self._again = self._loop.call_soon(self._go_on)

    def _go_on(self) -> None:
        """The device reads again, or this connection has its next turn."""
        self._again = None
        if self._over.done():
            return
        try:
            self.pump()
        except Exception as exc:  # as above
            self._finish(exc)
        self._take_messages()
        is_reading = self._again is None and not self._is_paused and not self._is_broken and not self._over.done()
        if is_reading and not self._transport.is_closing():
            self._transport.resume_reading()

    def _take(self, opcode: int, payload: bytes) -> None:
        """A message of the device. What it causes is with `_out` when this returns."""
        if opcode == _CLOSE:
            if not self._close_said:
                self._peer_code = close_code(payload)
            self._say_close(self._peer_code)
            self._finish()
            return
        if self._close_said:
            return
        now_ms = self._clock.now_ms()
        if not self._rate.allows(now_ms / 1000):
            self._refuse(CloseCode.TOO_MANY, "too_many", "too many messages")
        elif opcode == _BINARY:
            if self.session.receive(payload):
                self._timers_moved = True
        elif opcode == _TEXT:
            self._refuse(CloseCode.NOT_BINARY, "not_binary", "a text message, the link is binary")
        self._run_actions(now_ms)
        if self.session.lanes.count or self._closing is not None:
            self._write(now_ms)
        if opcode == _PING:
            self._put(encode_whole(Opcode.PONG, payload))

    def _refuse(self, code: int, reason: str, text: str) -> None:
        self.session.refuse(LinkViolation(text, close_code=code, reason=reason))

    def _unreadable(self, violation: LinkViolation) -> None:
        """Not the device's answer to a close either: the connection is over as soon as it is said."""
        self._is_broken = True
        if self._close_said:
            self._finish()
        else:
            self.session.refuse(violation)
            self._run_actions(now_ms := self._clock.now_ms())
            self._write(now_ms)

    def _pause_reading(self) -> None:
        if not self._transport.is_closing():
            self._transport.pause_reading()

    # What the session wants

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
                    self._work_on(action)
                case actions.Deliver(envelope=envelope) if envelope.seq is None:
                    self._owner.took(self, envelope)
                case actions.ReportRtt(rtt_ms=rtt_ms):
                    self._meter.measured(rtt_ms / 1000)
                    self.rtt_ms = rtt_ms
                case _:
                    self._work_on(action)

    def _begin_close(self, close: actions.Close) -> None:
        if self._closing is not None:
            return
        self._closing = close
        self.end = (close.code, close.reason)
        if self.session.unreadable is not None and self._store is not None:
            self._store.calls.unreadable(self.session.unreadable)
        if close.code in FAULTS:
            self._meter.refused(FAULTS[CloseCode(close.code)])
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
        """Put out what the lanes hold, while the device reads; then close, if that is due."""
        if not self._is_open or self._is_paused:
            return
        while (message := self.session.lanes.take(now_ms)) is not None:
            self._put(encode_whole(_BINARY, message))
            if self._is_paused:
                return
        if self._closing is not None:
            self._say_close(self._closing.code, self._closing.reason)

    def _say_close(self, code: int | None, reason: str = "") -> None:
        self._put(encode_close(code, reason))
        self._close_said = True
        if self._is_broken:
            self._finish()

    def _put(self, frame: bytes) -> None:
        """A frame, written with the next `_flush`, or now when they have grown to what may be buffered."""
        if self._close_said:
            return
        self._out.append(frame)
        self._out_bytes += len(frame)
        if self._out_bytes >= self._limits.write_buffer_bytes:
            self._flush()

    def _flush(self) -> None:
        out = self._out
        if not out:
            return
        if not self._transport.is_closing():
            self._transport.write(out[0] if len(out) == 1 else b"".join(out))
        out.clear()
        self._out_bytes = 0

    # The store

    def _work_on(self, action: actions.Action) -> None:
        """For the store, after what it is given already."""
        self._jobs.append(action)
        if self._tasks is not None and not self._is_working:
            self._is_working = True
            self._tasks.create_task(self._work(), name=f"link to {self.address}: store")

    async def _work(self) -> None:
        try:
            while self._jobs:
                await self._do_when_reachable(self._jobs.popleft())
                self.pump()
        except MicroclawError as exc:
            self._jobs.clear()  # what follows a message that was not applied must not be applied either
            _log.warning("link to %s breaks off: %s", self.address, exc.message)
            code = CloseCode.REPLACED if isinstance(exc, NewerConnection) else CloseCode.OVERLOADED
            self.close(code, type(exc).code)  # what is durable comes again
        finally:
            self._is_working = False

    async def _do_when_reachable(self, action: actions.Action) -> None:
        """As `_do`. While the cluster is away a message of the device waits, and is not acked: the device stays."""
        while True:
            try:
                await self._do(action)
            except StoreUnreachable:
                if not isinstance(action, actions.Deliver | actions.DropAcked) or not self._is_open or self._closing:
                    raise
            else:
                return
            await asyncio.sleep(_AGAIN_S)

    async def _do(self, action: actions.Action) -> None:
        store = self._store
        assert store is not None  # the session of a device without a credential has nothing durable
        match action:
            case actions.ReportPeer() if self.on_ready is not None:
                await self.on_ready()
            case actions.Deliver(envelope=Envelope(seq=int(seq)) as envelope, epoch=bytes(epoch)):
                await store.commit(envelope, epoch=epoch)
                self.session.ack_applied(epoch, seq)
            case actions.Persist(message_id=message_id, payload=payload):
                await store.persist(message_id, payload)
            case actions.Replay(after=after, limit=limit):
                self.session.loaded(after, await store.load(after, limit))
            case actions.DropAcked(seq=seq):
                await store.acked(seq)
            case actions.RenewEpoch():
                self.session.epoch_renewed(await store.renew())

    # The end

    def _finish(self, fault: Exception | None = None) -> None:
        self._reader.has_more = False
        if not self._over.done():
            if fault is not None:
                self._over.set_exception(fault)
            else:
                self._over.set_result(None)

    def _left(self) -> None:
        self._was_silent = self.session.phase is Phase.OPEN
        self.session.closed()
        self._run_actions(self._clock.now_ms())
        self._is_open = False
        self._owner.left()
        if self._closing is None and self._close_said:
            self.end = (self._peer_code or _GONE, "the device closed the connection")

    def _count(self) -> None:
        self._meter.dropped_by_lane["telemetry"] += self.session.lanes.telemetry_dropped
        self._meter.glitches += self.session.lanes.glitches
        self._meter.replayed_messages += self.session.outgoing.replayed
        if self._is_counted:
            self._meter.connections -= 1
        elif self._was_silent and self._closing is None:
            self._meter.refused("no_hello")


_SOONEST_TICK_S: Final = 0.005  # so that no setting of a session makes its ticks a busy loop
_SPEAKS_MS: Final = 1000
_AGAIN_S: Final = 0.5
_BINARY: Final = int(Opcode.BINARY)  # an enum's comparison costs ten times an int's
_TEXT: Final = int(Opcode.TEXT)
_CLOSE: Final = int(Opcode.CLOSE)
_PING: Final = int(Opcode.PING)
