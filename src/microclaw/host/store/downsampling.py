"""Makes buckets of a minute from measured values, and buckets of an hour from these. Deletes old values and buckets.

It works in steps that each hold the writer for a moment. A step may be repeated: it writes whole buckets, computed
again from all their values, and stores in the same transaction how far it came. So after a crash no value counts
twice. If values are already deleted (the clock was set back by more than a day), an existing bucket stays as it is.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Final, TypeAlias

from microclaw.host.store.rows import Table, one_of, scalar
from microclaw.host.store.sql import Sql
from microclaw.host.store.telemetry import HOUR_MS, HOURS_MS, MINUTE_MS, MINUTES_MS, RAW_MS, floor_ms

# Values are written a few seconds after they came.
LATE_MS: Final = MINUTE_MS
# Buckets of one series lie together: making ten minutes at once touches a tenth of the pages.
BATCH_MS: Final = 10 * MINUTE_MS
STEP_ROWS: Final = 20_000
DELETED_ROWS: Final = 5_000
# Of one series at a time: 32 hours of minutes.
DELETED_BUCKETS: Final = 1_920
# With each hour that is made, so that the step holds the writer for less than a second.
DELETED_SERIES: Final = 1_024
STEP_SERIES: Final = 50
_LIVE: Final = "SELECT series_id FROM telemetry_series WHERE device_id IS NOT NULL"

_Step: TypeAlias = Callable[[Sql], None]


class Downsampling(Table):
    """The steps that make buckets. Call `step` until it returns False, one call at a time."""

    async def step(self, now_ms: int) -> bool:
        """Do one transaction at most; return False if nothing was due."""
        due_step = await self.database.read(lambda sql: _due(sql, now_ms))
        if due_step is not None:
            await self.database.write(due_step)
        return due_step is not None


def _due(sql: Sql, now_ms: int) -> _Step | None:
    """Return the most urgent step, or None if nothing is due."""
    begin_ms, closed_ms, minutes_ms, hours_ms = _open_minutes(sql, now_ms)
    if begin_ms >= hours_ms + HOUR_MS:
        return partial(_make_hour, now_ms=now_ms)
    if closed_ms - begin_ms >= BATCH_MS:
        return partial(_make_minutes, now_ms=now_ms)
    raw_cut_ms = min(floor_ms(now_ms - RAW_MS, MINUTE_MS), minutes_ms)
    oldest_ms = scalar(sql, "SELECT min(at_ms) FROM telemetry_raw")
    # Values are promised for a day. Waiting an hour more saves many small deletions.
    if oldest_ms is not None and oldest_ms < raw_cut_ms - HOUR_MS:
        return partial(_delete_raw, oldest_ms=oldest_ms, cut_ms=raw_cut_ms)
    if scalar(sql, "SELECT 1 FROM telemetry_series WHERE device_id IS NULL LIMIT 1"):
        return _forget
    return None


def _open_minutes(sql: Sql, now_ms: int) -> tuple[int, int, int, int]:
    """Return (begin_ms, closed_ms, minutes_ms, hours_ms), the borders of the minutes that are in no bucket yet.

    `begin_ms` is the minute of the first value without a bucket, `closed_ms` the end of the last minute that is over,
    `minutes_ms` and `hours_ms` the ends of the buckets of a minute and of an hour.
    """
    closed_ms = floor_ms(now_ms - LATE_MS, MINUTE_MS)
    minutes_ms, hours_ms = sql.execute("SELECT minutes_ms, hours_ms FROM telemetry_state").fetchone()
    first_ms = scalar(sql, "SELECT min(at_ms) FROM telemetry_raw WHERE at_ms >= ?", (minutes_ms,))
    if first_ms is None:
        begin_ms = closed_ms
    else:
        begin_ms = min(floor_ms(first_ms, MINUTE_MS), closed_ms)
    return max(begin_ms, minutes_ms), closed_ms, minutes_ms, hours_ms


def _make_minutes(sql: Sql, now_ms: int) -> None:
    """Make the next buckets of a minute, of one hour at most."""
    begin_ms, end_ms, _, hours_ms = _open_minutes(sql, now_ms)
    end_ms = _end_of_rows(sql, begin_ms, min(end_ms, hours_ms + HOUR_MS), STEP_ROWS)
    gone_ms = scalar(sql, "SELECT raw_gone_ms FROM telemetry_state")
    if begin_ms < gone_ms:
        end_ms = min(end_ms, gone_ms)
    _make_buckets(
        sql,
        table="telemetry_minutes",
        step_ms=MINUTE_MS,
        values="min(value), max(value), avg(value), count(*)",
        source="telemetry_raw",
        begin_ms=begin_ms,
        end_ms=end_ms,
        gone_ms=gone_ms,
    )
    sql.execute("UPDATE telemetry_state SET minutes_ms = ?", (end_ms,))


def _make_hour(sql: Sql, now_ms: int) -> None:
    """Make the next bucket of an hour, and delete buckets that are too old.

    If no buckets of a minute follow it, the next hour is the hour of the first open minute.
    """
    begin_ms, _, minutes_ms, hours_ms = _open_minutes(sql, now_ms)
    _make_buckets(
        sql,
        table="telemetry_hours",
        step_ms=HOUR_MS,
        values="min(low), max(high), sum(mean * count) / sum(count), sum(count)",
        source="telemetry_minutes",
        begin_ms=hours_ms,
        end_ms=hours_ms + HOUR_MS,
        gone_ms=scalar(sql, "SELECT minutes_gone_ms FROM telemetry_state"),
    )
    minutes_cut_ms = min(floor_ms(now_ms - MINUTES_MS, HOUR_MS), hours_ms)
    _delete_old_buckets(sql, "telemetry_hours", now_ms - HOURS_MS)
    _delete_old_buckets(sql, "telemetry_minutes", minutes_cut_ms)
    sql.execute("UPDATE telemetry_state SET minutes_gone_ms = ?1 WHERE minutes_gone_ms < ?1", (minutes_cut_ms,))
    if minutes_ms <= hours_ms + HOUR_MS:
        sql.execute("UPDATE telemetry_state SET minutes_ms = ?, hours_ms = ?", (begin_ms, floor_ms(begin_ms, HOUR_MS)))
    else:
        sql.execute("UPDATE telemetry_state SET hours_ms = ?", (hours_ms + HOUR_MS,))


def _delete_old_buckets(sql: Sql, table: str, before_ms: int) -> None:
    """Delete buckets of up to DELETED_SERIES series, chosen at random so that every series gets its turn."""
    query = f"""{_LIVE} AND EXISTS (SELECT 1 FROM {table} WHERE {table}.series_id = telemetry_series.series_id
        AND at_ms < ?) ORDER BY random() LIMIT ?"""  # noqa: S608 - names of ours
    series_ids = [series_id for (series_id,) in sql.execute(query, (before_ms, DELETED_SERIES))]
    _delete_buckets(sql, table, series_ids, before_ms, DELETED_BUCKETS)


def _make_buckets(
    sql: Sql, *, table: str, step_ms: int, values: str, source: str, begin_ms: int, end_ms: int, gone_ms: int
) -> None:
    """Compute the buckets of each series again from their `source`.

    If part of the source was deleted (before `gone_ms`), existing buckets stay as they are.
    """
    news = ", ".join(f"{column} = excluded.{column}" for column in ("low", "high", "mean", "count"))
    if begin_ms < gone_ms:
        over = "DO NOTHING"
    else:
        over = f"(series_id, at_ms) DO UPDATE SET {news}"
    sql.execute(
        f"""INSERT INTO {table} (series_id, at_ms, low, high, mean, count)
        SELECT series_id, at_ms / {step_ms} * {step_ms} AS bucket, {values} FROM {source}
        WHERE at_ms >= ? AND at_ms < ? AND series_id IN ({_LIVE}) GROUP BY series_id, bucket ON CONFLICT {over}""",  # noqa: S608 - words of ours
        (begin_ms, end_ms),
    )


def _delete_raw(sql: Sql, oldest_ms: int, cut_ms: int) -> None:
    """Delete values older than a day that are in their minute's bucket, in whole minutes only."""
    cut_ms = _end_of_rows(sql, floor_ms(oldest_ms, MINUTE_MS), cut_ms, DELETED_ROWS)
    sql.execute("DELETE FROM telemetry_raw WHERE at_ms < ?", (cut_ms,))
    sql.execute("UPDATE telemetry_state SET raw_gone_ms = ?1 WHERE raw_gone_ms < ?1", (cut_ms,))


