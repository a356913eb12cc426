"""One end of the link for tests: a LinkSession with its driver, stores in memory, and a clock that tests move."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from itertools import count
from random import Random

from microclaw.wire.link import actions
from microclaw.wire.link.calls import PendingCall, ReplyCache
from microclaw.wire.link.codec import decode
from microclaw.wire.link.messages import (
    Ack,
    Call,
    Hello,
    MessageLimits,
    PairRequest,
    Result,
    Software,
    Unknown,
    Welcome,
)
from microclaw.wire.link.sequence import InboxCursor, OutboxCursor, StoredMessage
from microclaw.wire.link.session import LinkConfig, LinkSession
from microclaw.wire.link.states import LinkPhase
from microclaw.wire.link.values import Sender

EPOCH = b"\0" * 8


class ManualClock:
    ms = 1_000.0

    def now_ms(self) -> float:
        return self.ms

    def unix_us(self) -> int:
        return 1_760_000_000_000_000 + int(self.ms * 1000)


@dataclass
class MemoryOutbox:
    """An outbox in memory (wire/link/sequence.py)."""

    random: Random = field(default_factory=Random)
    epoch: bytes = b""
    acked: int = 0
    last: int = 0
    rows: dict[int, tuple[bytes, bytes]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.epoch = self.epoch or self.random.randbytes(8)

    def cursor(self) -> OutboxCursor:
        return OutboxCursor(self.epoch, self.acked, self.last)

    def append(self, message_id: bytes, payload: bytes) -> int:
        self.last += 1
        self.rows[self.last] = (message_id, payload)
        return self.last

    def unacked_after(self, seq: int, limit: int) -> Sequence[StoredMessage]:
        return [StoredMessage(n, self.rows[n][1]) for n in sorted(self.rows) if n > seq][:limit]

    def ack(self, seq: int) -> None:
        self.acked = max(self.acked, seq)
        for n in [n for n in self.rows if n <= seq]:
            del self.rows[n]

    def renew(self) -> OutboxCursor:
        self.epoch = self.random.randbytes(8)
        self.rows = dict(enumerate((self.rows[n] for n in sorted(self.rows)), 1))
        self.acked, self.last = 0, len(self.rows)
        return self.cursor()

    def carry_out(self, action: actions.Action, session: LinkSession) -> None:
        """Do an act of a session that concerns its outbox; leave others alone."""
        match action:
            case actions.Persist(message_id=message_id, payload=payload):
                session.stored(self.append(message_id, payload), payload)
            case actions.Replay(after=after, limit=limit):
                session.loaded(after, self.unacked_after(after, limit))
            case actions.DropAcked(seq=seq):
                self.ack(seq)
            case actions.RenewEpoch():
                session.epoch_renewed(self.renew())

    def ids(self) -> set[bytes]:
        return {message_id for message_id, _ in self.rows.values()}


@dataclass
class MemoryInbox:
    """An inbox in memory, with the effects that its transactions commit."""

    epoch: bytes | None = None
    seq: int = 0
    recent: deque[bytes] = field(default_factory=lambda: deque(maxlen=256))
    effects: list[bytes] = field(default_factory=list)

    def cursor(self) -> InboxCursor:
        return InboxCursor(self.epoch, self.seq)

    def advance(self, epoch: bytes, seq: int, message_id: bytes) -> bool:
        if epoch == self.epoch and seq <= self.seq:
            return False
        self.epoch = epoch
        self.seq = seq
        if message_id in self.recent:
            return False
        self.recent.append(message_id)
        return True


def hello(boot_id: bytes = b"b" * 16) -> Hello:
    return Hello(boot_id, Software("microclaw", "1.0.0"), "virtual", ("gpio",), EPOCH, 0, "power_on")


def welcome(control_bytes: int = 16_384) -> Welcome:
    return Welcome(b"s" * 16, Software("microclaw", "0.1.0"), 0, 15, EPOCH, 0, MessageLimits(control_bytes, 2_048))


class End:
    """`peer` is set by `join`. Durable messages wait in `to_apply` until a test applies them."""

    def __init__(
        self,
        role: Sender,
        clock: ManualClock,
        random: Random,
        *,
        pairing: PairRequest | None = None,
        config: LinkConfig | None = None,
    ) -> None:
        self.role = role
        self.clock = clock
        self.random = random
        self.pairing = pairing
        self.config = config or LinkConfig(window=4)
        self.outbox = MemoryOutbox(random)
        self.inbox = MemoryInbox()
        self.deadlines_ms: dict[bytes, float] = {}
        self.carried_out: Counter[bytes] = Counter()
        self.on_acked: Callable[[set[bytes]], None] = lambda ids: None
        self.peer: End
        self.arriving: deque[bytes] = deque()
        self.restart()

    def restart(self) -> None:
        """The process begins again with what is in its stores."""
        self.to_apply: deque[actions.Deliver] = deque()
        self.seen: list[actions.Action] = []
        self.closes: list[actions.Close] = []
        self.replies = ReplyCache()
        self.calls: dict[bytes, PendingCall] = {}
        self.boot_id = self.random.randbytes(16)
        greeting = self.pairing or hello(self.boot_id)
        ids = count()
        self.session = LinkSession(
            welcome() if self.role is Sender.HOST else greeting,
            outbox=self.outbox.cursor(),
            inbox=self.inbox.cursor(),
            clock=self.clock,
            new_id=lambda: self.boot_id[:8] + next(ids).to_bytes(8),
            config=self.config,
        )

    def backup(self) -> tuple[MemoryOutbox, MemoryInbox]:
        return deepcopy((self.outbox, self.inbox))

    def restore(self, stores: tuple[MemoryOutbox, MemoryInbox]) -> None:
        self.outbox, self.inbox = deepcopy(stores)
        self.outbox.random = self.random
        self.outbox.renew()
        self.restart()

    def give_up_overdue_calls(self) -> None:
        for message_id in [i for i, deadline_ms in self.deadlines_ms.items() if self.clock.ms >= deadline_ms]:
            del self.deadlines_ms[message_id]
            self.calls.pop(message_id, None)

    def receive_one(self) -> None:
        self.session.receive(self.arriving.popleft())
        self.work()

    def work(self) -> None:
        while (action := self.session.next_action()) is not None:
            self.seen.append(action)
            self._do(action)
        while (message := self.session.lanes.take(self.clock.ms)) is not None:
            self._check_ack(message)
            self.peer.arriving.append(message)

    def apply_one(self) -> None:
        deliver = self.to_apply.popleft()
        envelope = deliver.envelope
        assert envelope.seq is not None
        assert deliver.epoch is not None
        fresh = self.inbox.advance(deliver.epoch, envelope.seq, envelope.id)
        if fresh and not deliver.expired and not isinstance(envelope.body, Unknown):
            self.inbox.effects.append(envelope.id)
        self.session.ack_applied(deliver.epoch, envelope.seq)
        self.work()

    def call(self, call: Call, message_id: bytes) -> None:
        pending = PendingCall(call=call)
        self.calls[message_id] = pending
        self.deadlines_ms[message_id] = self.clock.ms + 60_000
        if self.session.phase is LinkPhase.READY:
            self._send_call(message_id, pending)
            self.work()

    def _send_call(self, message_id: bytes, pending: PendingCall) -> None:
        assert isinstance(self.session.peer, Hello)
        self.session.send(pending.call, message_id=message_id)
        pending.sent_in_boot = self.session.peer.boot_id

    def _do(self, action: actions.Action) -> None:
        session = self.session
        match action:
            case actions.DropAcked():
                before = self.outbox.ids()
                self.outbox.carry_out(action, session)
                self.on_acked(before - self.outbox.ids())
            case actions.Deliver(envelope=envelope):
                if envelope.seq is not None:
                    self.to_apply.append(action)
                elif isinstance(envelope.body, Call):
                    self._carry_out(envelope.id)
                elif isinstance(envelope.body, Result) and envelope.re:
                    self.calls.pop(envelope.re, None)
            case actions.ReportPeer(peer=Hello(boot_id=boot_id)):
                self.calls = {i: pending for i, pending in self.calls.items() if not pending.is_lost(boot_id)}
                for message_id, pending in self.calls.items():
                    self._send_call(message_id, pending)
            case actions.Close():
                self.closes.append(action)
            case _:
                self.outbox.carry_out(action, session)

    def _carry_out(self, message_id: bytes) -> None:
        is_new, result = self.replies.begin(message_id, self.clock.ms)
        if is_new:
            self.carried_out[message_id] += 1
            result = Result(True)
            self.replies.finish(message_id, result, self.clock.ms)
        assert result is not None
        self.session.send(result, re=message_id)

    def _check_ack(self, message: bytes) -> None:
        """No ack before its messages are committed."""
        if message[0] == 1:
            body = decode(message[1:]).body
            if isinstance(body, Ack):
                assert body.seq <= self.inbox.seq
                assert self.session.incoming.epoch == self.inbox.epoch


def join(host: End, device: End) -> None:
    host.peer = device
    device.peer = host


def connect(*ends: End) -> None:
    for end in ends:
        end.arriving.clear()
        end.closes.clear()
        end.session.connected()
        end.work()


def cut(*ends: End) -> None:
    for end in ends:
        end.arriving.clear()
        if end.session.phase is not LinkPhase.DOWN:
            end.session.closed()


def exchange(*ends: End) -> None:
    """Carry and apply everything until both are quiet or one closes."""
    while any(end.arriving or end.to_apply for end in ends) and not any(end.closes for end in ends):
        for end in ends:
            if end.arriving:
                end.receive_one()
            if end.to_apply:
                end.apply_one()
