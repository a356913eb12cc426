"""Rows of what devices measured: series, values as they came, buckets of a minute and of an hour. It makes no buckets.

Values are ordered by time, so that writing them touches few pages; buckets are ordered by series.
host/store/downsampling.py makes buckets from values.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from itertools import groupby
from operator import itemgetter
from typing import Final, Literal, TypeAlias

from msgspec import Struct

from microclaw.host.store.rows import Table, one_of, reads, writes
from microclaw.host.store.sql import Sql

MINUTE_MS: Final = 60_000
HOUR_MS: Final = 3_600_000
DAY_MS: Final = 86_400_000
RAW_MS: Final = DAY_MS
MINUTES_MS: Final = 30 * DAY_MS
HOURS_MS: Final = 5 * 365 * DAY_MS
# Of one device.
MAX_SERIES: Final = 32
MAX_SERIES_IN_ALL: Final = 8_192
# A series without a value for this time may be replaced by a new one.
IDLE_MS: Final = 7 * DAY_MS
Source: TypeAlias = Literal["raw", "minutes", "hours"]


class Point(Struct, frozen=True):
    """A value of a device's series; `at_ms` is when it reached this host."""

    device_id: str
    key: str
    at_ms: int
    value: float


class Bucket(Struct, frozen=True, rename={"low": "min", "high": "max"}):
    """The values of a stretch of time that begins at `at_ms`."""

    at_ms: int
    low: float
    high: float
    mean: float
    count: int


class TelemetryTable(Table):
    """Series and their points in one database."""

    @writes
    def append(self, sql: Sql, points: Sequence[Point]) -> Counter[str]:
        """Store points as `insert_points` does."""
        return insert_points(sql, points)

    @reads
    def keys(self, sql: Sql, device_id: str) -> tuple[str, ...]:
        """Return the names of a device's series, in order."""
        rows = sql.execute("SELECT key FROM telemetry_series WHERE device_id = ? ORDER BY key", (device_id,))
        return tuple(key for (key,) in rows)

    @reads
    def read(
        self,
        sql: Sql,
        device_id: str,
        keys: Collection[str],
        *,
        since_ms: int,
        until_ms: int,
        bucket_ms: int,
        source: Source,
    ) -> dict[str, tuple[Bucket, ...]]:
        """Return the buckets of each series within a time, by name; buckets without a value are left out.

        Values that are in no bucket of `source` yet are read from the finer tables.
        """
        query = "SELECT series_id, key FROM telemetry_series WHERE device_id = ? ORDER BY key"
        names = {series_id: key for series_id, key in sql.execute(query, (device_id,)) if key in keys}
        minutes_ms, hours_ms = sql.execute("SELECT minutes_ms, hours_ms FROM telemetry_state").fetchone()
        minutes_end_ms = 0 if source == "raw" else minutes_ms
        hours_end_ms = min(hours_ms, minutes_ms) if source == "hours" else 0
        parts = []
        values = []
        for table, buckets, begin_ms, end_ms in (
            ("telemetry_hours", "low, high, mean, count", since_ms, min(until_ms, hours_end_ms)),
            ("telemetry_minutes", "low, high, mean, count", max(since_ms, hours_end_ms), min(until_ms, minutes_end_ms)),
            ("telemetry_raw", "value, value, value, 1", max(since_ms, minutes_end_ms), until_ms),
        ):
            where = f"series_id {one_of(names)} AND at_ms >= ? AND at_ms < ?"
            parts.append(f"SELECT series_id, at_ms, {buckets} FROM {table} WHERE {where}")  # noqa: S608 - names of ours
            values += [*names, begin_ms, end_ms]
        rows = sql.execute(
            f"""SELECT series_id, at_ms / ? * ? AS bucket, min(low), max(high), sum(mean * count) / sum(count),
                sum(count)
            FROM ({" UNION ALL ".join(parts)}) AS parts
            GROUP BY series_id, bucket ORDER BY series_id, bucket""",  # noqa: S608 - names of ours
            (bucket_ms, bucket_ms, *values),
        )
        series: dict[str, tuple[Bucket, ...]] = dict.fromkeys(names.values(), ())
        for series_id, series_rows in groupby(rows, key=itemgetter(0)):
            series[names[series_id]] = tuple(Bucket(*columns) for _, *columns in series_rows)
        return series


