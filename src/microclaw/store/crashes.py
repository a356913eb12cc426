"""Rows of the crashes that boards reported: one for each kind, one for each board that had it, the newest reports."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from itertools import groupby
from typing import Final, Literal, TypeAlias

from msgspec import Struct

from microclaw.errors import UnknownName
from microclaw.operations.result import Result
from microclaw.store.rows import Table, insert, keep_newest, matching, reads, scalar, select, values_of, writes
from microclaw.store.sql import Sql

CrashKind: TypeAlias = Literal["program", "reset", "firmware"]
"""A program failed; the board started again by a watchdog, a panic or the like; its firmware failed and says so."""
MAX_GROUPS: Final = 500
MAX_GROUPS_FOUND_ON: Final = 20  # of what one board had first: it pushes its own out, and no other's
KEPT_REPORTS: Final = 5  # of a group


class CrashReport(Struct, frozen=True):
    """One crash as a board told it, cleaned and cut. `version` is of the program, or of the firmware for a reset."""

    device_id: str
    at_ms: int
    fingerprint: str
    kind: CrashKind
    program: str | None
    version: str | None
    title: str
    firmware: str
    trace: str
    log: tuple[str, ...]


class CrashGroup(Result, frozen=True, rename={"crash_id": "id"}):
    """Crashes that are one kind. `count`, `first_ms` and `last_ms` are of those that were asked for.

    `devices` are ids, for people names. `found_ms`: nobody had that kind before then.
    """

    crash_id: int
    fingerprint: str
    kind: CrashKind
    program: str | None
    version: str | None
    title: str
    found_ms: int
    count: int
    first_ms: int
    last_ms: int
    devices: tuple[str, ...]

    @property
    def what(self) -> str:
        if self.kind == "program":
            return f"program {self.program}"
        return self.kind

    @property
    def boards(self) -> str:
        if len(self.devices) <= 3:
            return ", ".join(self.devices)
        return f"{len(self.devices)} boards"


class StoredCrash(Struct, frozen=True):
    """The result of keeping a report: its group's number, if it is a new one, how often it was seen by now."""

    crash_id: int
    is_new: bool
    count: int


class CrashTable(Table):
    """The crashes of one database's devices."""

    @reads
    def groups(
        self,
        sql: Sql,
        *,
        since_ms: int = 0,
        devices: Collection[str] | None = None,
        crash_id: int | None = None,
    ) -> tuple[CrashGroup, ...]:
        """Those that any of the devices (all, where None) had since then, by this host's clock; the newest first."""
        where, values = _of(None if crash_id is None else (crash_id,), devices)
        rows = sql.execute(
            f"""SELECT crash_id, fingerprint, kind, program, version, title, g.first_ms,
                d.count, d.first_ms, d.last_ms, device_id
            FROM crash_groups AS g JOIN crash_devices AS d USING (crash_id)
            WHERE {where} AND d.last_ms >= ? ORDER BY crash_id, device_id""",  # noqa: S608 - constants
            (*values, since_ms),
        )
        groups = []
        for kind, of_devices in groupby(rows, key=lambda row: row[:7]):
            counts, firsts, lasts, ids = zip(*(row[7:] for row in of_devices), strict=True)
            groups.append(CrashGroup(*(*kind, sum(counts), min(firsts), max(lasts), ids)))
        return tuple(sorted(groups, key=lambda group: (group.last_ms, group.crash_id), reverse=True))

    async def reports(self, crash_id: int) -> tuple[CrashGroup, tuple[CrashReport, ...]]:
        """One kind, with its newest reports, the newest first. UnknownName when there is none."""
        found = await self.groups(crash_id=crash_id)
        if not found:
            raise UnknownName(f"there is no crash {crash_id}", next_step="see them: microclaw device crashes")
        where = "crash_reports JOIN crash_groups USING (crash_id) WHERE crash_id = ? ORDER BY report_id DESC"
        return found[0], await self.database.read(lambda sql: select(sql, CrashReport, where, (crash_id,)))

    @reads
    def new_since(self, sql: Sql, moments_ms: Mapping[str, int]) -> int:
        """Count the kinds of crash that devices had first at or after the moment beside each one's id."""
        query = "SELECT device_id, first_ms FROM crash_devices WHERE first_ms >= ?"
        rows = sql.execute(query, (min(moments_ms.values(), default=0),))
        return sum(device_id in moments_ms and first_ms >= moments_ms[device_id] for device_id, first_ms in rows)

    @writes
    def clear(self, sql: Sql, crash_ids: Collection[int] | None, devices: Collection[str] | None) -> int:
        """Forget these kinds, or all of them, of these devices or of all; how many crashes that were."""
        where, values = _of(crash_ids, devices)
        query = f"SELECT coalesce(sum(count), 0) FROM crash_devices WHERE {where}"  # noqa: S608 - a constant
        count = scalar(sql, query, values)
        for table in ("crash_devices", "crash_reports"):
            sql.execute(f"DELETE FROM {table} WHERE {where}", values)  # noqa: S608 - names of ours
        _drop_empty(sql)
        return int(count)


