"""What a LinkSession's driver keeps on disk for it: the cursors of an outbox and an inbox (declarations only). No IO.

The session never calls the stores: its driver does, as actions.py says, and a store on another thread may be made of
coroutines. There is one outbox and one inbox for each other end. Each method is one transaction, or part of the
caller's.

Outbox: durable messages that wait for the other end, as encoded payloads without `seq` (codec.numbered adds it).
`append(message_id, payload)` keeps a message and gives it the next number; Overloaded if the outbox is full. A message
id that is there already keeps its number. `unacked_after(seq, limit)` returns messages with a number above `seq`, in
order. `ack(seq)` drops everything up to `seq`. `renew()` starts a new epoch of 8 random bytes: what is not acked is
numbered from 1 again, in order. A restored backup must do so before it is used: the numbers given after it are lost.

Inbox: how much of the other end's outbox had its effect here. `advance(epoch, seq, message_id)` moves the cursor in the
transaction of the effect. It returns False if the message had its effect before: the cursor is at or past `seq` of
`epoch`, or `message_id` is one of the last 256 applied (the other end renewed its epoch while our acks were on their
way). In the second case the cursor moves too.
"""

from __future__ import annotations

from typing import NamedTuple


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
