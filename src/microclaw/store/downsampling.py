"""Makes buckets of a minute of what devices measured, of those buckets of an hour, and deletes what is too old.

In steps that each hold the writer for a moment. A step may be done again: it writes whole buckets, made anew of all
that they are made of, and says in the same transaction how far it came. So after a crash nothing counts twice. Where
values are deleted already (the clock was set back by more than a day) a bucket that is there stays as it is.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final, TypeAlias

from microclaw.store.database import Database
from microclaw.store.rows import one_of
from microclaw.store.sql import Sql
from microclaw.store.telemetry import DAY_MS, HOUR_MS, HOURS_MS, MINUTE_MS, MINUTES_MS, RAW_MS, floor_ms

LATE_MS: Final = MINUTE_MS  # values are written a few seconds after they came
BATCH_MS: Final = 10 * MINUTE_MS  # buckets of one series lie together: ten minutes at once touch a tenth of the pages
STEP_ROWS: Final = 20_000
DELETED_ROWS: Final = 5_000
STEP_SERIES: Final = 50
_OVERWRITE: Final = """UPDATE
    SET low = excluded.low, high = excluded.high, mean = excluded.mean, count = excluded.count"""


@dataclass(frozen=True, slots=True)
class _HourRound:
    """A way through all series: hours up to `end_ms`, from what was `began_ms` then; `done` is the last series."""

    began_ms: int
    end_ms: int
    done: int = 0


@dataclass(frozen=True, slots=True)
class _Rounds:
    """How far the rounds came. A step gives the next one back: it may run more than once before it is committed."""

    hours: _HourRound | None = None
    swept_ms: int = -1
    sweeping: frozenset[int] = frozenset()


_Step: TypeAlias = Callable[[Sql, int, _Rounds], _Rounds]


class Downsampling:
    """`step` until it says that nothing is left to do for now. One at a time."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self._rounds = _Rounds()

    async def step(self, now_ms: int) -> bool:
        """One transaction at most; False when nothing was due."""
        work = await self.database.read(lambda connection: _due(connection, now_ms))
        if work is None:
            return False
        rounds, self._rounds = self._rounds, _Rounds()  # they begin anew where nobody knows how far the step came
        self._rounds = await self.database.write(lambda connection: work(connection, now_ms, rounds))
        return True


def _due(connection: Sql, now_ms: int) -> _Step | None:
    if _minutes_due(connection, now_ms):
        return _minutes_step
    if _hours_due(connection, now_ms):
        return _hours_step
    if _raw_due(connection, now_ms):
        return _delete_raw
    return _sweep_step if _sweep_due(connection) else None


def _minutes_step(connection: Sql, now_ms: int, rounds: _Rounds) -> _Rounds:
    begin_ms = _make_minutes(connection, now_ms)
    if rounds.hours is not None and begin_ms < rounds.hours.end_ms:
        return replace(rounds, hours=None)  # the clock was set back: hours of that round have other minutes now
    return rounds


# Hours, and what is deleted of each series


def _hours_step(connection: Sql, now_ms: int, rounds: _Rounds) -> _Rounds:
    minutes_ms, hours_ms = connection.execute("SELECT minutes_ms, hours_ms FROM telemetry_state").fetchone()
    found = rounds.hours
    if found is None or found.began_ms != hours_ms or found.end_ms > minutes_ms:
        found = _HourRound(hours_ms, floor_ms(min(minutes_ms, now_ms), HOUR_MS))
    at_once = STEP_SERIES if found.end_ms - found.began_ms <= DAY_MS else 1
    next_series = "SELECT series_id FROM telemetry_series WHERE series_id > ? ORDER BY series_id LIMIT ?"
    numbers = [number for (number,) in connection.execute(next_series, (found.done, at_once))]
    cut_ms = min(floor_ms(now_ms - MINUTES_MS, HOUR_MS), found.end_ms)
    (gone_ms,) = connection.execute("SELECT minutes_gone_ms FROM telemetry_state").fetchone()
    for number in numbers:
        _make_hours(connection, number, found.began_ms, found.end_ms, gone_ms)
        connection.execute("DELETE FROM telemetry_minutes WHERE series_id = ? AND at_ms < ?", (number, cut_ms))
        connection.execute("DELETE FROM telemetry_hours WHERE series_id = ? AND at_ms < ?", (number, now_ms - HOURS_MS))
    if numbers:
        connection.execute("UPDATE telemetry_state SET minutes_gone_ms = ?1 WHERE minutes_gone_ms < ?1", (cut_ms,))
        return replace(rounds, hours=replace(found, done=numbers[-1]))
    connection.execute("UPDATE telemetry_state SET hours_ms = ?", (found.end_ms,))
    return replace(rounds, hours=None)


