"""What is to be seen of the board's end of the link, from the control socket and in telemetry. Changes nothing."""

from __future__ import annotations

from dataclasses import dataclass, field

from microclaw.wire.link.messages import Value


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
