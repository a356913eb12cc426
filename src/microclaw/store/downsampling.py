"""Makes buckets of a minute of what devices measured, of those buckets of an hour, and deletes what is too old.

In steps that each hold the writer for a moment. A step may be done again: it writes whole buckets, made again of all
that they are made of, and says in the same transaction how far it came. So after a crash nothing counts twice. Where
values are deleted already (the clock was set back by more than a day) a bucket that is there stays as it is.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Final, TypeAlias

from microclaw.store.rows import Table, one_of, scalar
from microclaw.store.sql import Sql
from microclaw.store.telemetry import HOUR_MS, HOURS_MS, MINUTE_MS, MINUTES_MS, RAW_MS, floor_ms

LATE_MS: Final = MINUTE_MS  # values are written a few seconds after they came
BATCH_MS: Final = 10 * MINUTE_MS  # buckets of one series lie together: ten minutes at once touch a tenth of the pages
STEP_ROWS: Final = 20_000
DELETED_ROWS: Final = 5_000
DELETED_BUCKETS: Final = 1_920  # of a series at a time: 32 hours of minutes
DELETED_SERIES: Final = 1_024  # with each hour that is made, so that it holds the writer for less than a second
STEP_SERIES: Final = 50
_LIVE: Final = "SELECT series_id FROM telemetry_series WHERE device_id IS NOT NULL"

_Step: TypeAlias = Callable[[Sql], None]


class Downsampling(Table):
    """`step` until it says that nothing is left to do for now. One at a time."""

    async def step(self, now_ms: int) -> bool:
        """One transaction at most; False when nothing was due."""
        work = await self.database.read(lambda sql: _due(sql, now_ms))
        if work is not None:
            await self.database.write(work)
        return work is not None


def _due(sql: Sql, now_ms: int) -> _Step | None:
    begin_ms, closed_ms, minutes_ms, hours_ms = _open_minutes(sql, now_ms)
    if begin_ms >= hours_ms + HOUR_MS:
        return partial(_make_hour, now_ms=now_ms)
    if closed_ms - begin_ms >= BATCH_MS:
        return partial(_make_minutes, now_ms=now_ms)
    raw_cut_ms = min(floor_ms(now_ms - RAW_MS, MINUTE_MS), minutes_ms)
    oldest_ms = scalar(sql, "SELECT min(at_ms) FROM telemetry_raw")
    if oldest_ms is not None and oldest_ms < raw_cut_ms - HOUR_MS:  # a day is promised: an hour more is no matter
        return partial(_delete_raw, oldest_ms=oldest_ms, cut_ms=raw_cut_ms)
    return _forget if scalar(sql, "SELECT 1 FROM telemetry_series WHERE device_id IS NULL LIMIT 1") else None


def _open_minutes(sql: Sql, now_ms: int) -> tuple[int, int, int, int]:
    """The minute of the first value that is in no bucket yet; until when minutes are over; both ends of buckets."""
    closed_ms = floor_ms(now_ms - LATE_MS, MINUTE_MS)
    minutes_ms, hours_ms = sql.execute("SELECT minutes_ms, hours_ms FROM telemetry_state").fetchone()
    first_ms = scalar(sql, "SELECT min(at_ms) FROM telemetry_raw WHERE at_ms >= ?", (minutes_ms,))
    if first_ms is None:
        begin_ms = closed_ms
    else:
        begin_ms = min(floor_ms(first_ms, MINUTE_MS), closed_ms)
    return max(begin_ms, minutes_ms), closed_ms, minutes_ms, hours_ms


def _make_minutes(sql: Sql, now_ms: int) -> None:
    """Of one hour at most."""
    begin_ms, end_ms, _, hours_ms = _open_minutes(sql, now_ms)
    end_ms = _end_of_rows(sql, begin_ms, min(end_ms, hours_ms + HOUR_MS), STEP_ROWS)
    gone_ms = scalar(sql, "SELECT raw_gone_ms FROM telemetry_state")
    if begin_ms < gone_ms:
        end_ms = min(end_ms, gone_ms)
    values = "min(value), max(value), avg(value), count(*)"
    _make_buckets(sql, "telemetry_minutes", MINUTE_MS, values, "telemetry_raw", begin_ms, end_ms, gone_ms)
    sql.execute("UPDATE telemetry_state SET minutes_ms = ?", (end_ms,))


def _make_hour(sql: Sql, now_ms: int) -> None:
    """The first that is not made, and delete what is too old. The next one is that of the first open minute, where no
    buckets are between."""
    begin_ms, _, minutes_ms, hours_ms = _open_minutes(sql, now_ms)
    gone_ms = scalar(sql, "SELECT minutes_gone_ms FROM telemetry_state")
    values = "min(low), max(high), sum(mean * count) / sum(count), sum(count)"
    _make_buckets(sql, "telemetry_hours", HOUR_MS, values, "telemetry_minutes", hours_ms, hours_ms + HOUR_MS, gone_ms)
    cut_ms = min(floor_ms(now_ms - MINUTES_MS, HOUR_MS), hours_ms)
    for table, before_ms in (("telemetry_hours", now_ms - HOURS_MS), ("telemetry_minutes", cut_ms)):
        query = f"""{_LIVE} AND EXISTS (SELECT 1 FROM {table} WHERE {table}.series_id = telemetry_series.series_id
            AND at_ms < ?) ORDER BY random() LIMIT ?"""  # noqa: S608 - names of ours; in turn, where there are many
        chosen = [number for (number,) in sql.execute(query, (before_ms, DELETED_SERIES))]
        _delete_buckets(sql, table, chosen, before_ms, DELETED_BUCKETS)
    sql.execute("UPDATE telemetry_state SET minutes_gone_ms = ?1 WHERE minutes_gone_ms < ?1", (cut_ms,))
    if minutes_ms <= hours_ms + HOUR_MS:
        sql.execute("UPDATE telemetry_state SET minutes_ms = ?, hours_ms = ?", (begin_ms, floor_ms(begin_ms, HOUR_MS)))
    else:
        sql.execute("UPDATE telemetry_state SET hours_ms = ?", (hours_ms + HOUR_MS,))


def _make_buckets(
    sql: Sql, table: str, step_ms: int, values: str, source: str, begin_ms: int, end_ms: int, gone_ms: int
) -> None:
    """Of each series, made again of what they are made of; one that is there stays where some of that is deleted."""
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
    """Delete values older than a day that are in their minute's bucket; whole minutes alone."""
    cut_ms = _end_of_rows(sql, floor_ms(oldest_ms, MINUTE_MS), cut_ms, DELETED_ROWS)
    sql.execute("DELETE FROM telemetry_raw WHERE at_ms < ?", (cut_ms,))
    sql.execute("UPDATE telemetry_state SET raw_gone_ms = ?1 WHERE raw_gone_ms < ?1", (cut_ms,))


