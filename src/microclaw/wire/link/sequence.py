"""The two halves of gap-free delivery: what was sent and acked, what was received and applied. No IO.

They count; the messages themselves stay in the stores. LinkSession turns what they say into actions.
"""

from __future__ import annotations

from typing import NamedTuple

from microclaw.errors import LinkViolation


class OutboxCursor(NamedTuple):
    """`acked`: the other end has everything up to it. `last`: the highest number given; both count within the epoch."""

    epoch: bytes
    acked: int = 0
    last: int = 0


class InboxCursor(NamedTuple):
    """`seq` of `epoch` is the last message whose effect is committed; no epoch before the first one."""

    epoch: bytes | None = None
    seq: int = 0


class StoredMessage(NamedTuple):
    seq: int
    payload: bytes


class Outgoing:
    """Numbers of our own durable messages. `sent` is what this connection carried, at most `window` beyond `acked`."""

    def __init__(self, cursor: OutboxCursor, window: int) -> None:
        self.epoch, self.acked, self.last = cursor
        self.sent = self.acked
        self.replays_to = 0  # numbers up to it were sent before: they are counted as replays
        self.window = window
        self.loading_after: int | None = None
        self.progress_at_ms = 0.0
        self.replayed = 0

    def fits(self, peer: InboxCursor) -> bool:
        """Return True if the other end's cursor can be continued from the rows that this end still has."""
        return self.acked <= self._held_by(peer) <= self.last

    def resume(self, peer: InboxCursor) -> bool:
        """Go on after what the other end has; True when that acks something."""
        held = self._held_by(peer)
        news = held > self.acked
        self.acked = self.sent = held
        self.loading_after = None
        return news

    def renewed(self, cursor: OutboxCursor) -> None:
        self.epoch, self.acked, self.last = cursor
        self.sent = self.acked
        self.replays_to = 0

    def next_load(self) -> tuple[int, int] | None:
        """Return the place in the outbox to read on from, and the number of rows; None while nothing is to be read."""
        room = self.window - (self.sent - self.acked)
        if self.loading_after is not None or self.sent >= self.last or room <= 0:
            return None
        self.loading_after = self.sent
        return self.sent, min(room, self.last - self.sent)

    def may_send_now(self, seq: int) -> bool:
        """Return True if the message just stored can go straight out, without being read back."""
        return self.loading_after is None and seq == self.sent + 1 and self.sent - self.acked < self.window

    def note_sent(self, seq: int, now_ms: float) -> None:
        if self.sent == self.acked:
            self.progress_at_ms = now_ms
        if seq <= self.replays_to:
            self.replayed += 1
        self.sent = seq
        self.replays_to = max(self.replays_to, seq)

    def take_ack(self, seq: int, now_ms: float) -> bool:
        """Take an ack; return True if it is new. Raises LinkViolation for a number that was never given."""
        if seq > self.last:
            raise LinkViolation(f"an ack of {seq}, the last message is {self.last}")
        if seq <= self.acked:
            return False
        self.acked = seq
        self.sent = max(self.sent, seq)
        self.progress_at_ms = now_ms
        return True

    def overdue_at_ms(self, timeout_ms: float) -> float | None:
        """Return the time at which unacked messages are to be sent again."""
        if self.sent > self.acked:
            return self.progress_at_ms + timeout_ms
        return None

    def send_again(self, now_ms: float) -> None:
        self.sent = self.acked
        self.progress_at_ms = now_ms

    def _held_by(self, peer: InboxCursor) -> int:
        return peer.seq if peer.epoch == self.epoch else 0


class Incoming:
    """Numbers of the other end's durable messages: each is delivered once a connection, acked when it is applied."""

    def __init__(self, cursor: InboxCursor) -> None:
        self.epoch, self.applied = cursor
        self.received = self.acked = self.applied
        self.ack_due_ms: float | None = None

    @property
    def cursor(self) -> InboxCursor:
        return InboxCursor(self.epoch, self.applied)

    def start(self, epoch: bytes) -> None:
        """Begin a connection on which the other end counts in `epoch`; an unknown one begins at 1."""
        if epoch != self.epoch:
            self.epoch = epoch
            self.applied = 0
        self.received = self.acked = self.applied
        self.ack_due_ms = None

    def take(self, seq: int, now_ms: float, delay_ms: float) -> bool:
        """Return True if the message is the next, False if it came before. Raises LinkViolation if one is missing."""
        if seq <= self.received:
            if seq <= self.applied:  # our ack was lost
                self.ack_due_ms = self.ack_due_ms or now_ms + delay_ms
            return False
        if seq != self.received + 1:
            raise LinkViolation(f"message {seq} after {self.received}: one is missing", reason="sequence_gap")
        self.received = seq
        return True

    def apply(self, seq: int, now_ms: float, delay_ms: float) -> None:
        """`seq` is committed; the ack may wait for others until `ack_due_ms`."""
        self.applied = max(self.applied, seq)
        self.received = max(self.received, seq)
        if self.applied > self.acked and self.ack_due_ms is None:
            self.ack_due_ms = now_ms + delay_ms
