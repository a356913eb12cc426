"""Drives one LinkSession over one LinkSocket: messages, timers, and the store's work in order. Decides nothing.

Whose connection it is (`Owner`) applies what the device sends. A message is taken, answered and written where its bytes
come in; a task waits only for the store and for the end. A device that does not read is not read from either.
Everything that waits is bounded: the lanes, the jobs for the store (`max_unapplied`), and what the transport holds.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Final, Protocol, assert_never

from microclaw.errors import LinkViolation, MicroclawError, NewerConnection, StoreUnreachable
from microclaw.link_server.limits import LinkLimits, RateLimit
from microclaw.link_server.meter import LANES, LaneName, LinkMeter, RefusalReason
from microclaw.link_server.websocket import LinkSocket, Opcode
from microclaw.wire.link import actions
from microclaw.wire.link.frame import CloseCode
from microclaw.wire.link.heartbeat import Clock
from microclaw.wire.link.lanes import Lanes
from microclaw.wire.link.messages import Envelope, Hello, PairRequest
from microclaw.wire.link.sequence import OutboxCursor, StoredMessage
from microclaw.wire.link.session import LinkSession
from microclaw.wire.link.states import Phase

_log = logging.getLogger(__name__)

REFUSALS: Final[dict[int, RefusalReason]] = {
    CloseCode.NOT_BINARY: "text_message",
    CloseCode.OVERLOADED: "overloaded",
    CloseCode.MALFORMED: "malformed",
    CloseCode.NOT_AUTHENTICATED: "not_authenticated",
    CloseCode.REVOKED: "revoked",
    CloseCode.TIMED_OUT: "timeout",
    CloseCode.REPLACED: "replaced",
    CloseCode.TOO_LARGE: "too_large",
    CloseCode.TOO_MANY: "too_many",
}
_GONE: Final = 1006  # RFC 6455: the connection ended without a close


class Owner(Protocol):
    """Whose connection it is: a DeviceLink, or an UnauthenticatedConnection."""

    def ready(self, connection: Connection, hello: Hello) -> None:
        """The handshake is done."""

    def took(self, connection: Connection, envelope: Envelope) -> None:
        """A message that is not durable."""

    def measured(self, rtt_ms: float) -> None:
        """A pong came."""


class DurableOwner(Protocol):
    """The store behind a session. Called one after the other, in the order of the session's actions."""

    async def commit(self, envelope: Envelope, *, epoch: bytes) -> None:
        """Apply a durable message; it is acked when this returns."""

    async def persist(self, message_id: bytes, payload: bytes) -> None:
        """Append to the outbox and tell the session."""

    async def load(self, after: int, limit: int) -> Sequence[StoredMessage]: ...

    async def acked(self, seq: int) -> None: ...

    async def renew(self) -> OutboxCursor: ...


