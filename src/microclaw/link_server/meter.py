"""The counters of the link. It reads no connection itself and serves nothing (api.metrics_page shows it)."""

from __future__ import annotations

from bisect import bisect_left
from typing import Final, Literal, TypeAlias, get_args

from msgspec import Struct

from microclaw.bounded_map import BoundedMap
from microclaw.wire.link.frame import CloseCode

LaneName: TypeAlias = Literal["media", "control", "telemetry", "blob"]
LANES: Final[tuple[LaneName, ...]] = get_args(LaneName)
# Why the host closed or refused a connection: the link's close codes by name, and what never became a session.
_NAMES: Final = {CloseCode.NOT_BINARY: "text_message", CloseCode.TIMED_OUT: "timeout"}
FAULTS: Final = {code: _NAMES.get(code, code.name.lower()) for code in CloseCode if code > CloseCode.SHUTTING_DOWN}
RTT_BOUNDS_S: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
MAX_HANDSHAKE_ENDS: Final = 64  # addresses


class HandshakeEnd(Struct, frozen=True):
    """A connection that ended in its TLS handshake: nobody knows which device it was."""

    address: str
    at_ms: int
    why: str


class LinkMeter:
    """The counts since the host began. Called on the event loop's thread; nothing here waits."""

    def __init__(self) -> None:
        self.connections = 0  # whose session is ready
        self.rtt_counts = [0] * (len(RTT_BOUNDS_S) + 1)  # by RTT_BOUNDS_S; the last is beyond them
        self.rtt_sum_s = 0.0
        self.dropped_by_lane: dict[LaneName, int] = dict.fromkeys(LANES, 0)  # messages that a full lane lost
        self.replayed_messages = 0  # durable ones, sent again after a reconnect or without an ack
        self.glitches = 0  # audio frames dropped because they were too old
        self.audio_ms = float("-inf")  # when the last audio frame of any device came or went, on the link's clock
        others = ("version", "tls", "not_a_link", "no_hello", "other")
        self.refused_by_reason = dict.fromkeys((*FAULTS.values(), *others), 0)
        self._handshake_ends: BoundedMap[str, HandshakeEnd] = BoundedMap(MAX_HANDSHAKE_ENDS)  # by address

    def measured(self, rtt_s: float) -> None:
        """A pong came."""
        self.rtt_counts[bisect_left(RTT_BOUNDS_S, rtt_s)] += 1
        self.rtt_sum_s += rtt_s

    def refused(self, reason: str) -> None:
        """A connection refused, or closed for what it did."""
        self.refused_by_reason[reason] += 1

    def handshake_ended(self, end: HandshakeEnd) -> None:
        """A connection ended in its TLS handshake."""
        self.refused("tls")
        self._handshake_ends[end.address] = end

    def last_handshake_end(self, address: str | None, since_ms: int) -> HandshakeEnd | None:
        """Return the last one of this address since then, else the last of any, None if there is none."""
        ends = [end for end in self._handshake_ends.values() if end.at_ms >= since_ms]
        of_address = [end for end in ends if end.address == address]
        return next(reversed(of_address or ends), None)
