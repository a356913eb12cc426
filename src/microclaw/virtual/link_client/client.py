"""One boot's end of the link: a thread that connects, sends, receives and reconnects. handler.py handles messages.

Only this thread uses the session, the outbox and the inbox. Other threads give it work with `post`. It waits for the
host only while it connects.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import closing, suppress
from typing import Any, Final, Literal, assert_never

from microclaw.backoff import Backoff
from microclaw.errors import ConfigError, DeviceUnreachable, Overloaded, StoreError
from microclaw.virtual.link_client.flash import Flash, FlashInbox, FlashOutbox, PowerGone
from microclaw.virtual.link_client.identity import LinkAddress, LinkIdentity
from microclaw.virtual.link_client.socket import LinkSocket, Waker, open_link
from microclaw.virtual.link_client.state import LinkState, SystemClock, new_message_id
from microclaw.wire.fair_ring import drop_of_largest
from microclaw.wire.link import actions
from microclaw.wire.link.frame import CloseCode
from microclaw.wire.link.lanes import Lane
from microclaw.wire.link.messages import AnyMessage, Hello, Log, PairRequest, Telemetry, Welcome
from microclaw.wire.link.session import LinkConfig, LinkSession
from microclaw.wire.link.states import LinkPhase
from microclaw.wire.link.values import Id

TELEMETRY_S: Final = 30.0
MAX_POSTED: Final = 256
MAX_LOG_LINES: Final = 256
MAX_LOG_CHARS: Final = 2_000
REFUSED_WAIT_S: Final = 60.0
RENEWAL_PAUSE_S: Final = 24 * 3600.0
RENEWAL_TIMEOUT_MS: Final = 15_000
JOIN_S: Final = 0.5
KEEP_TIMEOUT_S: Final = 15.0
_REFUSED: Final = (CloseCode.NOT_AUTHENTICATED, CloseCode.REVOKED, CloseCode.REPLACED)
_log = logging.getLogger(__name__)

Handle = Callable[[actions.Deliver], None]


class LinkClient:
    """The client. `hello` describes the board, `measure` makes the telemetry, `start` sets the handler of messages."""

    def __init__(
        self,
        flash: Flash,
        address: LinkAddress,
        hello: Hello,
        state: LinkState,
        *,
        measure: Callable[[], Telemetry],
        set_calendar: Callable[[float], None],
    ) -> None:
        self.state = state
        self.outbox = FlashOutbox(flash)
        self.inbox = FlashInbox(flash)
        self.identity = LinkIdentity(flash, address)
        self.clock = SystemClock()
        self._handle: Handle = lambda _: None
        self.hear: Callable[[int, bytes], None] = lambda _stream, _payload: None
        self.take_blob: Callable[[actions.TakeBlob], None] = lambda _blob: None
        self.welcomed: Callable[[], None] = lambda: None
        # A connection has ended.
        self.parted: Callable[[], None] = lambda: None
        self._then: Callable[[], float | None] | None = None
        self._address = address
        self._measure = measure
        self._set_calendar = set_calendar
        self._backoff = Backoff(random.random)
        self._waker = Waker()
        self.is_over = False
        self._lock = threading.Lock()
        self._posted: deque[Callable[[], None]] = deque()
        self._log_lines: deque[Log] = deque()
        self._log_number = 0
        self._also: dict[Id, Mapping[str, Any]] = {}
        self._retry_after_s: float | None = None
        self._telemetry_due_s = 0.0
        self._renewal_due_s = 0.0
        self.session = self._session(hello)
        self._pairing: LinkSession | None = None
        self._socket: LinkSocket | None = None
        self._thread = threading.Thread(target=self._run, name="link", daemon=True)

    # What other threads call

    def start(self, handle: Handle) -> None:
        """Begin to connect. `handle` is called in the link's thread with every message of the host."""
        self._handle = handle
        self._thread.start()

    def end(self) -> None:
        """End as at a power cut: nothing is sent or stored from now on."""
        self.is_over = True
        self._waker.wake()
        if self._thread.is_alive() and threading.current_thread() is not self._thread:
            self._thread.join(JOIN_S)

    def goodbye(self, reason: str, timeout_s: float) -> None:
        """Switch off in order: send `bye` and 1001, wait until they are sent, and connect no more."""
        has_left = threading.Event()

        def end() -> None:
            self.is_over = True
            has_left.set()

        self.post(lambda: self.leave(CloseCode.SHUTTING_DOWN, reason, end, retry_after_s=None), must=True)
        has_left.wait(timeout_s)

    def post(self, job: Callable[[], None], *, must: bool = False) -> bool:
        """Run a job in the link's thread. Returns False if 256 jobs wait already, unless it `must` run."""
        with self._lock:
            if len(self._posted) >= MAX_POSTED and not must:
                return False
            self._posted.append(job)
        self._waker.wake()
        return True

    def store_event(self, body: AnyMessage) -> bool:
        """Put a durable message into the outbox. Returns True if it is in flash, False if the outbox is full."""
        done = threading.Event()
        refused_counts: list[int] = []

        def job() -> None:
            count_before = self.state.refused_events
            self.send(body)
            self._carry_out(self.session)
            refused_counts.append(self.state.refused_events - count_before)
            done.set()

        if not self.post(job):
            self.state.refused_events += 1
            return False
        return done.wait(KEEP_TIMEOUT_S) and not refused_counts[0]

    def log(self, level: str, source: str, line: str) -> None:
        """Send a log line to the host, now or later: 256 wait, shared between programs. Also under the board's lock."""
        log_level: Literal["error", "info"] = "error" if level == "error" else "info"
        with self._lock:
            self._log_number += 1
            self._log_lines.append(Log(log_level, source, self._log_number, line[:MAX_LOG_CHARS]))
            if len(self._log_lines) > MAX_LOG_LINES:
                drop_of_largest(self._log_lines, lambda line: line.source)
                self.state.dropped += 1
        self._waker.wake()

    # Called in the link's thread, also by handler.py

    def send(
        self,
        body: AnyMessage,
        *,
        re: Id | None = None,
        durable: bool = False,
        also: Mapping[str, Any] | None = None,
        message_id: Id | None = None,
    ) -> None:
        """Send a message. A durable one is stored (`also` is committed with it), others are lost if not connected."""
        try:
            message_id = self.session.send(body, re=re, durable=durable, message_id=message_id)
        except DeviceUnreachable:
            return
        if also is not None:
            self._also[message_id] = also

    def keep_now(self, body: AnyMessage) -> None:
        """Put a durable message into the outbox's reserved room for answers. It is in flash when this returns."""
        self.send(body, durable=True, also={})
        self._carry_out(self.session)

    def commit_effect(self, deliver: actions.Deliver, effect: Mapping[str, Any] | None = None) -> bool:
        """Commit the effect of a durable message with the inbox's cursor, then ack. Returns False if that was done."""
        envelope = deliver.envelope
        if envelope.seq is None or deliver.epoch is None:
            return True
        is_new = self.inbox.advance(deliver.epoch, envelope.seq, envelope.id, effect or {})
        self.session.ack_applied(deliver.epoch, envelope.seq)
        return is_new

    def close(self, code: int, reason: str) -> None:
        """End the present connection. The board connects again later."""
        self._present.close(code, reason)

    def leave(self, code: int, reason: str, then: Callable[[], float | None], *, retry_after_s: int | None = 0) -> None:
        """End the connection in order, then call `then`, which may return the seconds until the next connection."""
        if self._socket is None:
            # The answer is stored first, because `then` may switch the power off.
            self._carry_out(self.session)
            then()
        else:
            self._then = then
            self._present.close(code, reason, retry_after_s=retry_after_s)
            self._carry_out(self._present)

    def reconnect_paired(self) -> None:
        """Connect again with the new credential, which is in flash."""
        if self._pairing is not None:
            self._pairing.close(CloseCode.DONE, "paired", retry_after_s=0)

    @property
    def _present(self) -> LinkSession:
        return self._pairing or self.session

    def _run(self) -> None:
        with closing(self._waker), suppress(PowerGone):
            while not self.is_over:
                try:
                    self._rest(self._connect())
                except PowerGone:
                    raise
                except Exception as exc:
                    # A full disk or a defect: the link connects again.
                    _log.exception("the link broke off")
                    self.state.enter("waiting", str(exc))
                    self._rest(self._backoff.next_wait_s())

    def _connect(self) -> float:
        """Run one connection from beginning to end. Returns the seconds to wait before the next."""
        self._retry_after_s = None
        self.state.enter("connecting")
        is_paired = self.identity.is_paired
        self.state.device_id = self.identity.device_id if is_paired else None
        try:
            socket = open_link(self._address, self.identity.tls(), self.identity.token)
        except (DeviceUnreachable, ConfigError) as exc:
            self.state.enter("waiting", exc.message)
            _log.info("%s", exc.message)
            return self._backoff.next_wait_s()
        session = self.session
        if not is_paired:
            session = self._identity_session("pairing", self.identity.pair_request, LinkConfig().pairing_timeout_ms)
        if is_paired and self.identity.is_late and time.monotonic() >= self._renewal_due_s:
            # If the renewal fails, the next try is tomorrow.
            self._renewal_due_s = time.monotonic() + RENEWAL_PAUSE_S
            session = self._identity_session("renewing", self.identity.renewal_request, RENEWAL_TIMEOUT_MS)
        self._socket = socket
        try:
            session.connected()
            self._converse(socket, session)
        finally:
            session.closed()
            self._pairing = None
            self._socket = None
            if not socket.closed:
                socket.abort()
            self.state.code = None
            self.parted()
        return self._after(socket, is_paired)

    def _after(self, socket: LinkSocket, was_paired: bool) -> float:
        if self._then is not None:
            then = self._then
            self._then = None
            away_s = then()
            if away_s:
                return away_s
        close = socket.close_received
        if was_paired and close is not None and close.code in _REFUSED:
            self.state.enter("refused", f"the host closed with {close.code}: {close.reason}")
            _log.warning("%s", self.state.error)
            return REFUSED_WAIT_S + self._backoff.next_wait_s()
        self.state.enter("waiting", self.state.error)
        return self._backoff.next_wait_s(self._retry_after_s)

    def _identity_session(self, state: str, request: Callable[[str], PairRequest], timeout_ms: float) -> LinkSession:
        """Make the session that requests a credential, or a new certificate with the old one."""
        self.state.enter(state)
        opening = self.session.opening
        assert isinstance(opening, Hello)
        self._pairing = self._session(request(opening.board), LinkConfig(hello_timeout_ms=timeout_ms))
        return self._pairing

    def _session(self, opening: Hello | PairRequest, config: LinkConfig | None = None) -> LinkSession:
        outbox = self.outbox.cursor()
        inbox = self.inbox.cursor()
        return LinkSession(opening, outbox=outbox, inbox=inbox, clock=self.clock, new_id=new_message_id, config=config)

    def _converse(self, socket: LinkSocket, session: LinkSession) -> None:
        while not self.is_over and not socket.closed:
            self._do_posted()
            due_ms = session.next_tick_ms()
            if due_ms is not None and self.clock.now_ms() >= due_ms:
                session.tick()
            self._report(session)
            self._carry_out(session)
            self._write(socket, session)
            for message in socket.wait(self._until_due_s(session), self._waker):
                session.receive(message)
                self._carry_out(session)
            self._write(socket, session)
        if self.is_over:
            socket.abort()

    def _write(self, socket: LinkSocket, session: LinkSession, *, must: bool = False) -> None:
        while (must or socket.has_room) and (message := session.lanes.take(self.clock.now_ms())) is not None:
            socket.send(message)

    def _until_due_s(self, session: LinkSession) -> float:
        if session.phase is LinkPhase.READY:
            due_s = self._telemetry_due_s - time.monotonic()
        else:
            due_s = TELEMETRY_S
        tick_ms = session.next_tick_ms()
        if tick_ms is not None:
            due_s = min(due_s, (tick_ms - self.clock.now_ms()) / 1000)
        return due_s

    def _report(self, session: LinkSession) -> None:
        """Send telemetry if it is due, and log lines while their lane has room."""
        if session.phase is not LinkPhase.READY:
            return
        now_s = time.monotonic()
        if now_s >= self._telemetry_due_s:
            self._telemetry_due_s = now_s + TELEMETRY_S
            session.send(self._measure())
        room = session.lanes.limits.telemetry // 2 - session.lanes.depth(Lane.TELEMETRY)
        with self._lock:
            lines = [self._log_lines.popleft() for _ in range(min(room, len(self._log_lines)))]
        for line in lines:
            session.send(line)

    def _rest(self, wait_s: float) -> None:
        until_s = time.monotonic() + wait_s
        while not self.is_over:
            self._do_posted()
            left_s = until_s - time.monotonic()
            if left_s <= 0:
                return
            self._waker.wait(left_s)

    def _do_posted(self) -> None:
        while not self.is_over:
            with self._lock:
                if not self._posted:
                    break
                job = self._posted.popleft()
            job()
            # The messages of the job are stored, connected or not.
            self._carry_out(self.session)

    def _carry_out(self, session: LinkSession) -> None:
        while not self.is_over and (action := session.next_action()) is not None:
            self._perform(action, session)

    def _perform(self, action: actions.Action, session: LinkSession) -> None:
        match action:
            case actions.Close(code=code, reason=reason, retry_after_s=retry_after_s):
                self._retry_after_s = retry_after_s
                if self._socket is not None:
                    # All queued messages are sent before the close, because the last one has the reason.
                    self._write(self._socket, session, must=True)
                    self._socket.close(code, reason)
            case actions.ReportPeer(peer=peer):
                self._note_welcome(peer)
            case actions.Deliver():
                self._handle(action)
            case actions.Persist() | actions.Replay() | actions.DropAcked() | actions.RenewEpoch():
                self._store(action, session)
            case actions.ReportRtt(rtt_ms=rtt_ms):
                self.state.rtt_ms = rtt_ms
            case actions.Hear(stream=stream, payload=payload):
                self.hear(stream, payload)
            case actions.TakeBlob():
                self.take_blob(action)
            case _:
                assert_never(action)

    def _store(
        self,
        action: actions.Persist | actions.Replay | actions.DropAcked | actions.RenewEpoch,
        session: LinkSession,
    ) -> None:
        """Carry out an action on the outbox."""
        match action:
            case actions.Persist(message_id=message_id, payload=payload):
                self._persist(session, message_id, payload)
            case actions.Replay(after=after, limit=limit):
                session.loaded(after, self.outbox.unacked_after(after, limit))
            case actions.DropAcked(seq=seq):
                self.outbox.ack(seq)
            case actions.RenewEpoch():
                session.epoch_renewed(self.outbox.renew())

    def _note_welcome(self, peer: Hello | Welcome) -> None:
        assert isinstance(peer, Welcome)
        self._backoff.succeeded()
        self.state.enter("connected")
        _log.info("connected to %s:%s", self._address.host, self._address.port)
        self.state.host = f"{peer.host.name} {peer.host.version}"[:100]
        self._set_calendar(peer.time_ms)
        self._telemetry_due_s = 0.0
        self.welcomed()

    def _persist(self, session: LinkSession, message_id: Id, payload: bytes) -> None:
        also = self._also.pop(message_id, None)
        try:
            seq = self.outbox.append(message_id, payload, also=also, reserved=also is not None)
        except (Overloaded, StoreError) as exc:
            _log.warning("a message for the host is refused: %s", exc.message)
            self.state.refused_events += 1
        else:
            session.stored(seq, payload)
