"""Rows of what devices measured: series, values as they came, buckets of a minute and of an hour. It makes no buckets.

Values lie by time, so that writing them touches few pages; buckets lie by series. store/downsampling.py makes one of
the other.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from typing import Final, Literal, TypeAlias

from msgspec import Struct

from microclaw.store.rows import Table, one_of, reads, writes
from microclaw.store.sql import Sql

MINUTE_MS: Final = 60_000
HOUR_MS: Final = 3_600_000
DAY_MS: Final = 86_400_000
RAW_MS: Final = DAY_MS
MINUTES_MS: Final = 30 * DAY_MS
HOURS_MS: Final = 5 * 365 * DAY_MS
MAX_SERIES: Final = 32  # a device
MAX_SERIES_IN_ALL: Final = 8_192
IDLE_MS: Final = 7 * DAY_MS  # so long without a value, a series gives way to a new one
Source: TypeAlias = Literal["raw", "minutes", "hours"]


class Point(Struct, frozen=True):
    """A value of a device's series, when it reached this host."""

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
        """As `insert_points`."""
        return insert_points(sql, points)

    @reads
    def keys(self, sql: Sql, device_id: str) -> tuple[str, ...]:
        """The names of a device's series, in order."""
        rows = sql.execute("SELECT key FROM telemetry_series WHERE device_id = ? ORDER BY key", (device_id,))
        return tuple(key for (key,) in rows)

    @reads
    def read(
        self,
        sql: Sql,
        device_id: str,
        keys: Collection[str],
        since_ms: int,
        until_ms: int,
        bucket_ms: int,
        source: Source,
    ) -> dict[str, tuple[Bucket, ...]]:
        """Buckets of each series within a time, by name; those without a value are left out.

        What is not in a bucket of `source` yet is read from what the bucket will be made of.
        """
        of = "SELECT series_id, key FROM telemetry_series WHERE device_id = ? ORDER BY key"
        wanted = {number: key for number, key in sql.execute(of, (device_id,)) if key in keys}
        minutes_ms, hours_ms = sql.execute("SELECT minutes_ms, hours_ms FROM telemetry_state").fetchone()
        minutes_end = 0 if source == "raw" else minutes_ms
        if source == "hours":
            hours_end = min(hours_ms, minutes_ms)
        else:
            hours_end = 0
        parts = []
        values = []
        for table, buckets, begin, end in (
            ("telemetry_hours", "low, high, mean, count", since_ms, min(until_ms, hours_end)),
            ("telemetry_minutes", "low, high, mean, count", max(since_ms, hours_end), min(until_ms, minutes_end)),
            ("telemetry_raw", "value, value, value, 1", max(since_ms, minutes_end), until_ms),
        ):
            where = f"series_id {one_of(wanted)} AND at_ms >= ? AND at_ms < ?"
            parts.append(f"SELECT series_id, at_ms, {buckets} FROM {table} WHERE {where}")  # noqa: S608 - names of ours
            values += [*wanted, begin, end]
        rows = sql.execute(
            f"""SELECT series_id, at_ms / ? * ? AS bucket, min(low), max(high), sum(mean * count) / sum(count),
                sum(count)
            FROM ({" UNION ALL ".join(parts)}) AS parts
            GROUP BY series_id, bucket ORDER BY series_id, bucket""",  # noqa: S608 - names of ours
            (bucket_ms, bucket_ms, *values),
        )
        found: dict[str, list[Bucket]] = {key: [] for key in wanted.values()}
        for number, *bucket in rows:
            found[wanted[number]].append(Bucket(*bucket))
        return {key: tuple(buckets) for key, buckets in found.items()}


def floor_ms(at_ms: int, step_ms: int) -> int:
    return at_ms // step_ms * step_ms


