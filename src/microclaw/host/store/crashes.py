"""Rows of the crashes that boards reported: of each kind, of each board that had it, and the newest reports."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from itertools import groupby
from typing import Final, Literal, TypeAlias

from msgspec import Struct

from microclaw.errors import UnknownName
from microclaw.host.operations.result import Result
from microclaw.host.store.rows import Table, insert, keep_newest, matching, reads, scalar, select, values_of, writes
from microclaw.host.store.sql import Sql

CrashKind: TypeAlias = Literal["program", "reset", "firmware"]
"""A program failed; the board was reset by a watchdog, a panic or the like; the firmware reported its own failure."""
MAX_GROUPS: Final = 500
# Of the groups that one board reported first: that board then replaces its own groups, and no other board's.
MAX_GROUPS_FOUND_ON: Final = 20
# The newest reports of one group.
KEPT_REPORTS: Final = 5


class CrashReport(Struct, frozen=True):
    """One crash as a board reported it, cleaned and cut. `version` is the program's, or the firmware's for a reset."""

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
    """Crashes of one kind. `count`, `first_ms` and `last_ms` cover the devices in the request.

    `devices` are ids, or names if people read them. `found_ms` is when any board had that kind for the first time.
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
    """The result of storing a report: the number of its group, whether the group is new, and how often it was seen."""

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
        """Return the kinds of crash that any of the devices had since then, by this host's clock, newest first.

        `devices` None means all of them.
        """
        crash_ids = None if crash_id is None else (crash_id,)
        where, values = _match_crashes(crash_ids, devices)
        rows = sql.execute(
            f"""SELECT crash_id, fingerprint, kind, program, version, title, g.first_ms,
                d.count, d.first_ms, d.last_ms, device_id
            FROM crash_groups AS g JOIN crash_devices AS d USING (crash_id)
            WHERE {where} AND d.last_ms >= ? ORDER BY crash_id, device_id""",  # noqa: S608 - constants
            (*values, since_ms),
        )
        groups = []
        for group_columns, device_rows in groupby(rows, key=lambda row: row[:7]):
            counts, firsts_ms, lasts_ms, ids = zip(*(row[7:] for row in device_rows), strict=True)
            columns = (*group_columns, sum(counts), min(firsts_ms), max(lasts_ms), ids)
            groups.append(CrashGroup(*columns))
        groups.sort(key=lambda group: (group.last_ms, group.crash_id), reverse=True)
        return tuple(groups)

    async def reports(self, crash_id: int) -> tuple[CrashGroup, tuple[CrashReport, ...]]:
        """Return one kind with its newest reports, newest first. Raises UnknownName if it does not exist."""
        groups = await self.groups(crash_id=crash_id)
        if not groups:
            raise UnknownName(f"there is no crash {crash_id}", next_step="see them: microclaw device crashes")
        where = "crash_reports JOIN crash_groups USING (crash_id) WHERE crash_id = ? ORDER BY report_id DESC"
        return groups[0], await self.database.read(lambda sql: select(sql, CrashReport, where, (crash_id,)))

    @reads
    def new_since(self, sql: Sql, moments_ms: Mapping[str, int]) -> int:
        """Count the kinds of crash that each device had for the first time at or after its moment.

        `moments_ms` gives the moment by device id; devices that it does not name are not counted.
        """
        query = "SELECT device_id, first_ms FROM crash_devices WHERE first_ms >= ?"
        earliest_ms = min(moments_ms.values(), default=0)
        new_count = 0
        for device_id, first_ms in sql.execute(query, (earliest_ms,)):
            if device_id in moments_ms and first_ms >= moments_ms[device_id]:
                new_count += 1
        return new_count

    @writes
    def clear(self, sql: Sql, crash_ids: Collection[int] | None, devices: Collection[str] | None) -> int:
        """Forget these kinds of crash, or all, of these devices or of all; return how many crashes that were."""
        where, values = _match_crashes(crash_ids, devices)
        query = f"SELECT coalesce(sum(count), 0) FROM crash_devices WHERE {where}"  # noqa: S608 - a constant
        count = scalar(sql, query, values)
        for table in ("crash_devices", "crash_reports"):
            sql.execute(f"DELETE FROM {table} WHERE {where}", values)  # noqa: S608 - names of ours
        _drop_empty(sql)
        return int(count)


