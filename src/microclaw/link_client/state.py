"""The board's end of the link: its state as the bench sees it, its clocks, and new message ids. Sends nothing."""

from __future__ import annotations

import secrets
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


@dataclass(slots=True)
class LinkState:
    """The link in one boot, written by its thread. `name`: connecting, waiting, pairing, renewing, connected, refused.

    Counted since boot: `dropped` log lines and telemetry, `refused_events` that the full outbox did not take.
    """

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