def move_series(connection: Sql, device_id: str, heir_id: str) -> None:
    """Two devices are one: what is kept of the first is the other's. Where both have a value the other's counts."""
    connection.execute(
        """UPDATE telemetry_series SET device_id = ?2 WHERE device_id = ?1
        AND key NOT IN (SELECT key FROM telemetry_series WHERE device_id = ?2)""",
        (device_id, heir_id),
    )
    both = """SELECT gone.series_id, kept.series_id FROM telemetry_series gone
        JOIN telemetry_series kept ON kept.key = gone.key WHERE gone.device_id = ? AND kept.device_id = ?"""
    for gone, kept in connection.execute(both, (device_id, heir_id)).fetchall():
        for table in ("telemetry_raw", "telemetry_minutes", "telemetry_hours"):
            connection.execute(
                f"""UPDATE {table} SET series_id = ?1 WHERE series_id = ?2 AND NOT EXISTS (
                    SELECT 1 FROM {table} AS there
                    WHERE there.series_id = ?1 AND there.at_ms = {table}.at_ms)""",  # noqa: S608 - names of ours
                (kept, gone),
            )


def insert_points(sql: Sql, points: Sequence[Point]) -> Counter[str]:
    """Keep them, within the caller's transaction; returns how many of each device found no room for their series.

    Points of a device that is gone meanwhile are dropped with it.
    """
    rows = [(point.device_id, point.key, point.at_ms, point.value) for point in points]
    insert = """INSERT INTO telemetry_raw (at_ms, series_id, value)
        SELECT ?3, series_id, ?4 FROM telemetry_series WHERE device_id = ?1 AND key = ?2 ON CONFLICT DO NOTHING"""
    full: set[tuple[str, str]] = set()
    if rows and sql.executemany(insert, rows).rowcount < len(rows):
        full = {series for series in dict.fromkeys(row[:2] for row in rows) if _has_no_room(sql, *series)}
        sql.executemany(insert, rows)
    if rows:  # A clock that was set back: the buckets since then are made again, of all their values.
        earliest = min(point.at_ms for point in points)
        sql.execute(
            "UPDATE telemetry_state SET minutes_ms = ?1, hours_ms = least(hours_ms, ?2) WHERE minutes_ms > ?1",
            (floor_ms(earliest, MINUTE_MS), floor_ms(earliest, HOUR_MS)),
        )
    return Counter(point.device_id for point in points if (point.device_id, point.key) in full)


def _has_no_room(sql: Sql, device_id: str, key: str) -> bool:
    """True if the device is to have the series and cannot; it is made where there is room, or one that is idle."""
    for _ in range(2):
        made = """INSERT INTO telemetry_series (device_id, key) SELECT device_id, ?2 FROM devices WHERE device_id = ?1
            AND (SELECT count(*) FROM telemetry_series WHERE device_id = ?1) < ?3
            AND (SELECT count(*) FROM telemetry_series) < ?4 ON CONFLICT DO NOTHING"""
        sql.execute(made, (device_id, key, MAX_SERIES, MAX_SERIES_IN_ALL))
        lacking = """SELECT 1 FROM devices WHERE device_id = ?1
            AND NOT EXISTS (SELECT 1 FROM telemetry_series WHERE device_id = ?1 AND key = ?2)"""
        if sql.execute(lacking, (device_id, key)).fetchone() is None:
            return False
        sql.execute(  # the one that had no value for the longest time gives way
            """UPDATE telemetry_series SET device_id = NULL WHERE series_id = (
                SELECT series_id FROM (SELECT series_id, coalesce(
                    (SELECT max(at_ms) FROM telemetry_minutes m WHERE m.series_id = s.series_id),
                    (SELECT max(at_ms) FROM telemetry_hours h WHERE h.series_id = s.series_id)) AS last_ms
                    FROM telemetry_series s WHERE device_id = ?1) AS those
                WHERE last_ms < (SELECT minutes_ms FROM telemetry_state) - ?2 ORDER BY last_ms, series_id LIMIT 1)""",
            (device_id, IDLE_MS),
        )
    return True