def _end_of_rows(sql: Sql, begin_ms: int, end_ms: int, count: int) -> int:
    """Return the end of the whole minutes from `begin_ms` on, at least one, that have about `count` values."""
    query = "SELECT at_ms FROM telemetry_raw WHERE at_ms >= ? ORDER BY at_ms LIMIT 1 OFFSET ?"
    row_ms = scalar(sql, query, (begin_ms, count))
    if row_ms is None:
        return end_ms
    return min(end_ms, max(floor_ms(row_ms, MINUTE_MS), begin_ms + MINUTE_MS))


def _delete_buckets(sql: Sql, table: str, series_ids: Sequence[int], cut_ms: int, most: int) -> int:
    """Delete the oldest buckets of each series before that time, up to `most` of each; return how many were deleted."""
    return sql.executemany(
        f"""DELETE FROM {table} WHERE series_id = ?1 AND at_ms IN (SELECT at_ms FROM {table}
        WHERE series_id = ?1 AND at_ms < ?2 ORDER BY at_ms LIMIT ?3)""",  # noqa: S608 - names of ours
        [(series_id, cut_ms, most) for series_id in series_ids],
    ).rowcount


def _forget(sql: Sql) -> None:
    """Delete series whose device was removed: their buckets, then their values, which lie among other values."""
    query = "SELECT series_id FROM telemetry_series WHERE device_id IS NULL ORDER BY series_id LIMIT ?"
    series_ids = tuple(series_id for (series_id,) in sql.execute(query, (STEP_SERIES,)))
    for table in ("telemetry_minutes", "telemetry_hours"):
        if _delete_buckets(sql, table, series_ids, 1 << 62, DELETED_ROWS // STEP_SERIES):
            return
    for table in ("telemetry_raw", "telemetry_series"):
        sql.execute(f"DELETE FROM {table} WHERE series_id {one_of(series_ids)}", series_ids)  # noqa: S608 - names of ours  # noqa: S608 - names of ours