# Series whose device is gone


def _sweep_step(connection: Sql, _now_ms: int, rounds: _Rounds) -> _Rounds:
    """Of all of them at once the values, which lie by time; then buckets and name of one after the other."""
    swept_ms, sweeping = rounds.swept_ms, rounds.sweeping
    if swept_ms < 0:
        gone = "SELECT series_id FROM telemetry_series WHERE device_id IS NULL ORDER BY series_id LIMIT 64"
        swept_ms, sweeping = 0, frozenset(number for (number,) in connection.execute(gone))
    end_ms = _row_at(connection, swept_ms, STEP_ROWS)
    connection.execute(
        f"DELETE FROM telemetry_raw WHERE at_ms >= ? AND at_ms < ? AND series_id {one_of(sweeping)}",  # noqa: S608 - marks
        (swept_ms, end_ms if end_ms is not None else 1 << 62, *sweeping),
    )
    if end_ms is not None:
        return replace(rounds, swept_ms=end_ms, sweeping=sweeping)
    left = DELETED_ROWS
    for number in sorted(sweeping):
        for table in ("telemetry_minutes", "telemetry_hours"):
            left -= connection.execute(
                f"DELETE FROM {table} WHERE series_id = ?1 AND at_ms IN "  # noqa: S608 - names of ours
                f"(SELECT at_ms FROM {table} WHERE series_id = ?1 ORDER BY at_ms LIMIT ?2)",
                (number, left),
            ).rowcount
            if left <= 0:
                return replace(rounds, swept_ms=swept_ms, sweeping=sweeping)
        connection.execute("DELETE FROM telemetry_series WHERE series_id = ?", (number,))
    return replace(rounds, swept_ms=-1)


def _minutes_due(connection: Sql, now_ms: int) -> bool:
    closed_ms, begin_ms = floor_ms(now_ms - LATE_MS, MINUTE_MS), _first_open(connection)
    if begin_ms is not None:
        return closed_ms - begin_ms >= BATCH_MS
    (minutes_ms,) = connection.execute("SELECT minutes_ms FROM telemetry_state").fetchone()
    return bool(closed_ms - minutes_ms >= HOUR_MS)  # nothing came: hours and deletions go on


def _make_minutes(connection: Sql, now_ms: int) -> int:
    """Where it began."""
    end_ms = floor_ms(now_ms - LATE_MS, MINUTE_MS)
    begin_ms = _first_open(connection) or end_ms
    row_ms = _row_at(connection, begin_ms, STEP_ROWS)
    if row_ms is not None:
        end_ms = min(end_ms, max(floor_ms(row_ms, MINUTE_MS), begin_ms + MINUTE_MS))
    (gone_ms,) = connection.execute("SELECT raw_gone_ms FROM telemetry_state").fetchone()
    for where_it_is_there, begin, end in (
        ("NOTHING", begin_ms, min(end_ms, gone_ms)),
        (_OVERWRITE, max(begin_ms, gone_ms), end_ms),
    ):
        connection.execute(
            f"""INSERT INTO telemetry_minutes (series_id, at_ms, low, high, mean, count)
            SELECT series_id, at_ms / {MINUTE_MS} * {MINUTE_MS} AS minute, min(value), max(value), avg(value), count(*)
            FROM telemetry_raw WHERE at_ms >= ? AND at_ms < ?
            AND series_id IN (SELECT series_id FROM telemetry_series WHERE device_id IS NOT NULL)
            GROUP BY series_id, minute ON CONFLICT (series_id, at_ms) DO {where_it_is_there}""",  # noqa: S608 - words of ours
            (begin, end),
        )
    connection.execute(  # 0 until the first hour ever
        "UPDATE telemetry_state SET minutes_ms = ?, hours_ms = CASE hours_ms WHEN 0 THEN ? ELSE hours_ms END",
        (end_ms, floor_ms(begin_ms, HOUR_MS)),
    )
    return begin_ms


