"""Rows of what devices measured: series, values as they came, buckets of a minute and of an hour. It makes no buckets.

Values lie by time, so that writing them touches few pages; buckets lie by series. store/downsampling.py makes one of
the other.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from microclaw.store.database import Database
from microclaw.store.rows import one_of
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


@dataclass(frozen=True, slots=True)
class Point:
    """A value of a device's series, when it reached this host."""

    device_id: str
    key: str
    at_ms: int
    value: float


@dataclass(frozen=True, slots=True)
class Inserted:
    """The numbers of series that were looked up, and how many points of each device found no room."""

    numbers: dict[tuple[str, str], int]
    refused: Counter[str]


@dataclass(frozen=True, slots=True)
class Bucket:
    """The values of a stretch of time that begins at `at_ms`."""

    at_ms: int
    low: float
    high: float
    mean: float
    count: int


class TelemetryTable:
    """Series and their points in one database."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._ids: dict[tuple[str, str], int] = {}
        database.follow(("telemetry_series", "devices"), self._forget_numbers)

    async def _forget_numbers(self) -> None:
        """Another host made series, or gave some up: their numbers are looked up again."""
        self._ids.clear()

    async def append(self, points: Sequence[Point]) -> Counter[str]:
        """Keep the points; returns how many of each device found no room for their series."""
        return self.learn(await self._database.write(lambda connection: self.insert(connection, points)))

    def insert(self, connection: Sql, points: Sequence[Point]) -> Inserted:
        """Within the caller's transaction; `learn` what it returns once that is committed.

        Points of a device that is gone meanwhile are dropped with it.
        """
        return _insert(connection, points, self._ids)

    def learn(self, inserted: Inserted) -> Counter[str]:
        self._ids.update(inserted.numbers)
        if len(self._ids) > 2 * MAX_SERIES_IN_ALL:  # of devices that are gone
            self._ids.clear()
        return inserted.refused

    async def keys(self, device_id: str) -> tuple[str, ...]:
        """The names of a device's series, in order."""
        query = "SELECT key FROM telemetry_series WHERE device_id = ? ORDER BY key"
        rows = await self._database.read(lambda connection: connection.execute(query, (device_id,)).fetchall())
        return tuple(key for (key,) in rows)

    async def read(
        self, device_id: str, keys: Collection[str], since_ms: int, until_ms: int, bucket_ms: int, source: Source
    ) -> dict[str, tuple[Bucket, ...]]:
        """Buckets of each series within a time, by name; those without a value are left out.

        What is not in a bucket of `source` yet is read from what the bucket will be made of.
        """
        return await self._database.read(
            lambda connection: _read(connection, device_id, keys, since_ms, until_ms, bucket_ms, source)
        )


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


def _insert(connection: Sql, points: Sequence[Point], known: Mapping[tuple[str, str], int]) -> Inserted:
    inserted = Inserted({}, Counter())
    full: set[tuple[str, str]] = set()
    rows: list[tuple[int, float, int, str, str]] = []
    for point in points:
        place = (point.device_id, point.key)
        number = inserted.numbers.get(place) or known.get(place) or 0
        if not number and place not in full:
            number = _series(connection, place, inserted.numbers)
        if number:
            rows.append((point.at_ms, point.value, number, *place))
        else:
            full.add(place)
            inserted.refused[point.device_id] += 1
    if rows:
        connection.executemany(
            """INSERT INTO telemetry_raw (at_ms, series_id, value)
            SELECT ?1, series_id, ?2 FROM telemetry_series WHERE series_id = ?3 AND device_id = ?4 AND key = ?5
            ON CONFLICT DO NOTHING""",
            rows,
        )
        # A clock that was set back: the buckets since then are made again, of all their values.
        earliest = min(row[0] for row in rows)
        connection.execute(
            """UPDATE telemetry_state SET minutes_ms = ?1,
                hours_ms = CASE WHEN hours_ms < ?2 THEN hours_ms ELSE ?2 END WHERE minutes_ms > ?1""",
            (floor_ms(earliest, MINUTE_MS), floor_ms(earliest, HOUR_MS)),
        )
    return inserted