def _end_of_rows(sql: Sql, begin_ms: int, end_ms: int, count: int) -> int:
    """The end of whole minutes from `begin_ms` on, of one at least, that have about so many values."""
    query = "SELECT at_ms FROM telemetry_raw WHERE at_ms >= ? ORDER BY at_ms LIMIT 1 OFFSET ?"
    row_ms = scalar(sql, query, (begin_ms, count))
    if row_ms is None:
        return end_ms
    return min(end_ms, max(floor_ms(row_ms, MINUTE_MS), begin_ms + MINUTE_MS))


def _delete_buckets(sql: Sql, table: str, series: Sequence[int], cut_ms: int, most: int) -> int:
    """The oldest of each series before that time, so many at most; how many that were."""
    return sql.executemany(
        f"""DELETE FROM {table} WHERE series_id = ?1 AND at_ms IN (SELECT at_ms FROM {table}
        WHERE series_id = ?1 AND at_ms < ?2 ORDER BY at_ms LIMIT ?3)""",  # noqa: S608 - names of ours
        [(number, cut_ms, most) for number in series],
    ).rowcount


def _forget(sql: Sql) -> None:
    """Series whose device is gone: their buckets, then their values, which lie among those of others."""
    query = "SELECT series_id FROM telemetry_series WHERE device_id IS NULL ORDER BY series_id LIMIT ?"
    gone = tuple(number for (number,) in sql.execute(query, (STEP_SERIES,)))
    for table in ("telemetry_minutes", "telemetry_hours"):
        if _delete_buckets(sql, table, gone, 1 << 62, DELETED_ROWS // STEP_SERIES):
            return
    for table in ("telemetry_raw", "telemetry_series"):
        sql.execute(f"DELETE FROM {table} WHERE series_id {one_of(gone)}", gone)  # noqa: S608 - names of ours
