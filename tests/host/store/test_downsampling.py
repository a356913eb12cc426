"""Buckets of minutes and hours: exact, each value once, also after kill -9 and a clock that was set back."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from tests.host.store.two_hosts import two_hosts

from microclaw.host.store.database import Database
from microclaw.host.store.devices import DeviceRow, DeviceTable
from microclaw.host.store.downsampling import Downsampling
from microclaw.host.store.telemetry import (
    DAY_MS,
    HOUR_MS,
    IDLE_MS,
    MAX_SERIES,
    MINUTE_MS,
    MINUTES_MS,
    Bucket,
    Point,
    Source,
    TelemetryTable,
)

NOON_MS = 1_780_000_000_000 // HOUR_MS * HOUR_MS


@pytest.fixture
async def table(database: Database) -> TelemetryTable:
    for name in ("d1", "d2"):
        await DeviceTable(database).put(DeviceRow(name, name, "virtual"))
    return TelemetryTable(database)


def points(times: Iterable[int], device: str = "d1", key: str = "t") -> list[Point]:
    """Each value is the time's own number of seconds after noon."""
    return [Point(device, key, at_ms, (at_ms - NOON_MS) / 1000) for at_ms in times]


async def settle(database: Database, now_ms: int) -> int:
    """Make smaller all that is due; how many steps that took."""
    downsampling = Downsampling(database)
    steps = 0
    while await downsampling.step(now_ms):
        steps += 1
    return steps


async def rows(database: Database, table: str) -> list[tuple[float, ...]]:
    query = f"SELECT * FROM telemetry_{table} ORDER BY 1, 2"
    return await database.read(lambda connection: connection.execute(query).fetchall())


async def test_minutes_and_hours_have_least_most_mean_and_count_and_what_is_in_none_yet_is_read_with_them(
    database: Database, table: TelemetryTable
) -> None:
    await table.append(points(range(NOON_MS, NOON_MS + 3 * HOUR_MS, 10_000)))
    now_ms = NOON_MS + 2 * HOUR_MS + 5 * MINUTE_MS
    assert await settle(database, now_ms) > 1
    minutes = await rows(database, "minutes")
    assert minutes[1][1:] == (NOON_MS + MINUTE_MS, 60, 110, 85, 6)
    assert [row[1:] for row in await rows(database, "hours")] == [
        (NOON_MS, 0, 3590, 1795, 360),
        (NOON_MS + HOUR_MS, 3600, 7190, 5395, 360),
    ]
    assert await settle(database, now_ms) == 0
    wanted = tuple(Bucket(NOON_MS + n * HOUR_MS, n * 3600, n * 3600 + 3590, n * 3600 + 1795, 360) for n in range(3))
    sources: tuple[Source, ...] = ("raw", "minutes", "hours")
    for source in sources:
        assert (
            await table.read(
                "d1", ["t"], since_ms=NOON_MS, until_ms=NOON_MS + 3 * HOUR_MS, bucket_ms=HOUR_MS, source=source
            )
        )["t"] == wanted


async def test_values_live_a_day_minutes_a_month_hours_for_years(database: Database, table: TelemetryTable) -> None:
    await table.append(points([NOON_MS, NOON_MS + MINUTE_MS]))
    await settle(database, NOON_MS + HOUR_MS)
    assert len(await rows(database, "raw")) == 2
    await settle(database, NOON_MS + DAY_MS + 2 * HOUR_MS)
    assert (len(await rows(database, "raw")), len(await rows(database, "minutes"))) == (0, 2)
    later_ms = NOON_MS + MINUTES_MS + 3 * HOUR_MS
    await table.append(points([later_ms]))
    await settle(database, later_ms + 3 * HOUR_MS)
    assert [row[1] for row in await rows(database, "minutes")] == [later_ms]
    assert [row[1] for row in await rows(database, "hours")] == [NOON_MS, later_ms]
    found = await table.read(
        "d1", ["t"], since_ms=NOON_MS, until_ms=later_ms + HOUR_MS, bucket_ms=HOUR_MS, source="hours"
    )
    assert [bucket.count for bucket in found["t"]] == [2, 1]