def _make_hours(connection: Sql, number: int, began_ms: int, end_ms: int, gone_ms: int) -> None:
    for where_it_is_there, begin, end in (
        ("NOTHING", began_ms, min(end_ms, gone_ms)),
        (_OVERWRITE, max(began_ms, gone_ms), end_ms),
    ):
        connection.execute(
            f"""INSERT INTO telemetry_hours (series_id, at_ms, low, high, mean, count)
            SELECT series_id, at_ms / {HOUR_MS} * {HOUR_MS} AS hour, min(low), max(high),
                sum(mean * count) / sum(count), sum(count)
            FROM telemetry_minutes WHERE series_id = ? AND at_ms >= ? AND at_ms < ? GROUP BY series_id, hour
            ON CONFLICT (series_id, at_ms) DO {where_it_is_there}""",  # noqa: S608
            (number, begin, end),
        )


def _hours_due(connection: Sql, now_ms: int) -> bool:
    minutes_ms, hours_ms = connection.execute("SELECT minutes_ms, hours_ms FROM telemetry_state").fetchone()
    return bool(floor_ms(min(minutes_ms, now_ms), HOUR_MS) > hours_ms)


def _sweep_due(connection: Sql) -> bool:
    return connection.execute("SELECT 1 FROM telemetry_series WHERE device_id IS NULL").fetchone() is not None


def _raw_due(connection: Sql, now_ms: int) -> bool:
    (oldest_ms,) = connection.execute("SELECT min(at_ms) FROM telemetry_raw").fetchone()
    # an hour's worth at once: a day is what is promised, not what is the most
    return oldest_ms is not None and oldest_ms < _raw_cut(connection, now_ms) - HOUR_MS


def _delete_raw(connection: Sql, now_ms: int, rounds: _Rounds) -> _Rounds:
    """What is older than a day and in its minute's bucket; whole minutes alone."""
    (oldest_ms,) = connection.execute("SELECT min(at_ms) FROM telemetry_raw").fetchone()
    cut_ms = _raw_cut(connection, now_ms)
    row_ms = _row_at(connection, oldest_ms, DELETED_ROWS)
    if row_ms is not None:
        cut_ms = min(cut_ms, max(floor_ms(row_ms, MINUTE_MS), floor_ms(oldest_ms, MINUTE_MS) + MINUTE_MS))
    connection.execute("DELETE FROM telemetry_raw WHERE at_ms < ?", (cut_ms,))
    connection.execute("UPDATE telemetry_state SET raw_gone_ms = ?1 WHERE raw_gone_ms < ?1", (cut_ms,))
    return rounds


def _raw_cut(connection: Sql, now_ms: int) -> int:
    (minutes_ms,) = connection.execute("SELECT minutes_ms FROM telemetry_state").fetchone()
    return min(floor_ms(now_ms - RAW_MS, MINUTE_MS), int(minutes_ms))


def _first_open(connection: Sql) -> int | None:
    """The minute of the first value that is in no bucket yet."""
    query = "SELECT min(at_ms) FROM telemetry_raw WHERE at_ms >= (SELECT minutes_ms FROM telemetry_state)"
    (at_ms,) = connection.execute(query).fetchone()
    return None if at_ms is None else floor_ms(at_ms, MINUTE_MS)


def _row_at(connection: Sql, begin_ms: int, offset: int) -> int | None:
    """When the value came that is so many after `begin_ms`."""
    query = "SELECT at_ms FROM telemetry_raw WHERE at_ms >= ? ORDER BY at_ms LIMIT 1 OFFSET ?"
    row = connection.execute(query, (begin_ms, offset)).fetchone()
    return None if row is None else int(row[0])