def _series(connection: Sql, place: tuple[str, str], numbers: dict[tuple[str, str], int]) -> int:
    """The series' number, also kept in `numbers`; 0 when there is no room for one more, or no such device."""
    of = "SELECT series_id FROM telemetry_series WHERE device_id = ? AND key = ?"
    room = """INSERT INTO telemetry_series (device_id, key) SELECT device_id, ?2 FROM devices WHERE device_id = ?1
        AND (SELECT count(*) FROM telemetry_series WHERE device_id = ?1) < ?3
        AND (SELECT count(*) FROM telemetry_series) < ?4 RETURNING series_id"""
    row = connection.execute(of, place).fetchone()
    for _ in range(2):
        row = row or connection.execute(room, (*place, MAX_SERIES, MAX_SERIES_IN_ALL)).fetchone()
        if row is None and (key := _give_up_idle(connection, place[0])) is not None:
            numbers[(place[0], key)] = 0  # it is looked up again, should it come back
    if row is not None:
        numbers[place] = int(row[0])
    return numbers.get(place, 0)


def _give_up_idle(connection: Sql, device_id: str) -> str | None:
    """Take the series away that had no value for the longest time; its name."""
    row = connection.execute(
        """UPDATE telemetry_series SET device_id = NULL WHERE series_id = (
            SELECT series_id FROM (SELECT series_id, coalesce(
                (SELECT max(at_ms) FROM telemetry_minutes m WHERE m.series_id = s.series_id),
                (SELECT max(at_ms) FROM telemetry_hours h WHERE h.series_id = s.series_id)) AS last_ms
                FROM telemetry_series s WHERE device_id = ?1) AS those
            WHERE last_ms < (SELECT minutes_ms FROM telemetry_state) - ?2 ORDER BY last_ms, series_id LIMIT 1
        ) RETURNING key""",
        (device_id, IDLE_MS),
    ).fetchone()
    return None if row is None else str(row[0])


def _read(
    connection: Sql,
    device_id: str,
    keys: Collection[str],
    since_ms: int,
    until_ms: int,
    bucket_ms: int,
    source: Source,
) -> dict[str, tuple[Bucket, ...]]:
    of = "SELECT series_id, key FROM telemetry_series WHERE device_id = ?"
    wanted = {int(number): key for number, key in connection.execute(of, (device_id,)) if key in keys}
    minutes_ms, hours_ms = connection.execute("SELECT minutes_ms, hours_ms FROM telemetry_state").fetchone()
    minutes_end = 0 if source == "raw" else minutes_ms
    hours_end = min(hours_ms, minutes_ms) if source == "hours" else 0
    names = tuple(wanted)
    parts, values = [], []
    for table, begin, end in (
        ("telemetry_hours", since_ms, min(until_ms, hours_end)),
        ("telemetry_minutes", max(since_ms, hours_end), min(until_ms, minutes_end)),
    ):
        parts.append(
            f"SELECT series_id, at_ms, low, high, mean, count FROM {table} "  # noqa: S608 - names of ours
            f"WHERE series_id {one_of(names)} AND at_ms >= ? AND at_ms < ?"
        )
        values += [*names, begin, end]
    parts.append(
        "SELECT series_id, at_ms, value, value, value, 1 FROM telemetry_raw "  # noqa: S608 - marks alone
        f"WHERE at_ms >= ? AND at_ms < ? AND series_id {one_of(names)}"
    )
    values += [max(since_ms, minutes_end), until_ms, *names]
    rows = connection.execute(
        f"""SELECT series_id, at_ms / ? * ? AS bucket, min(low), max(high), sum(mean * count) / sum(count), sum(count)
        FROM ({" UNION ALL ".join(parts)}) AS parts
        GROUP BY series_id, bucket ORDER BY series_id, bucket""",  # noqa: S608 - names of ours
        (bucket_ms, bucket_ms, *values),
    )
    found: dict[str, list[Bucket]] = {wanted[number]: [] for number in sorted(wanted, key=lambda n: wanted[n])}
    for number, at_ms, low, high, mean, count in rows:
        found[wanted[number]].append(Bucket(at_ms, low, high, mean, count))
    return {key: tuple(buckets) for key, buckets in found.items()}
