"""What a LinkSession's driver keeps on disk for it: outbox and inbox as Protocols (declarations only). No IO.

Each method is one transaction, or part of the caller's. The session never calls them: a store on another thread may
have the same methods as coroutines. One outbox and one inbox for each other end.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from microclaw.wire.link.values import Id


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


class OutboxStore(Protocol):
    """Durable messages that wait for the other end, as encoded payloads without `seq` (codec.numbered adds it)."""

    def cursor(self) -> OutboxCursor: ...

    def append(self, message_id: Id, payload: bytes) -> int:
        """Keep the message and give it the next number, in one transaction; Overloaded when the outbox is full.

        A `message_id` that is there already keeps its number: appending again is harmless.
        """
        ...

    def unacked_after(self, seq: int, limit: int) -> Sequence[StoredMessage]:
        """At most `limit` messages with a number above `seq`, in order."""
        ...

    def ack(self, seq: int) -> None:
        """Drop everything up to `seq`; a number below the last one acked does nothing."""
        ...

    def renew(self) -> OutboxCursor:
        """Start a new epoch of 8 random bytes: what is not acked is numbered from 1 again, in order.

        Also what a restored backup must do before it is used: numbers given after the backup was taken are lost.
        """
        ...


class InboxStore(Protocol):
    """What of the other end's outbox has had its effect here."""

    def cursor(self) -> InboxCursor: ...

    def advance(self, epoch: bytes, seq: int, message_id: Id) -> bool:
        """Move the cursor in the transaction of the effect; False when the message had its effect already.

        It had when the cursor is at or past `seq` of `epoch`, or when `message_id` is one of the last 256 applied (the
        other end renewed its epoch while our acks were on their way); the cursor moves in the latter case too.
        """
        ...
