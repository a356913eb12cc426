"""The counters of the link. Reads no connection itself and serves nothing (api.metrics_page shows them)."""

from __future__ import annotations

from bisect import bisect_left
from typing import Final, Literal, TypeAlias, get_args

from msgspec import Struct

from microclaw.bounded_map import BoundedMap
from microclaw.wire.link.frame import CloseCode
from microclaw.wire.link.session import LinkSession

LaneName: TypeAlias = Literal["media", "control", "telemetry", "blob"]
LANES: Final[tuple[LaneName, ...]] = get_args(LaneName)
# The reasons of closed and refused connections: the names of the link's close codes.
_NAMES: Final = {CloseCode.NOT_BINARY: "text_message", CloseCode.TIMED_OUT: "timeout"}
FAULTS: Final = {code: _NAMES.get(code, code.name.lower()) for code in CloseCode if code > CloseCode.SHUTTING_DOWN}
RTT_BOUNDS_S: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
MAX_HANDSHAKE_ENDS: Final = 64  # addresses
_SPEAKS_MS: Final = 1000


class HandshakeEnd(Struct, frozen=True):
    """A connection that ended in its TLS handshake. Its device is not known."""

    address: str
    at_ms: int
    why: str


class LinkMeter:
    """The counts since the host began. Called on the event loop's thread; no method waits."""

    def __init__(self) -> None:
        # Connections with a ready session.
        self.connections = 0
        # By RTT_BOUNDS_S; the last count is above all bounds.
        self.rtt_counts = [0] * (len(RTT_BOUNDS_S) + 1)
        self.rtt_sum_s = 0.0
        # Messages that a full lane dropped.
        self.dropped_by_lane: dict[LaneName, int] = dict.fromkeys(LANES, 0)
        # Durable messages that were sent again, after a reconnect or without an ack.
        self.replayed_messages = 0
        # Audio frames dropped because they were too old.
        self.glitches = 0
        # The time of the last audio frame of any device, sent or received, on the link's clock.
        self.audio_ms = float("-inf")
        # Reasons of connections that never became a session, or have no close code.
        others = ("version", "tls", "not_a_link", "no_hello", "other")
        self.refused_by_reason = dict.fromkeys((*FAULTS.values(), *others), 0)
        # By address.
        self._handshake_ends: BoundedMap[str, HandshakeEnd] = BoundedMap(MAX_HANDSHAKE_ENDS)

    def count_rtt(self, rtt_s: float) -> None:
        """Count the round trip of a pong."""
        self.rtt_counts[bisect_left(RTT_BOUNDS_S, rtt_s)] += 1
        self.rtt_sum_s += rtt_s

    def count_refused(self, reason: str) -> None:
        """Count a connection that was refused, or closed for a fault of the device."""
        self.refused_by_reason[reason] += 1

    def handshake_ended(self, end: HandshakeEnd) -> None:
        """Count a connection that ended in its TLS handshake."""
        self.count_refused("tls")
        self._handshake_ends[end.address] = end

    def last_handshake_end(self, address: str | None, since_ms: int) -> HandshakeEnd | None:
        """Return the last end of this address since `since_ms`, else the last of any address, or None."""
        recent_ends = [end for end in self._handshake_ends.values() if end.at_ms >= since_ms]
        ends_of_address = [end for end in recent_ends if end.address == address]
        return next(reversed(ends_of_address or recent_ends), None)


class ConnectionCounts:
    """The counts of one connection. `meter` has them of all connections."""

    def __init__(self, meter: LinkMeter) -> None:
        self.rtt_ms: float | None = None
        # It ended without a single message.
        self.was_silent = False
        self._meter = meter
        # The meter counts it as a connection.
        self._is_ready = False

    def note_ready(self) -> None:
        self._is_ready = True
        self._meter.connections += 1

    def note_rtt(self, rtt_ms: float) -> None:
        self._meter.count_rtt(rtt_ms / 1000)
        self.rtt_ms = rtt_ms

    def note_audio(self, now_ms: float) -> None:
        self._meter.audio_ms = now_ms

    def has_recent_audio(self, now_ms: float) -> bool:
        """Return True if audio was sent or received within the last second, over any of the host's connections."""
        return now_ms - self._meter.audio_ms < _SPEAKS_MS

    def note_close(self, code: int) -> None:
        """Count a close that the host began for a fault of the device."""
        if code in FAULTS:
            self._meter.count_refused(FAULTS[CloseCode(code)])

    def note_end(self, session: LinkSession, *, is_host_close: bool) -> None:
        self._meter.dropped_by_lane["telemetry"] += session.lanes.telemetry_dropped
        self._meter.glitches += session.lanes.glitches
        self._meter.replayed_messages += session.outgoing.replayed
        if self._is_ready:
            self._meter.connections -= 1
        elif self.was_silent and not is_host_close:
            self._meter.count_refused("no_hello")