def insert_crash(sql: Sql, report: CrashReport) -> StoredCrash | None:
    """Store a report within the caller's transaction; return None if the device was removed meanwhile."""
    if scalar(sql, "SELECT 1 FROM devices WHERE device_id = ?", (report.device_id,)) is None:
        return None
    _drop_empty(sql)
    is_new = scalar(sql, "SELECT 1 FROM crash_groups WHERE fingerprint = ?", (report.fingerprint,)) is None
    if is_new:
        _make_room(sql, report.device_id)
    row = values_of(report)
    crash_id = scalar(
        sql,
        """INSERT INTO crash_groups (fingerprint, kind, program, version, title, first_ms, last_ms, found_on)
        VALUES (:fingerprint, :kind, :program, :version, :title, :at_ms, :at_ms, :device_id)
        ON CONFLICT (fingerprint) DO UPDATE SET last_ms = greatest(crash_groups.last_ms, excluded.last_ms)
        RETURNING crash_id""",
        row,
    )
    row["crash_id"] = crash_id
    _count(sql, "VALUES (:crash_id, :device_id, 1, :at_ms, :at_ms)", row)
    columns = ("crash_id", "device_id", "at_ms", "firmware", "trace", "log")
    insert(sql, "crash_reports", None, **{column: row[column] for column in columns})
    keep_newest(sql, "crash_reports", KEPT_REPORTS, "report_id", crash_id=crash_id)
    count = scalar(sql, "SELECT sum(count) FROM crash_devices WHERE crash_id = ?", (crash_id,))
    return StoredCrash(crash_id, is_new, count)


def move_crashes(sql: Sql, device_id: str, heir_id: str) -> None:
    """Give the crashes of a device to another row that turned out to be the same board."""
    values = {"device_id": device_id, "heir_id": heir_id}
    theirs = "SELECT crash_id, :heir_id, count, first_ms, last_ms FROM crash_devices WHERE device_id = :device_id"
    _count(sql, theirs, values)
    sql.execute("UPDATE crash_reports SET device_id = :heir_id WHERE device_id = :device_id", values)


def _count(sql: Sql, rows: str, values: Mapping[str, object]) -> None:
    """Add these rows to the counts of devices, with the first and the last time of each.

    `rows` is SQL that yields crash_id, device_id, count, first_ms and last_ms.
    """
    sql.execute(
        f"""INSERT INTO crash_devices (crash_id, device_id, count, first_ms, last_ms) {rows}
        ON CONFLICT (crash_id, device_id) DO UPDATE SET count = crash_devices.count + excluded.count,
            first_ms = least(crash_devices.first_ms, excluded.first_ms),
            last_ms = greatest(crash_devices.last_ms, excluded.last_ms)""",
        values,
    )


def _make_room(sql: Sql, device_id: str) -> None:
    """Remove the group that was last seen the longest ago if there is no room.

    If the board has many groups itself, the removed group is one of its own.
    """
    own_count = scalar(sql, "SELECT count(*) FROM crash_groups WHERE found_on = ?", (device_id,))
    total_count = scalar(sql, "SELECT count(*) FROM crash_groups")
    if own_count >= MAX_GROUPS_FOUND_ON or total_count >= MAX_GROUPS:
        sql.execute(
            """DELETE FROM crash_groups WHERE crash_id = (SELECT crash_id FROM crash_groups
            WHERE found_on = ?1 OR ?2 = 1 ORDER BY last_ms, crash_id LIMIT 1)""",
            (device_id, own_count < MAX_GROUPS_FOUND_ON),
        )


def _drop_empty(sql: Sql) -> None:
    """Delete the groups that no device has any more."""
    sql.execute("DELETE FROM crash_groups WHERE crash_id NOT IN (SELECT crash_id FROM crash_devices)")


def _match_crashes(
    crash_ids: Collection[int] | None, devices: Collection[str] | None
) -> tuple[str, tuple[object, ...]]:
    """Return an SQL condition for rows of these kinds and devices, and its values. None means all."""
    where: dict[str, object] = {}
    if crash_ids is not None:
        where["crash_id"] = tuple(crash_ids)
    if devices is not None:
        where["device_id"] = tuple(devices)
    return matching(where)