def insert_crash(sql: Sql, report: CrashReport) -> StoredCrash | None:
    """Within the caller's transaction; None when the device is gone meanwhile."""
    if scalar(sql, "SELECT 1 FROM devices WHERE device_id = ?", (report.device_id,)) is None:
        return None
    _drop_empty(sql)
    is_new = scalar(sql, "SELECT 1 FROM crash_groups WHERE fingerprint = ?", (report.fingerprint,)) is None
    if is_new:
        _make_room(sql, report.device_id)
    row = values_of(report)
    crash_id = row["crash_id"] = scalar(
        sql,
        """INSERT INTO crash_groups (fingerprint, kind, program, version, title, first_ms, last_ms, found_on)
        VALUES (:fingerprint, :kind, :program, :version, :title, :at_ms, :at_ms, :device_id)
        ON CONFLICT (fingerprint) DO UPDATE SET last_ms = greatest(crash_groups.last_ms, excluded.last_ms)
        RETURNING crash_id""",
        row,
    )
    _count(sql, "VALUES (:crash_id, :device_id, 1, :at_ms, :at_ms)", row)
    columns = ("crash_id", "device_id", "at_ms", "firmware", "trace", "log")
    insert(sql, "crash_reports", None, **{column: row[column] for column in columns})
    keep_newest(sql, "crash_reports", KEPT_REPORTS, "report_id", crash_id=crash_id)
    count = scalar(sql, "SELECT sum(count) FROM crash_devices WHERE crash_id = ?", (crash_id,))
    return StoredCrash(crash_id, is_new, count)


def move_crashes(sql: Sql, device_id: str, heir_id: str) -> None:
    """Two devices are one: the crashes of the first are the other's."""
    values = {"device_id": device_id, "heir_id": heir_id}
    theirs = "SELECT crash_id, :heir_id, count, first_ms, last_ms FROM crash_devices WHERE device_id = :device_id"
    _count(sql, theirs, values)
    sql.execute("UPDATE crash_reports SET device_id = :heir_id WHERE device_id = :device_id", values)


def _count(sql: Sql, rows: str, values: Mapping[str, object]) -> None:
    """Add these rows to those that devices have: a count, the first and the last time."""
    sql.execute(
        f"""INSERT INTO crash_devices (crash_id, device_id, count, first_ms, last_ms) {rows}
        ON CONFLICT (crash_id, device_id) DO UPDATE SET count = crash_devices.count + excluded.count,
            first_ms = least(crash_devices.first_ms, excluded.first_ms),
            last_ms = greatest(crash_devices.last_ms, excluded.last_ms)""",
        values,
    )


def _make_room(sql: Sql, device_id: str) -> None:
    """Remove the group that was seen last the longest ago where there is no room; of a board with many, its own."""
    own = scalar(sql, "SELECT count(*) FROM crash_groups WHERE found_on = ?", (device_id,))
    every = scalar(sql, "SELECT count(*) FROM crash_groups")
    if own >= MAX_GROUPS_FOUND_ON or every >= MAX_GROUPS:
        sql.execute(
            """DELETE FROM crash_groups WHERE crash_id = (SELECT crash_id FROM crash_groups
            WHERE found_on = ?1 OR ?2 = 1 ORDER BY last_ms, crash_id LIMIT 1)""",
            (device_id, own < MAX_GROUPS_FOUND_ON),
        )


def _drop_empty(sql: Sql) -> None:
    """Groups that nobody has any more."""
    sql.execute("DELETE FROM crash_groups WHERE crash_id NOT IN (SELECT crash_id FROM crash_devices)")


def _of(crash_ids: Collection[int] | None, devices: Collection[str] | None) -> tuple[str, tuple[object, ...]]:
    """A condition for rows of these kinds (all, where None) and devices, and its values."""
    wanted = {"crash_id": crash_ids, "device_id": devices}
    return matching({column: tuple(some) for column, some in wanted.items() if some is not None})
