"""The actions of a LinkSession, in order (declarations only): its driver takes each with `next_action()`. No IO.

What is to be sent is no action: it is in the session's lanes (lanes.py).
"""

from __future__ import annotations

from typing import NamedTuple, TypeAlias

from msgspec import Struct

from microclaw.wire.link.messages import Envelope, Hello, Welcome


class Close(Struct, frozen=True):
    """Close the connection, after what was sent. `retry_after_s` is 0 when the device should be back at once."""

    code: int
    reason: str
    retry_after_s: int | None = None


class ReportPeer(Struct, frozen=True):
    """The handshake is done; `peer` is the other end's greeting."""

    peer: Hello | Welcome


class Deliver(Struct, frozen=True):
    """A message for the application.

    With `envelope.seq`, which then counts in `epoch`: commit its effect and `advance` of the inbox in one transaction,
    then `ack_applied(epoch, seq)`; without the effect when `advance` says that it was applied already, when it is
    `expired`, or when its body is Unknown.
    """

    envelope: Envelope
    expired: bool = False
    epoch: bytes | None = None


class Hear(NamedTuple):  # there is one an audio frame, and a frozen dataclass takes twice the time to make
    """An audio frame of the active stream."""

    stream: int
    payload: bytes


class TakeBlob(Struct, frozen=True):
    """A piece of an update's payload, asked for with `blob_read`; `key` is the first 8 bytes of its SHA-256."""

    key: bytes
    offset: int
    data: bytes


class Persist(Struct, frozen=True):
    """Append to the outbox (`append`), then call `stored(seq, payload)`."""

    message_id: bytes
    payload: bytes


class Replay(Struct, frozen=True):
    """Load at most `limit` outbox messages after `after`, in order, then call `loaded(after, rows)`."""

    after: int
    limit: int


class DropAcked(Struct, frozen=True):
    """The other end has everything up to `seq`: `ack` of the outbox."""

    seq: int


class RenewEpoch(Struct, frozen=True):
    """The two ends' numbers no longer fit (a factory reset, a restored backup).

    `renew` the outbox, then give its cursor to `epoch_renewed`.
    """


class ReportRtt(Struct, frozen=True):
    """A pong came."""

    rtt_ms: float


Action: TypeAlias = (
    Close | ReportPeer | Deliver | Hear | TakeBlob | Persist | Replay | DropAcked | RenewEpoch | ReportRtt
)