def floor_ms(at_ms: int, step_ms: int) -> int:
    """Return the begin of the step that contains `at_ms`."""
    return at_ms // step_ms * step_ms


def move_series(connection: Sql, device_id: str, heir_id: str) -> None:
    """Give the series of a device to another row that turned out to be the same board.

    If both have a value of a time, the value of `heir_id` stays.
    """
    connection.execute(
        """UPDATE telemetry_series SET device_id = ?2 WHERE device_id = ?1
        AND key NOT IN (SELECT key FROM telemetry_series WHERE device_id = ?2)""",
        (device_id, heir_id),
    )
    both = """SELECT gone.series_id, kept.series_id FROM telemetry_series gone
        JOIN telemetry_series kept ON kept.key = gone.key WHERE gone.device_id = ? AND kept.device_id = ?"""
    for old_series, heir_series in connection.execute(both, (device_id, heir_id)).fetchall():
        for table in ("telemetry_raw", "telemetry_minutes", "telemetry_hours"):
            connection.execute(
                f"""UPDATE {table} SET series_id = ?1 WHERE series_id = ?2 AND NOT EXISTS (
                    SELECT 1 FROM {table} AS there
                    WHERE there.series_id = ?1 AND there.at_ms = {table}.at_ms)""",  # noqa: S608 - names of ours
                (heir_series, old_series),
            )


def insert_points(sql: Sql, points: Sequence[Point]) -> Counter[str]:
    """Store points within the caller's transaction; return how many of each device found no room for their series.

    Points of a device that was removed meanwhile are dropped.
    """
    if not points:
        return Counter()
    rows = [(point.device_id, point.key, point.at_ms, point.value) for point in points]
    insert = """INSERT INTO telemetry_raw (at_ms, series_id, value)
        SELECT ?3, series_id, ?4 FROM telemetry_series WHERE device_id = ?1 AND key = ?2 ON CONFLICT DO NOTHING"""
    full: set[tuple[str, str]] = set()
    if sql.executemany(insert, rows).rowcount < len(rows):
        for device_id, key in dict.fromkeys((point.device_id, point.key) for point in points):
            if _has_no_room(sql, device_id, key):
                full.add((device_id, key))
        sql.executemany(insert, rows)
    # If the clock was set back, the buckets since then are computed again from all their values.
    earliest_ms = min(point.at_ms for point in points)
    sql.execute(
        "UPDATE telemetry_state SET minutes_ms = ?1, hours_ms = least(hours_ms, ?2) WHERE minutes_ms > ?1",
        (floor_ms(earliest_ms, MINUTE_MS), floor_ms(earliest_ms, HOUR_MS)),
    )
    return Counter(point.device_id for point in points if (point.device_id, point.key) in full)


def _has_no_room(sql: Sql, device_id: str, key: str) -> bool:
    """Make the series of a device, in place of an idle one if needed; return True if that is not possible.

    A device that was removed needs no series, so the result is False.
    """
    for _ in range(2):
        make = """INSERT INTO telemetry_series (device_id, key) SELECT device_id, ?2 FROM devices WHERE device_id = ?1
            AND (SELECT count(*) FROM telemetry_series WHERE device_id = ?1) < ?3
            AND (SELECT count(*) FROM telemetry_series) < ?4 ON CONFLICT DO NOTHING"""
        sql.execute(make, (device_id, key, MAX_SERIES, MAX_SERIES_IN_ALL))
        is_missing = """SELECT 1 FROM devices WHERE device_id = ?1
            AND NOT EXISTS (SELECT 1 FROM telemetry_series WHERE device_id = ?1 AND key = ?2)"""
        if sql.execute(is_missing, (device_id, key)).fetchone() is None:
            return False
        # The series without a value for the longest time makes room.
        sql.execute(
            """UPDATE telemetry_series SET device_id = NULL WHERE series_id = (
                SELECT series_id FROM (SELECT series_id, coalesce(
                    (SELECT max(at_ms) FROM telemetry_minutes m WHERE m.series_id = s.series_id),
                    (SELECT max(at_ms) FROM telemetry_hours h WHERE h.series_id = s.series_id)) AS last_ms
                    FROM telemetry_series s WHERE device_id = ?1) AS those
                WHERE last_ms < (SELECT minutes_ms FROM telemetry_state) - ?2 ORDER BY last_ms, series_id LIMIT 1)""",
            (device_id, IDLE_MS),
        )
    return True
