"""A session's limits and times, and what it counts (declarations only). No IO."""

from __future__ import annotations

from msgspec import Struct

from microclaw.wire.link.frame import DEFAULT_LIMITS, FrameLimits
from microclaw.wire.link.lanes import LaneLimits


class LinkConfig(Struct, frozen=True):
    """`heartbeat_s` is the host's: the device takes what `welcome` says. Acks go after `ack_delay_ms` or `ack_every`
    messages; what is not acked within `ack_timeout_ms` is sent again. At most `window` messages are unacked on the way,
    at most `max_unapplied` wait for this end's application."""

    hello_timeout_ms: float = 5_000
    pairing_timeout_ms: float = 300_000
    heartbeat_s: int = 15
    ack_delay_ms: float = 100
    ack_every: int = 16
    ack_timeout_ms: float = 30_000
    window: int = 64
    max_unapplied: int = 256
    limits: FrameLimits = DEFAULT_LIMITS
    lanes: LaneLimits = LaneLimits()
