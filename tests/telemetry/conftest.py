"""A device plane on loopback with a paired device, and what keeps its telemetry and crashes."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from tests.link_server.conftest import Plane
from tests.link_server.conftest import device as device
from tests.link_server.conftest import limits as limits
from tests.link_server.conftest import paired as paired
from tests.link_server.conftest import plane as plane
from tests.link_server.conftest import scripted as scripted

from microclaw.store.downsampling import Downsampling
from microclaw.store.telemetry import TelemetryTable
from microclaw.telemetry.history import TelemetryHistory
from microclaw.telemetry.reported import ReportedEvents

NOON_MS = 1_780_000_000_000 // 3_600_000 * 3_600_000


@dataclass
class Clock:
    """Both clocks of a history, which a test sets."""

    at_ms: int = NOON_MS
    s: float = 0.0

    def now_ms(self) -> int:
        return self.at_ms

    def monotonic_s(self) -> float:
        return self.s


@dataclass
class Sources:
    """Which version of a program was there, as apps/source_log.py tells it, and its traces in the source's lines."""

    versions: dict[str, str] = field(default_factory=dict)

    async def in_source(self, _device_id: str, app: str, _at_ms: int, text: str) -> tuple[str | None, str]:
        return self.versions.get(app), text


async def no_wait(_seconds: float) -> None:
    """The lines of these tests are there before their events."""


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def sources() -> Sources:
    return Sources()


@pytest.fixture
def history(plane: Plane, clock: Clock) -> TelemetryHistory:
    made = TelemetryHistory(
        TelemetryTable(plane.database),
        Downsampling(plane.database),
        plane.registry,
        now_ms=clock.now_ms,
        monotonic_s=clock.monotonic_s,
    )
    plane.links.parts.reports.telemetry = made.took
    return made


@pytest.fixture
def reported(plane: Plane, history: TelemetryHistory, sources: Sources) -> ReportedEvents:
    return ReportedEvents(
        plane.database,
        plane.registry,
        plane.links,
        history,
        in_source=sources.in_source,
        publish=plane.published.add,
        sleep=no_wait,
    )