async def test_a_clock_that_was_set_back_makes_the_buckets_anew(database: Database, table: TelemetryTable) -> None:
    await table.append(points(range(NOON_MS, NOON_MS + 2 * HOUR_MS, 30_000)))
    await settle(database, NOON_MS + 2 * HOUR_MS + 5 * MINUTE_MS)
    await table.append(points(range(NOON_MS + 15_000, NOON_MS + HOUR_MS, 30_000)))  # the same hour once more
    await settle(database, NOON_MS + 3 * HOUR_MS)
    assert {row[5] for row in (await rows(database, "minutes"))[:60]} == {4}
    assert [row[5] for row in await rows(database, "hours")] == [240, 120]


async def test_a_bucket_whose_values_are_gone_stays_as_it_is(database: Database, table: TelemetryTable) -> None:
    await table.append(points(range(NOON_MS, NOON_MS + HOUR_MS, 10_000)))
    await settle(database, NOON_MS + DAY_MS + 2 * HOUR_MS)
    before = await rows(database, "minutes"), await rows(database, "hours")
    await table.append(points([NOON_MS + 5_000]))  # the clock was set back by more than a day
    await settle(database, NOON_MS + DAY_MS + 3 * HOUR_MS)
    assert (await rows(database, "minutes"), await rows(database, "hours")) == before


async def test_a_device_has_so_many_series_and_an_idle_one_gives_way(database: Database, table: TelemetryTable) -> None:
    keys = [f"k{n:02}" for n in range(MAX_SERIES + 1)]
    assert await table.append([Point("d1", key, NOON_MS, 1.0) for key in keys]) == {"d1": 1}
    assert await table.append([Point("d2", keys[-1], NOON_MS, 1.0)]) == {}
    await settle(database, NOON_MS + HOUR_MS)
    late_ms = NOON_MS + IDLE_MS + 2 * HOUR_MS
    await table.append([Point("d1", key, late_ms, 1.0) for key in keys[1:-1]])
    await settle(database, late_ms + HOUR_MS)
    assert await table.append([Point("d1", keys[-1], late_ms + HOUR_MS, 2.0)]) == {}
    assert await table.keys("d1") == tuple(keys[1:])
    assert await table.append([Point("d1", keys[0], late_ms + HOUR_MS, 3.0)]) == {"d1": 1}  # it is not taken for kept


async def test_a_device_that_is_gone_leaves_nothing(database: Database, table: TelemetryTable) -> None:
    await table.append(points(range(NOON_MS, NOON_MS + 2 * HOUR_MS, 10_000)))
    await table.append(points([NOON_MS], "d2"))
    await settle(database, NOON_MS + 3 * HOUR_MS)
    await DeviceTable(database).delete("d1")
    assert await table.append(points([NOON_MS + 3 * HOUR_MS])) == {}  # its series was known: dropped with it
    await settle(database, NOON_MS + 3 * HOUR_MS)
    assert [len(await rows(database, name)) for name in ("series", "raw", "minutes", "hours")] == [1, 1, 1, 1]


async def test_the_history_of_two_entries_that_are_one_board_is_one(database: Database, table: TelemetryTable) -> None:
    await table.append([*points([NOON_MS]), *points([NOON_MS + 1], "d2"), *points([NOON_MS], "d2", "u")])
    await DeviceTable(database).delete("d2", heir="d1")
    await settle(database, NOON_MS + HOUR_MS)
    found = await table.read(
        "d1", ["t", "u"], since_ms=NOON_MS, until_ms=NOON_MS + HOUR_MS, bucket_ms=HOUR_MS, source="hours"
    )
    assert {key: buckets[0].count for key, buckets in found.items()} == {"t": 2, "u": 1}


async def test_a_series_that_another_host_gave_up_gets_no_values_of_others(database_url: str) -> None:
    async with two_hosts(database_url) as (here, there):
        for name in ("d1", "d2"):
            await DeviceTable(there).put(DeviceRow(name, name, "virtual"))
        mine = TelemetryTable(here)
        theirs = TelemetryTable(there)
        await mine.append(points([NOON_MS]))
        await there.write(lambda connection: connection.execute("DELETE FROM telemetry_series"))
        await theirs.append(points([NOON_MS], "d2", "other"))  # it has the number of the one that is gone
        await mine.append(points([NOON_MS + MINUTE_MS]))
        query = "SELECT count(*) FROM telemetry_raw JOIN telemetry_series USING (series_id) WHERE key = 'other'"
        assert await here.read(lambda connection: connection.execute(query).fetchone()) == (1,)
