"""What the link counts, and its metrics of those names. It reads no connection itself and serves nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final, Literal, TypeAlias, get_args

from microclaw.metrics import Label, Metrics

LaneName: TypeAlias = Literal["media", "control", "telemetry"]
# Why the host closed or refused a connection: the link's close codes by name, and what never became a session.
RefusalReason: TypeAlias = Literal[
    "malformed", "not_authenticated", "revoked", "timeout", "replaced", "too_large", "too_many", "overloaded",
    "version", "tls", "not_a_link", "no_hello", "text_message", "other",
]  # fmt: skip

LANES: Final[tuple[LaneName, ...]] = get_args(LaneName)
RTT_BOUNDS_S: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)


class LinkMetrics:
    """`depths` is asked at every scrape: messages that wait, by lane, of all connections.

    For the event loop's thread; no method waits or raises.
    """

    def __init__(self, metrics: Metrics, depths: Callable[[], Mapping[LaneName, int]]) -> None:
        lane = Label("lane", frozenset(LANES))
        reason = Label("reason", frozenset(get_args(RefusalReason)))
        connections = metrics.gauge("microclaw_link_connections", "Devices connected over the link now")
        rtt = metrics.histogram("microclaw_link_rtt_seconds", "Round trip of the link's own pings", RTT_BOUNDS_S)
        metrics.observed(
            "microclaw_link_queue_depth",
            "Messages waiting to be sent, all connections together",
            lambda: [({"lane": name}, count) for name, count in depths().items()],
        )
        dropped = metrics.counter("microclaw_link_dropped_total", "Messages that a full lane lost", lane)
        replayed = metrics.counter("microclaw_link_replayed_total", "Durable messages sent again")
        glitches = metrics.counter("microclaw_link_glitches_total", "Audio frames dropped because they were too old")
        self._refused = metrics.counter("microclaw_link_refused_total", "Connections refused or broken off", reason)
        self._connections = connections.series()
        self._rtt = rtt.series()
        self._dropped = {name: dropped.series(name) for name in LANES}
        self._replayed = replayed.series()
        self._glitches = glitches.series()

    def connected(self, change: int) -> None:
        """+1 when a session is ready, -1 when that connection is gone."""
        self._connections.add(change)

    def measured(self, rtt_s: float) -> None:
        """A pong came."""
        self._rtt.observe(rtt_s)

    def dropped(self, lane: LaneName, count: int = 1) -> None:
        """Messages that a full lane lost."""
        self._dropped[lane].add(count)

    def replayed(self, count: int = 1) -> None:
        """Durable messages sent again after a reconnect or without an ack."""
        self._replayed.add(count)

    def glitched(self, count: int = 1) -> None:
        """Audio frames dropped because they were too old."""
        self._glitches.add(count)

    def refused(self, reason: RefusalReason) -> None:
        """A connection refused, or closed for what it did."""
        self._refused.series(reason).add()
