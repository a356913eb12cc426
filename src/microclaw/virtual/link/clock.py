"""Times and ids of the board's end of the link, and what wakes its thread. Knows no message."""

from __future__ import annotations

import contextlib
import os
import secrets
import selectors
import threading
import time
from dataclasses import dataclass, field

from microclaw.wire.link.values import Value


class LinkClock:
    """The host computer's clocks: an ESP32 has set its own by the time that it speaks TLS."""

    def now_ms(self) -> float:
        return time.monotonic() * 1000

    def unix_us(self) -> int:
        return time.time_ns() // 1000


def new_id() -> bytes:
    """A UUIDv7 (RFC 9562, 5.7)."""
    number = (time.time_ns() // 1_000_000) << 80 | secrets.randbits(80)
    number = number & ~(0xF << 76) | 0x7 << 76
    return (number & ~(0x3 << 62) | 0x2 << 62).to_bytes(16)


class Waker:
    """Ends a wait from another thread; `reader` is for a selector."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._closed = False
        self.reader, self._writer = os.pipe()
        for end in (self.reader, self._writer):
            os.set_blocking(end, False)

    def wake(self) -> None:
        with self._lock, contextlib.suppress(BlockingIOError):  # it is full of wakes
            if not self._closed:
                os.write(self._writer, b"\0")

    def clear(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while os.read(self.reader, 4096):
                pass

    def wait(self, timeout_s: float) -> None:
        with selectors.DefaultSelector() as selector:
            selector.register(self.reader, selectors.EVENT_READ)
            selector.select(max(0.0, timeout_s))
        self.clear()

    def close(self) -> None:
        with self._lock:
            self._closed = True
            os.close(self.reader)
            os.close(self._writer)


@dataclass(slots=True)
class LinkState:
    """One boot's. `name` is connecting, waiting, pairing, connected, refused; written by the link's thread.

    Counted since boot: `dropped` log lines and telemetry, `refused_events` that the full outbox did not take.
    """

    url: str
    name: str = "off"
    error: str | None = None
    code: str | None = None
    device_id: str | None = None
    host: str | None = None
    rtt_ms: float | None = None
    dropped: int = 0
    refused_events: int = 0
    ui: dict[str, Value] = field(default_factory=dict)

    def enter(self, name: str, error: str | None = None) -> None:
        self.name, self.error = name, error
