"""Pings of one end: when the next is due, what a pong measures, when too many were missed. No IO."""

from __future__ import annotations

from typing import Protocol

from microclaw.wire.link.messages import Ping, Pong

MISSED_PONGS = 2


class HeartbeatClock(Protocol):
    def now_ms(self) -> float:
        """Monotonic milliseconds."""

    def unix_us(self) -> int:
        """Microseconds since the Unix epoch, 0 while the clock is not set."""


class Heartbeat:
    """At most two pings are unanswered; a third that falls due means that the connection is dead."""

    def __init__(self, clock: HeartbeatClock, every_ms: float) -> None:
        self._clock = clock
        self.every_ms = every_ms
        self.due_ms = clock.now_ms() + every_ms
        self._count = 0
        self._unanswered: dict[int, float] = {}

    def ping(self) -> Ping | None:
        """Make the next ping; return None if too many are unanswered: the connection is dead."""
        if len(self._unanswered) >= MISSED_PONGS:
            return None
        now_ms = self._clock.now_ms()
        self.due_ms = now_ms + self.every_ms
        self._count += 1
        self._unanswered[self._count] = now_ms
        return Ping(self._count, wall_us(self._clock))

    def measure(self, pong: Pong) -> float | None:
        """Return the round trip in ms, or None for a pong without its ping."""
        sent_ms = self._unanswered.get(pong.n)
        if sent_ms is None:
            return None
        for n in [n for n in self._unanswered if n <= pong.n]:
            del self._unanswered[n]
        held_ms = max(0.0, (pong.t2 - pong.t1) / 1000)
        return max(0.0, self._clock.now_ms() - sent_ms - held_ms)


def wall_us(clock: HeartbeatClock) -> int:
    """Read the wall clock, or the monotonic one while that is not set: enough for a round trip."""
    return clock.unix_us() or int(clock.now_ms() * 1000)
