"""The limits of the link: numbers, a rate of messages, and counts of connections. No IO."""

from __future__ import annotations

import asyncio
from collections import Counter

from msgspec import Struct, field

from microclaw.wire.link.session import LinkConfig


class LinkLimits(Struct, frozen=True):
    """The limits: `arriving_*` of connections not authenticated yet, `connections_*` of all.

    A newcomer over `arriving_*` or `connections_an_address` is dropped before TLS costs anything; over
    `connections_in_all` it gets a WebSocket that is closed with 4429, so that a device knows to wait.
    A TLS handshake has `handshake_s`. If no place is free for a newcomer, the oldest handshake that has had
    `handshake_when_full_s` is ended. `request_s` is for the HTTP request after it.
    """

    handshake_s: float = 30.0
    handshake_when_full_s: float = 5.0
    request_s: float = 10.0
    arriving_in_all: int = 512
    arriving_an_address: int = 64
    connections_in_all: int = 2048
    connections_an_address: int = 1200
    messages_a_second: float = 500.0
    messages_at_once: float = 1000.0
    unauthenticated_messages_a_second: float = 5.0
    unauthenticated_messages_at_once: float = 20.0
    close_s: float = 3.0
    # A host that stops asks devices to wait for this, and for up to `retry_spread_s` more.
    retry_after_s: int = 2
    retry_spread_s: int = 5
    write_buffer_bytes: int = 65_536
    session: LinkConfig = field(default_factory=LinkConfig)

    def message_rate(self, now_s: float, *, is_authenticated: bool) -> RateLimit:
        """Return the rate of a connection's messages."""
        if is_authenticated:
            return RateLimit(self.messages_a_second, self.messages_at_once, now_s)
        return RateLimit(self.unauthenticated_messages_a_second, self.unauthenticated_messages_at_once, now_s)


class RateLimit:
    """A token bucket; `now_s` is monotonic."""

    __slots__ = ("_at_s", "_left", "_most", "_per_s")

    def __init__(self, per_s: float, most: float, now_s: float) -> None:
        self._per_s = per_s
        self._most = most
        self._left = most
        self._at_s = now_s

    def allows(self, now_s: float) -> bool:
        """Take one token. Returns False if there is none."""
        left = self._left + (now_s - self._at_s) * self._per_s
        self._at_s = now_s
        if left > self._most:
            left = self._most
        if left >= 1:
            self._left = left - 1
        else:
            self._left = left
        return left >= 1


class ConnectionLimits:
    """The limits of connections, and of those not authenticated yet, in all and by address."""

    def __init__(self, limits: LinkLimits) -> None:
        self._limits = limits
        self._connected: Counter[str] = Counter()
        self._arriving: Counter[str] = Counter()
        self._news_of_leaving = asyncio.Event()

    @property
    def connected(self) -> int:
        return self._connected.total()

    @property
    def arriving(self) -> int:
        return self._arriving.total()

    @property
    def is_full(self) -> bool:
        return self.connected > self._limits.connections_in_all

    def admits(self, address: str) -> bool:
        """Return True if one more connection from this address is allowed."""
        limits = self._limits
        return (
            self._arriving[address] < limits.arriving_an_address
            and self.arriving < limits.arriving_in_all
            and self._connected[address] < limits.connections_an_address
            and self.connected < limits.connections_in_all + limits.arriving_in_all
        )

    def is_full_for(self, address: str) -> bool:
        """Return True if this address has all the places that one address gets before it is authenticated."""
        return self._arriving[address] >= self._limits.arriving_an_address

    def must_wait(self, address: str) -> bool:
        """Return True if only the unauthenticated connections of other addresses keep this address out."""
        return self.arriving >= self._limits.arriving_in_all and not self.is_full_for(address)

    def enter(self, address: str) -> None:
        self._connected[address] += 1
        self._arriving[address] += 1

    def note_authenticated(self, address: str) -> None:
        """Note that a connection of this address is authenticated."""
        _decrement(self._arriving, address)

    def leave(self, address: str) -> None:
        _decrement(self._connected, address)
        self._news_of_leaving.set()

    async def wait_until_empty(self) -> None:
        """Wait until no connection is left."""
        while self.connected:
            self._news_of_leaving.clear()
            await self._news_of_leaving.wait()


def _decrement(counts: Counter[str], key: str) -> None:
    counts[key] -= 1
    if counts[key] <= 0:
        del counts[key]
