"""One end of the link as one state machine: greeting, heartbeat, durable messages, audio. No IO.

It is one long file because every method reads or moves the same phase.

The driver gives it what happens (`connected`, `receive`, `closed`, `tick`, and what the stores answered), then takes
actions with `next_action()` until there is none, and writes what `lanes` hold. Both ends run this class; states.py has
the moves. A session may live for one connection or for many: who makes a new one passes the stores' cursors in.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence

from msgspec import Struct
from msgspec.structs import replace

from microclaw.errors import DeviceUnreachable, LinkViolation, StoreError
from microclaw.wire.link import actions, messages
from microclaw.wire.link.actions import Action
from microclaw.wire.link.codec import decode, encode, numbered
from microclaw.wire.link.frame import BLOB_HEAD_BYTES, MAX_CONTROL_BYTES, CloseCode, FrameType, encode_frame, read_frame
from microclaw.wire.link.heartbeat import Heartbeat, HeartbeatClock, wall_us
from microclaw.wire.link.lanes import FRAME_OF, OURS, THEIRS, Lane, LaneLimits, Lanes, Streams, lane_of
from microclaw.wire.link.messages import AnyBody, AnyMessage, Bye, Envelope, ErrorMessage, Hello, Welcome, is_durable
from microclaw.wire.link.sequence import InboxCursor, Incoming, OutboxCursor, Outgoing, StoredMessage
from microclaw.wire.link.states import LinkPhase, move
from microclaw.wire.link.values import Durable, Sender


class LinkConfig(Struct, frozen=True):
    """The times and bounds of one end.

    `heartbeat_s` is the host's: the device takes the figure of `welcome`. Acks go after `ack_delay_ms` or `ack_every`
    messages; a message that is not acked within `ack_timeout_ms` is sent again. At most `window` messages are unacked
    on the way, at most `max_unapplied` wait for this end's application.
    """

    hello_timeout_ms: float = 5_000
    pairing_timeout_ms: float = 300_000
    heartbeat_s: int = 15
    ack_delay_ms: float = 100
    ack_every: int = 16
    ack_timeout_ms: float = 30_000
    window: int = 64
    max_unapplied: int = 256
    lanes: LaneLimits = LaneLimits()


class LinkSession:
    """`opening` is what this end greets with: a device's Hello or PairRequest, a host's Welcome.

    The session fills in what it knows better: epochs, numbers, time. `authenticated` is for a host: a connection
    without an accepted credential may only pair.
    """

    def __init__(
        self,
        opening: Hello | messages.PairRequest | Welcome,
        *,
        outbox: OutboxCursor,
        inbox: InboxCursor,
        clock: HeartbeatClock,
        new_id: Callable[[], bytes],
        config: LinkConfig | None = None,
        authenticated: bool = True,
    ) -> None:
        self.opening = opening
        self.role = Sender.HOST if isinstance(opening, Welcome) else Sender.DEVICE
        self.config = config or LinkConfig()
        self._peer_role = Sender.DEVICE if self.role is Sender.HOST else Sender.HOST
        self._audio_out = encode_frame(FRAME_OF[self.role], b"")
        self.phase = LinkPhase.DOWN
        self.peer: Hello | Welcome | None = None
        self.unreadable: LinkViolation | None = None  # what of the peer this end could not read, which ended it
        self.outgoing = Outgoing(outbox, self.config.window)
        self.incoming = Incoming(inbox)
        self.streams = Streams(self.role)
        self.lanes = Lanes(self.config.lanes)
        self._clock = clock
        self._new_id = new_id
        self._authenticated = authenticated
        self._actions: deque[Action] = deque()
        self._heartbeat = Heartbeat(clock, self.config.heartbeat_s * 1000)
        self._deadline_ms: float | None = None  # of handshake or pairing
        self._host_ahead_ms: float | None = None  # the host's clock minus our monotonic one
        self._max_control_bytes = MAX_CONTROL_BYTES
        self._renewing = False

    # What the driver takes

    def next_action(self) -> Action | None:
        """Return the next action, or None until something happens again."""
        if self._actions:
            return self._actions.popleft()
        return None

    def next_tick_ms(self) -> float | None:
        """Return the time of the next `tick`, on the monotonic clock."""
        due_ms = [self._deadline_ms]
        if self.phase in _BEATING:
            due_ms.append(self._heartbeat.due_ms)
        if self.phase is LinkPhase.READY:
            due_ms += [self.incoming.ack_due_ms, self.outgoing.overdue_at_ms(self.config.ack_timeout_ms)]
        return min((at_ms for at_ms in due_ms if at_ms is not None), default=None)

    @property
    def host_unix_ms(self) -> float | None:
        """The host's clock now, on either end; None on a device before its first welcome."""
        if self.role is Sender.HOST:
            return self._clock.unix_us() / 1000
        if self._host_ahead_ms is None:
            return None
        return self._clock.now_ms() + self._host_ahead_ms

    # What happens

    def connected(self) -> None:
        """Begin on a connection that is up, authenticated as far as it will be. A device speaks first."""
        if self.phase is not LinkPhase.DOWN:
            raise ValueError(f"connected while the link is {self.phase.value}")
        self.phase = LinkPhase.OPEN
        self.lanes = Lanes(self.config.lanes)
        self.peer = None
        self._renewing = False
        self._heartbeat = Heartbeat(self._clock, self.config.heartbeat_s * 1000)
        self._deadline_ms = self._clock.now_ms() + self.config.hello_timeout_ms
        if isinstance(self.opening, Hello):
            rx = self.incoming.cursor
            self._say(replace(self.opening, tx_epoch=self.outgoing.epoch, rx_epoch=rx.epoch, rx_seq=rx.seq))
        elif isinstance(self.opening, messages.PairRequest):
            self._say(self.opening)

    def closed(self) -> None:
        """Note that the connection is gone, whoever closed it. Messages that were not acked stay in the outbox."""
        self.phase = LinkPhase.DOWN
        self.streams.active = [None, None]
        self._deadline_ms = None
        self._actions = deque(a for a in self._actions if isinstance(a, (actions.Persist, actions.DropAcked)))

    def receive(self, message: bytes) -> bool:
        """One binary WebSocket message; True when `next_tick_ms` may have changed, as it never does by audio.

        A breach of the contract becomes `error` and Close, never an exception.
        """
        if self.phase is LinkPhase.DOWN or self.phase is LinkPhase.LEFT:
            return False
        try:
            type_, payload = read_frame(message)
            if type_ == _CONTROL:
                self._take(decode(payload))
                return True
            if type_ in _SENDER_OF:
                self._take_data(type_, payload)
        except LinkViolation as exc:
            self.refuse(exc)
            return True
        return False

    def tick(self) -> None:
        """Time has passed: acks, pings and timeouts that are due."""
        now_ms = self._clock.now_ms()
        if self._deadline_ms is not None and now_ms >= self._deadline_ms:
            what = "pairing" if self.phase in (LinkPhase.PAIRING, LinkPhase.PAIRED) else "the greeting"
            self._break_off("timeout", f"{what} took too long", CloseCode.TIMED_OUT)
            return
        if self.phase in _BEATING and now_ms >= self._heartbeat.due_ms:
            ping = self._heartbeat.ping()
            if ping is None:
                self._break_off("timeout", "two pings were not answered", CloseCode.TIMED_OUT)
                return
            self._say(ping)
        if self.phase is LinkPhase.READY:
            self._send_due_ack(now_ms)
            overdue_ms = self.outgoing.overdue_at_ms(self.config.ack_timeout_ms)
            if overdue_ms is not None and now_ms >= overdue_ms:
                self.outgoing.send_again(now_ms)
            self._load_more()

    def close(self, code: int, reason: str, *, retry_after_s: int | None = None) -> None:
        """End the connection in order: `bye`, then Close."""
        self._leave(Bye(reason, retry_after_s), code, reason, retry_after_s)

    def refuse(self, violation: LinkViolation) -> None:
        """End the connection for a breach; also for one that the driver found (a rate, a text message)."""
        if violation.reason in _UNREADABLE and self.phase not in _SILENT:
            self.unreadable = violation
        self._break_off(violation.reason, violation.message, violation.close_code)

    # What this end sends

    def send(
        self, body: AnyMessage, *, re: bytes | None = None, durable: bool = False, message_id: bytes | None = None
    ) -> bytes:
        """Send or, when it is durable, have it persisted first; its id.

        `durable` asks for those that are durable if asked. A durable message needs no connection; another one raises
        DeviceUnreachable without. ProtocolError for a message that cannot be sent, for its content, phase or role.
        """
        self._check_sender(body, self.role)
        envelope = self._envelope(body, re, message_id)
        if is_durable(body, asked=durable):
            self._actions.append(actions.Persist(envelope.id, encode(envelope, self._max_control_bytes)))
            return envelope.id
        if self.phase in _SILENT or (self.phase, body.type) == (LinkPhase.OPEN, "pair_request"):
            raise DeviceUnreachable(f"the link is {self.phase.value}: {body.type} was not sent")
        self._write(envelope)
        return envelope.id

    def send_audio(self, payload: bytes) -> bool:
        """One audio frame of this end's active stream; False when there is none."""
        stream = self.streams.active[OURS]
        if stream is None or self.phase is not LinkPhase.READY:
            return False
        self._queue(self._audio_out + payload, Lane.MEDIA)
        return True

    def send_blob(self, sha256: bytes, offset: int, data: bytes) -> bool:
        """One piece of a payload that the device asked for; False when the link is not ready."""
        if self.phase is not LinkPhase.READY or self.role is not Sender.HOST:
            return False
        head = sha256[:_KEY_BYTES] + offset.to_bytes(BLOB_HEAD_BYTES - _KEY_BYTES, "big")
        self._queue(encode_frame(FrameType.BLOB, head + data), Lane.BLOB)
        return True

    # What the stores answer

    def stored(self, seq: int, payload: bytes) -> None:
        """Note that a Persist was done: the message has this number. Call it in the order of the numbers."""
        if seq <= self.outgoing.last:
            return  # it was there before: it goes, or went, with the others
        self.outgoing.last = seq
        if self.phase is not LinkPhase.READY or self._renewing:
            return
        if self.outgoing.may_send_now(seq):
            self._send_numbered(seq, payload)
        else:
            self._load_more()

    def grew(self, last: int) -> None:
        """Somebody else put messages into the outbox, up to this number: they are read from there."""
        if last > self.outgoing.last:
            self.outgoing.last = last
            if self.phase is LinkPhase.READY:
                self._load_more()

    def loaded(self, after: int, rows: Sequence[StoredMessage]) -> None:
        """Take the rows of a Replay. Answers to a connection that is gone are ignored."""
        if self.phase is not LinkPhase.READY or self.outgoing.loading_after != after:
            return
        self.outgoing.loading_after = None
        if after == self.outgoing.sent:
            for seq, payload in rows:
                if seq != self.outgoing.sent + 1:
                    raise StoreError(f"the outbox has message {seq} after {self.outgoing.sent}: one is missing")
                self._send_numbered(seq, payload)
            if not rows:
                text = f"the outbox has no message after {after}, the last number given is {self.outgoing.last}"
                raise StoreError(text)
        self._load_more()

    def ack_applied(self, epoch: bytes | None, seq: int) -> None:
        """Ack every message of `epoch` up to `seq`: its effect, or its inbox row, is committed. Never call it before.

        An epoch that is over needs no ack: what it had not acked comes again, numbered again.
        """
        if epoch != self.incoming.epoch:
            return
        now_ms = self._clock.now_ms()
        self.incoming.apply(seq, now_ms, self.config.ack_delay_ms)
        if self.phase is LinkPhase.READY:
            self._send_due_ack(now_ms)

    def epoch_renewed(self, cursor: OutboxCursor) -> None:
        """Go on after a RenewEpoch: a host welcomes, a device comes back with its new epoch in hello."""
        self.outgoing.renewed(cursor)
        if not self._renewing:
            return
        self._renewing = False
        if self.phase is LinkPhase.OFFERED and isinstance(self.peer, Hello):
            self._begin(self.peer)
        elif self.phase is LinkPhase.READY:
            self.close(CloseCode.DONE, "the outbox has a new epoch", retry_after_s=0)

    # How it works

    def _take(self, envelope: Envelope) -> None:
        body = envelope.body
        received_us = wall_us(self._clock)
        theirs = self._peer_role
        self._check_sender(body, theirs)
        after = move(self.phase, body.type)
        _check_seq(envelope)
        if isinstance(body, Hello) and not self._authenticated:
            text = "hello without an accepted credential"
            raise LinkViolation(text, close_code=CloseCode.NOT_AUTHENTICATED, reason="not_authenticated")
        self.phase = after
        match body:
            case Hello():
                self._met(body)
            case Welcome():
                self._host_ahead_ms = body.time_ms - self._clock.now_ms()
                self._heartbeat = Heartbeat(self._clock, max(1, body.heartbeat_s) * 1000)
                self._max_control_bytes = min(MAX_CONTROL_BYTES, body.limits.control_bytes)
                self._met(body)
            case messages.Ping():
                self._say(messages.Pong(body.n, body.t0, received_us, wall_us(self._clock)), re=envelope.id)
            case messages.Pong():
                self._measure(body)
            case messages.Ack():
                if self.outgoing.take_ack(body.seq, self._clock.now_ms()):
                    self._actions.append(actions.DropAcked(body.seq))
                    self._load_more()
            case messages.PairRequest():
                self._deadline_ms = self._clock.now_ms() + self.config.pairing_timeout_ms
                self._actions.append(actions.Deliver(envelope))
            case Bye():
                self._actions.append(actions.Deliver(envelope))
                self._actions.append(actions.Close(CloseCode.DONE, "bye", body.retry_after_s))
                self._deadline_ms = None
            case _:
                self._deliver(envelope, theirs)

    def _met(self, peer: Hello | Welcome) -> None:
        self.peer = peer
        self.incoming.start(peer.tx_epoch)
        if not self.outgoing.fits(InboxCursor(peer.rx_epoch, peer.rx_seq)):
            self._deadline_ms = None
            self._renewing = True
            self._actions.append(actions.RenewEpoch())
        else:
            self._begin(peer)

    def _begin(self, peer: Hello | Welcome) -> None:
        """Begin, as the numbers fit: a host says welcome, and both go on after the other's last number."""
        if isinstance(self.opening, Welcome):
            rx = self.incoming.cursor
            time_ms = self._clock.unix_us() // 1000
            greeting = replace(self.opening, time_ms=time_ms, heartbeat_s=self.config.heartbeat_s)
            self._say(replace(greeting, tx_epoch=self.outgoing.epoch, rx_epoch=rx.epoch, rx_seq=rx.seq))
        self._deadline_ms = None
        self._actions.append(actions.ReportPeer(peer))
        if self.outgoing.resume(InboxCursor(peer.rx_epoch, peer.rx_seq)):
            self._actions.append(actions.DropAcked(self.outgoing.acked))
        self._load_more()

    def _measure(self, pong: messages.Pong) -> None:
        rtt_ms = self._heartbeat.measure(pong)
        if rtt_ms is not None:
            if rtt_ms < _CLOCK_RTT_MS and self._host_ahead_ms is not None:
                self._host_ahead_ms = pong.t2 / 1000 - self._clock.now_ms()
            self._actions.append(actions.ReportRtt(rtt_ms))

    def _deliver(self, envelope: Envelope, theirs: Sender) -> None:
        body = envelope.body
        seq = envelope.seq
        if seq is not None:
            now_ms = self._clock.now_ms()
            if not self.incoming.take(seq, now_ms, self.config.ack_delay_ms):
                return
            if self.incoming.received - self.incoming.applied > self.config.max_unapplied:
                text = f"more than {self.config.max_unapplied} durable messages wait to be applied"
                raise LinkViolation(text, close_code=CloseCode.OVERLOADED, reason="overloaded")
        if isinstance(body, messages.Unknown):
            if seq is None:
                return
            self._say(ErrorMessage("unknown_type", f"no message {body.type[:60]}", fatal=False), re=envelope.id)
        expires_ms = body.expires_ms if isinstance(body, messages.Notify) else None
        host_ms = self.host_unix_ms
        expired = expires_ms is not None and host_ms is not None and host_ms >= expires_ms
        epoch = self.incoming.epoch if seq is not None else None
        self._actions.append(actions.Deliver(envelope, expired, epoch))
        if self.streams.note(body, theirs):
            self.lanes.purge_audio()

    def _take_data(self, type_: int, payload: bytes) -> None:
        if _SENDER_OF[type_] is not self._peer_role or self.phase is not LinkPhase.READY:
            text = f"a frame of type {type_} from the {self._peer_role.value}, link {self.phase.value}"
            raise LinkViolation(text, reason="unexpected_message")
        if type_ == FrameType.BLOB:
            offset = int.from_bytes(payload[_KEY_BYTES:BLOB_HEAD_BYTES], "big")
            self._actions.append(actions.TakeBlob(payload[:_KEY_BYTES], offset, payload[BLOB_HEAD_BYTES:]))
        elif (stream := self.streams.active[THEIRS]) is not None:
            self._actions.append(actions.Hear(stream, payload))

    def _send_due_ack(self, now_ms: float) -> None:
        due_ms = self.incoming.ack_due_ms
        many = self.incoming.applied - self.incoming.acked >= self.config.ack_every
        if many or (due_ms is not None and now_ms >= due_ms):
            self.incoming.acked = self.incoming.applied
            self.incoming.ack_due_ms = None
            self._say(messages.Ack(self.incoming.applied))

    def _load_more(self) -> None:
        if self._renewing:
            return
        load = self.outgoing.next_load()
        if load is not None:
            self._actions.append(actions.Replay(*load))

    def _send_numbered(self, seq: int, payload: bytes) -> None:
        self.outgoing.note_sent(seq, self._clock.now_ms())
        self._queue(encode_frame(FrameType.CONTROL, numbered(payload, seq)), Lane.CONTROL)

    def _break_off(self, code: str, message: str, close_code: int) -> None:
        """`message` may quote the peer: it is cut to what a WebSocket close can carry."""
        text = message.encode()[:_MAX_REASON_BYTES].decode(errors="ignore")
        self._leave(ErrorMessage(code, text, fatal=True), close_code, text)

    def _leave(self, last: ErrorMessage | Bye, code: int, reason: str, retry_after_s: int | None = None) -> None:
        """Say the last words of this end, then close."""
        if self.phase in _SILENT:
            return
        self.phase = LinkPhase.LEFT
        self._deadline_ms = None
        self._say(last)
        self._actions.append(actions.Close(code, reason, retry_after_s))

    def _say(self, body: AnyMessage, *, re: bytes | None = None) -> None:
        self._write(self._envelope(body, re, None))

    def _write(self, envelope: Envelope) -> None:
        payload = encode(envelope, self._max_control_bytes)
        if self.phase is not LinkPhase.LEFT:  # the last words go after the end
            self.phase = move(self.phase, envelope.body.type)
        self._queue(encode_frame(FrameType.CONTROL, payload), lane_of(envelope.body))
        if self.streams.note(envelope.body, self.role):
            self.lanes.purge_audio()

    def _queue(self, message: bytes, lane: Lane) -> None:
        try:
            self.lanes.put(message, lane, self._clock.now_ms())
        except LinkViolation as exc:  # the other end does not read: it cannot be told
            if self.phase is not LinkPhase.LEFT:
                self.phase = LinkPhase.LEFT
                self._deadline_ms = None
                self._actions.append(actions.Close(exc.close_code, exc.message))

    def _envelope(self, body: AnyMessage, re: bytes | None, message_id: bytes | None) -> Envelope:
        return Envelope(message_id or self._new_id(), body, self._clock.unix_us() // 1000, None, re)

    @staticmethod
    def _check_sender(body: AnyBody, sender: Sender) -> None:
        if body.sender not in (sender, Sender.BOTH):
            raise LinkViolation(f"{body.type} from the {sender.value}", reason="unexpected_message")


def _check_seq(envelope: Envelope) -> None:
    """Refuse a numbered message of a kind that is not durable, and the other way round."""
    body = envelope.body
    has_seq = envelope.seq is not None
    if body.durable is not Durable.IF_ASKED and is_durable(body) != has_seq:
        word = "with" if has_seq else "without"
        raise LinkViolation(f"{body.type} {word} seq")


_CONTROL = int(FrameType.CONTROL)
_SENDER_OF = {int(frame): sender for sender, frame in FRAME_OF.items()} | {int(FrameType.BLOB): Sender.HOST}
_KEY_BYTES = 8  # of a payload's SHA-256, in a BLOB frame
_UNREADABLE = ("malformed", "too_large")
_MAX_REASON_BYTES = 120
_SILENT = (LinkPhase.DOWN, LinkPhase.LEFT)
_BEATING = (LinkPhase.READY, LinkPhase.PAIRING)
_CLOCK_RTT_MS = 1_000.0  # a pong that took longer sets no clock
