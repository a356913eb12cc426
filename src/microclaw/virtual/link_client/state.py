"""The clocks and new message ids of both ends of the link, and the state of the board's link. Sends nothing."""

from __future__ import annotations

import secrets
import time

from msgspec import Struct, field

from microclaw.wire.link.values import Value


class SystemClock:
    """This machine's clocks. An ESP32 has set its own before it uses TLS."""

    def now_ms(self) -> float:
        return time.monotonic() * 1000

    def unix_us(self) -> int:
        return time.time_ns() // 1000


def new_message_id() -> bytes:
    return secrets.token_bytes(16)


class LinkState(Struct):
    """The state of the link in one boot, written by its thread.

    `name`: connecting, waiting, pairing, renewing, connected, refused. Counts since boot: `dropped` log lines and
    telemetry, `refused_events` that the full outbox refused.
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
        self.name = name
        self.error = error
