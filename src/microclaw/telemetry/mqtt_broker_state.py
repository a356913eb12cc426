"""The state of the MQTT broker, for the host's status and its metrics. It connects to nothing."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from typing import Final, Literal, TypeAlias

Phase: TypeAlias = Literal["connecting", "on", "disturbed"]
MAX_OTHERS: Final = 16
COUNTS: Final = ("connections", "acknowledged", "received", "refused", "too_large")
_log = logging.getLogger(__name__)


@dataclass(slots=True)
class BrokerState:
    """`others` are the ids of hosts with the same base topic that are online; counts are since the host started."""

    phase: Phase = "connecting"
    reason: str | None = None
    next_step: str | None = None
    address: str | None = None
    connections: int = 0
    warning: str | None = None  # of this connection
    acknowledged: int = 0
    refused: int = 0
    too_large: int = 0
    received: int = 0
    others: set[str] = field(default_factory=set)

    def note_deaf(self, why: str) -> None:
        """The broker does not let this host listen."""
        self.warn(f"the broker does not let this host listen: {why}")

    def note_too_large(self, topic: str, size_bytes: int) -> None:
        """A message was left out."""
        self.too_large += 1
        self.warn(f"the broker takes no message as large as {size_bytes:,} bytes: left out, of {topic[:200]}")

    def warn(self, text: str) -> None:
        """Something is wrong, and the connection goes on."""
        if self.warning != text:
            self.warning = text
            _log.warning("MQTT: %s", text)

    def note_other(self, host: str, base: str, *, is_online: bool) -> None:
        """Another host has the same base topic; or it has gone."""
        if not is_online:
            self.others.discard(host)
        elif host not in self.others and len(self.others) < MAX_OTHERS:
            self.others.add(host[:64])
            _log.warning("MQTT: another host has the base topic %s, too: %s", base, host[:64])