class Connection:
    """`serve` returns when the connection is gone and everything that came over it is applied.

    `store` is None for a device without a credential: its session has nothing durable.
    """

    def __init__(
        self,
        socket: LinkSocket,
        session: LinkSession,
        owner: Owner,
        store: DurableOwner | None,
        *,
        clock: Clock,
        limits: LinkLimits,
        meter: LinkMeter,
    ) -> None:
        self.session = session
        self.address = socket.address
        self.gone = asyncio.Event()
        self.lanes = Lanes(limits.lanes)
        self.end = (_GONE, "the connection broke")
        self.on_ready: Callable[[], Awaitable[None]] | None = None
        self.on_audio: Callable[[actions.Hear], None] | None = None  # who listens to the device
        self.on_unreadable: Callable[[LinkViolation], None] | None = None  # who waits for what could not be read
        self.on_renewal: Callable[[Connection, bytes, PairRequest], None] | None = None  # who gives new certificates
        self._was_silent = False  # it went without a single message
        self._socket = socket
        self._owner = owner
        self._store = store
        self._clock = clock
        self._limits = limits
        self._meter = meter
        now_s = clock.now_ms() / 1000
        self._rate = (
            RateLimit(limits.unauthenticated_messages_a_second, limits.unauthenticated_messages_at_once, now_s)
            if store is None
            else RateLimit(limits.messages_a_second, limits.messages_at_once, now_s)
        )
        self._tasks: asyncio.TaskGroup | None = None
        self._jobs: deque[actions.Action] = deque()
        self._working = self._is_counted = self._is_open = self._is_taking = self._timers_moved = False
        self._closing: actions.Close | None = None
        self._tick: asyncio.Handle | None = None
        self._tick_at = 0.0  # uvloop's handle of a timer that is due already does not tell when
        self._abort: asyncio.TimerHandle | None = None
        self._loop = asyncio.get_running_loop()

    async def serve(self) -> None:
        """Returns when the connection has ended."""
        try:
            async with asyncio.TaskGroup() as tasks:
                self._tasks = tasks
                self._is_open = True
                self.session.connected()
                self.pump()
                try:
                    await self._socket.run(self)
                finally:
                    self._left()
        finally:
            if self._tick is not None:
                self._tick.cancel()
            if self._abort is None:
                self._abort = self._loop.call_later(self._limits.close_s, self._socket.abort)
            self._socket.close_transport()  # what was sent last still goes out, for `close_s` at most
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
        self._socket.flush()

    def send_audio(self, payload: bytes) -> None:
        """One audio frame of the host's stream, written now; it moves no timer."""
        if self.session.send_audio(payload) and not self._is_taking:
            now_ms = self._meter.audio_ms = self._clock.now_ms()
            self._run_actions(now_ms)
            self._write(now_ms)
            self._socket.flush()

    @property
    def somebody_speaks(self) -> bool:
        """Whether audio came or went within the last second, over any of the host's connections."""
        return self._clock.now_ms() - self._meter.audio_ms < _SPEAKS_MS

    def start(self, work: Coroutine[None, None, None], name: str) -> bool:
        """Run work that belongs to this connection, and ends with it; False, and not begun, where it has ended."""
        if self._tasks is None or not self._is_open:
            work.close()
            return False
        self._tasks.create_task(work, name=f"link to {self.address}: {name}")
        return True

    def close(self, code: int, reason: str, *, retry_after_s: int | None = None) -> None:
        """End the connection in order, soon; also one that is not being served yet."""
        if self._tasks is None:
            self._begin_close(actions.Close(code, reason, retry_after_s))
            return
        self.session.close(code, reason, retry_after_s=retry_after_s)
        self.pump()

    def break_off(self, exc: MicroclawError, code: int) -> None:
        """What the owner could not do ends the connection: what is durable comes again."""
        _log.warning("link to %s breaks off: %s", self.address, exc.message)
        self.close(code, type(exc).code)

    # What the socket hands over (websocket.Receiver)

    def got(self, opcode: int, payload: bytes) -> None:
        """A message of the device. What it causes is with the socket, which flushes, when this returns."""
        now_ms = self._clock.now_ms()
        self._is_taking = True
        try:
            if not self._rate.allows(now_ms / 1000):
                self._refuse(CloseCode.TOO_MANY, "too_many", "too many messages")
            elif opcode == _BINARY:
                if self.session.receive(payload):
                    self._timers_moved = True
            elif opcode == Opcode.TEXT:
                self._refuse(CloseCode.NOT_BINARY, "not_binary", "a text message, the link is binary")
            self._run_actions(now_ms)
        finally:
            self._is_taking = False
        self._tell_unreadable()
        if self._timers_moved:
            self._timers_moved = False
            self._set_tick()
        if self.lanes.count or self._closing is not None:
            self._write(now_ms)

    def breached(self, violation: LinkViolation) -> None:
        self.session.refuse(violation)
        self._tell_unreadable()
        self.pump()

    def writable(self) -> None:
        self.pump()

    def _tell_unreadable(self) -> None:
        if self.session.unreadable is not None and self.on_unreadable is not None:
            tell, self.on_unreadable = self.on_unreadable, None
            tell(self.session.unreadable)

    def _refuse(self, code: int, reason: str, text: str) -> None:
        self.session.refuse(LinkViolation(text, close_code=code, reason=reason))

    # What the session wants

    def _run_actions(self, now_ms: float) -> None:
        while (action := self.session.next_action()) is not None:
            match action:  # the two of an audio frame first
                case actions.Send():
                    self._queue(action, now_ms)
                case actions.Hear():
                    self._meter.audio_ms = now_ms
                    if self.on_audio is not None:
                        self.on_audio(action)
                case actions.Close():
                    self._begin_close(action)
                case actions.ReportPeer(peer=peer):
                    assert isinstance(peer, Hello)
                    self._is_counted = True
                    self._meter.connected(1)
                    self._owner.ready(self, peer)
                    self._jobs.append(action)
                    self._start_working()
                case actions.Deliver(envelope=envelope) if envelope.seq is None:
                    self._owner.took(self, envelope)
                case actions.PurgeAudio():
                    self.lanes.purge_audio()
                case actions.ReportRtt(rtt_ms=rtt_ms):
                    self._meter.measured(rtt_ms / 1000)
                    self._owner.measured(rtt_ms)
                case (
                    actions.Persist()
                    | actions.Replay()
                    | actions.DropAcked()
                    | actions.RenewEpoch()
                    | actions.Deliver()
                ):
                    self._jobs.append(action)
                    self._start_working()
                case actions.TakeBlob():
                    pass  # a device's: the session of a host refuses BLOB frames
                case _:
                    assert_never(action)

    def _queue(self, send: actions.Send, now_ms: float) -> None:
        if send.lane is actions.Lane.MEDIA and self._is_open and not self.lanes.count and not self._socket.is_paused:
            self._socket.send(send.message)  # nothing goes before it: it need not wait
            return
        try:
            self.lanes.put(send, now_ms)
        except LinkViolation as exc:
            if self._closing is None:
                self._begin_close(actions.Close(exc.close_code, exc.message))

    def _begin_close(self, close: actions.Close) -> None:
        if self._closing is not None:
            return
        self._closing = close
        self.end = (close.code, close.reason)
        refusal = REFUSALS.get(close.code)
        if refusal is not None:
            self._meter.refused(refusal)
        self._abort = self._loop.call_later(self._limits.close_s, self._socket.abort)

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
        """Give the socket what the lanes hold, while the device reads; then close, if that is due."""
        socket = self._socket
        if self._is_open and not socket.is_paused:
            while (message := self.lanes.take(now_ms)) is not None:
                socket.send(message)
                if socket.is_paused:
                    return
            if self._closing is not None:
                socket.begin_close(self._closing.code, self._closing.reason)

    # The store

    def _start_working(self) -> None:
        if self._tasks is not None and not self._working:
            self._working = True
            self._tasks.create_task(self._work(), name=f"link to {self.address}: store")

    async def _work(self) -> None:
        try:
            while self._jobs:
                await self._do_when_reachable(self._jobs.popleft())
                self.pump()
        except MicroclawError as exc:
            self._jobs.clear()  # what follows a message that was not applied must not be applied either
            self.break_off(exc, CloseCode.REPLACED if isinstance(exc, NewerConnection) else CloseCode.OVERLOADED)
        finally:
            self._working = False

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
        if isinstance(action, actions.ReportPeer):
            if self.on_ready is not None:
                await self.on_ready()
            return
        store = self._store
        if store is None:
            raise TypeError(f"a device without a credential has nothing durable: {action}")
        match action:
            case actions.Deliver(envelope=envelope, epoch=epoch):
                assert envelope.seq is not None
                assert epoch is not None
                await store.commit(envelope, epoch=epoch)
                self.session.ack_applied(epoch, envelope.seq)
            case actions.Persist(message_id=message_id, payload=payload):
                await store.persist(message_id, payload)
            case actions.Replay(after=after, limit=limit):
                self.session.loaded(after, await store.load(after, limit))
            case actions.DropAcked(seq=seq):
                await store.acked(seq)
            case actions.RenewEpoch():
                self.session.epoch_renewed(await store.renew())
            case _:
                raise TypeError(f"{action} is no work for the store")

    # The end

    def _left(self) -> None:
        self._was_silent = self.session.phase is Phase.OPEN
        self.session.closed()
        self._run_actions(self._clock.now_ms())
        self._is_open = False
        if self._closing is None:
            self.end = (self._socket.peer_code or _GONE, "the device closed the connection")

    def _count(self) -> None:
        counters = self.lanes.counters
        if counters.telemetry_dropped:
            self._meter.dropped("telemetry", counters.telemetry_dropped)
        if counters.glitches:
            self._meter.glitched(counters.glitches)
        if self.session.outgoing.replayed:
            self._meter.replayed(self.session.outgoing.replayed)
        if self._is_counted:
            self._meter.connected(-1)
        elif self._was_silent and self._closing is None:
            self._meter.refused("no_hello")

    def depths(self) -> dict[LaneName, int]:
        """Messages that wait, by lane."""
        return {name: self.lanes.depth(lane) for name, lane in zip(LANES, actions.Lane, strict=True)}


_SOONEST_TICK_S: Final = 0.005  # so that no setting of a session makes its ticks a busy loop
_SPEAKS_MS: Final = 1000
_AGAIN_S: Final = 0.5
_BINARY: Final = int(Opcode.BINARY)
