"""A device's measurements, what is refused, and at what resolution it is read."""

from __future__ import annotations

import math
from typing import Any

from tests.agent.turn.conftest import open_store as open_store  # on one engine: tests/host/store has the tables on both
from tests.devices.link.conftest import Plane
from tests.devices.telemetry.conftest import NOON_MS, Clock

from microclaw.devices.telemetry.history import MAX_WAITING, History, TelemetryHistory
from microclaw.host.store.telemetry import HOUR_MS, MINUTE_MS, Bucket
from microclaw.wire.link.messages import Telemetry


def lamp(plane: Plane) -> str:
    return plane.registry.get("lamp").device_id


def series(found: History) -> dict[str, tuple[Bucket, ...]]:
    return {one.key: one.points for one in found.series}


async def test_telemetry_is_kept_by_time_of_arrival(
    plane: Plane, paired: Any, history: TelemetryHistory, clock: Clock
) -> None:
    (endpoint,) = plane.registry.get("lamp").endpoints
    history.add_message(endpoint, Telemetry(free_heap=180_000, uptime_s=3, apps=(), rssi=-56, temperature=41.5))
    clock.at_ms += 30_000
    history.add_message(endpoint, Telemetry(free_heap=170_000, uptime_s=33, apps=(), rssi=-60, temperature=42))
    keys = await history.keys(plane.registry.get("lamp"))
    assert keys == ("free_heap", "rssi", "temperature")
    found = await history.read(lamp(plane), keys, NOON_MS, NOON_MS + MINUTE_MS, 120)
    assert (found.source, found.bucket_ms) == ("raw", 1_000)
    assert {key: [(b.at_ms - NOON_MS, b.mean) for b in buckets] for key, buckets in series(found).items()} == {
        "free_heap": [(0, 180_000), (30_000, 170_000)],
        "rssi": [(0, -56), (30_000, -60)],
        "temperature": [(0, 41.5), (30_000, 42)],
    }
    coarse = await history.read(lamp(plane), ("rssi",), NOON_MS, NOON_MS + 2 * HOUR_MS, 120)
    (bucket,) = series(coarse)["rssi"]
    assert (bucket.low, bucket.high, bucket.mean, bucket.count) == (-60, -56, -58, 2)


REFUSED: list[tuple[str, float | str, int, str]] = [
    ("t", math.nan, NOON_MS, "number"), ("t", "warm", NOON_MS, "number"), ("t", "1_0", NOON_MS, "number"),
    ("", 1.0, NOON_MS, "name"), ("t\x1b[31m", 1.0, NOON_MS, "name"), ("t" * 65, 1.0, NOON_MS, "name"),
    ("free_heap", "666", NOON_MS, "own"), ("RSSI", 1.0, NOON_MS, "own"), ("t", 1.0, 86_400_000, "clock"),
]  # fmt: skip


async def test_what_is_no_reading_is_refused_and_counted_and_a_text_that_is_a_number_is_one(
    plane: Plane, paired: Any, history: TelemetryHistory
) -> None:
    for key, refused, at_ms, _ in REFUSED:
        assert history.reading(lamp(plane), key, refused, at_ms) is None
    history.count_impossible(plane.registry.get("lamp").endpoints[0], 3)
    history.count_impossible("link:nobody", 3)
    counted = {"number": 3, "name": 3, "own": 2, "clock": 1, "range": 3}
    assert history.refused(lamp(plane)) == counted
    for text, value in (("21.5", 21.5), (" -3 ", -3.0), ("+1e3", 1000.0), (".5", 0.5)):
        point = history.reading(lamp(plane), "room/temperature", text, NOON_MS)
        assert point is not None
        assert point.value == value


async def test_a_device_has_so_many_values_a_second_and_those_of_one_millisecond_are_all_kept(
    plane: Plane, paired: Any, history: TelemetryHistory, clock: Clock
) -> None:
    taken = [point for n in range(150) if (point := history.reading(lamp(plane), "t", n, NOON_MS)) is not None]
    assert [point.at_ms for point in taken] == [NOON_MS + n for n in range(100)]
    clock.s += 2
    assert sum(history.reading(lamp(plane), "t", n, NOON_MS) is not None for n in range(150)) == 20
    assert history.refused(lamp(plane)) == {"rate": 180}


async def test_what_the_store_does_not_take_in_time_is_counted(
    plane: Plane, paired: Any, history: TelemetryHistory, clock: Clock
) -> None:
    endpoint = plane.registry.get("lamp").endpoints[0]
    for _ in range(MAX_WAITING + 5):
        clock.s += 1
        history.add_message(endpoint, Telemetry(free_heap=1, uptime_s=1, apps=()))
    assert history.refused(lamp(plane)) == {"store": 5}
