"""A device plane on loopback with a paired device, and what keeps its telemetry and crashes."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from tests.conftest import OpenStore
from tests.devices.link.conftest import Plane, running_plane
from tests.devices.link.conftest import device as device
from tests.devices.link.conftest import limits as limits
from tests.devices.link.conftest import paired as paired
from tests.devices.link.conftest import scripted as scripted

from microclaw.devices.link.limits import LinkLimits
from microclaw.devices.telemetry.history import TelemetryHistory
from microclaw.devices.telemetry.reported import ReportedEvents
from microclaw.host.store.downsampling import Downsampling
from microclaw.host.store.telemetry import TelemetryTable

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
    """The versions of a program by time, as changes/source_log.py tells them, and its traces in the source's lines."""

    versions: dict[str, str] = field(default_factory=dict)

    async def in_source(self, _device_id: str, app: str, _at_ms: int, text: str) -> tuple[str | None, str]:
        return self.versions.get(app), text


@pytest.fixture
async def plane(tmp_path: Path, limits: LinkLimits, open_store: OpenStore) -> AsyncIterator[Plane]:
    async with open_store(tmp_path / "microclaw.db") as store, running_plane(tmp_path, limits, store=store) as running:
        yield running


async def no_wait(_seconds: float) -> None:
    """The lines of these tests are there before their events."""


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def sources() -> Sources:
    return Sources()


@pytest.fixture
async def history(plane: Plane, clock: Clock) -> TelemetryHistory:
    made = TelemetryHistory(
        TelemetryTable(plane.database),
        Downsampling(plane.database),
        plane.registry,
        now_ms=clock.now_ms,
        monotonic_s=clock.monotonic_s,
    )
    plane.links.parts.reports.telemetry = made.add_message
    return made


@pytest.fixture
async def reported(plane: Plane, history: TelemetryHistory, sources: Sources) -> ReportedEvents:
    plane.links.parts.reports.in_source = sources.in_source
    return ReportedEvents(
        plane.database,
        plane.registry,
        plane.links,
        history,
        publish=plane.published.add,
        sleep=no_wait,
    )
