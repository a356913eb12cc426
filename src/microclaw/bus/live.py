"""What happens to devices and programs, for whoever listens on the bus: `bus.publish(DeviceConnected(...))`. No IO.

Names and facts, never a program's source, a call's arguments or a person's words. A log's text is the program's own.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal, TypeAlias


@dataclass(frozen=True, slots=True)
class LiveEvent:
    """`device` is the device's name, `at_ms` Unix time."""

    kind: ClassVar[str]
    device: str
    at_ms: int


@dataclass(frozen=True, slots=True)
class DeviceConnected(LiveEvent):
    """Its session is ready. `face` is the way in, `address` where it came from."""

    kind = "device.connected"
    face: str
    address: str


@dataclass(frozen=True, slots=True)
class DeviceLeft(LiveEvent):
    """Its connection is gone, with the close code and reason."""

    kind = "device.left"
    face: str
    code: int
    reason: str


@dataclass(frozen=True, slots=True)
class AppDeployed(LiveEvent):
    kind = "app.deployed"
    app: str


@dataclass(frozen=True, slots=True)
class AppEnded(LiveEvent):
    """A program ended by itself (`why` is exited, trapped, ...) or was taken away (removed)."""

    kind = "app.ended"
    app: str
    why: str


@dataclass(frozen=True, slots=True)
class Alarm(LiveEvent):
    """A person should look: a copied token, a crash, a pairing lock."""

    kind = "alarm"
    code: str
    text: str


@dataclass(frozen=True, slots=True)
class DeviceEvent(LiveEvent):
    """An `event` message of the device: its name only, its data stays in the store."""

    kind = "device.event"
    name: str


@dataclass(frozen=True, slots=True)
class DeviceLog(LiveEvent):
    """A `log` message of the device. `n` grows by one with each: a gap is what was lost."""

    kind = "log"
    level: Literal["debug", "info", "warning", "error"]
    source: str
    n: int
    text: str


LiveKind: TypeAlias = type[LiveEvent]
LIVE_EVENTS: tuple[LiveKind, ...] = (
    DeviceConnected, DeviceLeft, AppDeployed, AppEnded, Alarm, DeviceEvent, DeviceLog,
)  # fmt: skip
