"""Rows of rollouts and of the devices in them. Knows no plan and no firmware; its callers interpret the rows.

A decision of a rollout and the state of a device are on the disk before anything is done for them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal, TypeAlias

from msgspec import Struct
from msgspec.structs import asdict

from microclaw.host.store.rows import Table, first, insert, reads, select, update, writes
from microclaw.host.store.sql import Sql

DeviceState: TypeAlias = Literal["waiting", "offered", "healthy", "rolled_back", "refused", "failed", "late", "removed"]
RolloutState: TypeAlias = Literal["running", "paused", "halted", "done", "undone"]
KEPT_ROLLOUTS = 100
"""The number of newest rollouts that stay; open ones always stay."""


class RolloutRow(Struct, frozen=True):
    """A rollout. `plan` is JSON; `undoes` is the rollout that this one reverts; `person_id` began it.

    `rollout_id` 0 is not stored yet. `stage` counts from 0. `soaking_since_ms` is set while its devices are updated and
    the gates hold.
    """

    rollout_id: int
    version: str
    channel: str
    plan: str
    person_id: str
    undoes: int | None
    began_ms: int
    stage_ms: int
    state: RolloutState = "running"
    reason: str = ""
    stage: int = 0
    crashes: int = 0
    soaking_since_ms: int | None = None


class RolloutDevice(Struct, frozen=True):
    """A device in a rollout. `from_version` is the version that it ran when the rollout began.

    `error` is why the update failed, in the device's words.
    """

    device_id: str
    from_version: str
    state: DeviceState = "waiting"
    error: str = ""
    offered_ms: int | None = None
    ended_ms: int | None = None


class RolloutTable(Table):
    followed = frozenset({"rollouts", "rollout_devices"})

    @writes
    def begin(self, sql: Sql, new: RolloutRow, devices: Sequence[tuple[str, str]]) -> int:
        """Store a new rollout with its devices (id, version that it runs) in their order; return its number."""
        rollout_id = insert(sql, "rollouts", new, number="rollout_id")
        for position, (device_id, from_version) in enumerate(devices):
            device = RolloutDevice(device_id, from_version)
            insert(sql, "rollout_devices", device, rollout_id=rollout_id, position=position)
        old = "rollouts WHERE rollout_id <= ? AND state NOT IN ('running', 'paused')"
        for rows in (f"rollout_devices WHERE rollout_id IN (SELECT rollout_id FROM {old})", old):  # noqa: S608
            sql.execute(f"DELETE FROM {rows}", (rollout_id - KEPT_ROLLOUTS,))  # noqa: S608 - text of ours
        return rollout_id

    @reads
    def get(self, sql: Sql, rollout_id: int) -> RolloutRow | None:
        return first(sql, RolloutRow, "rollouts WHERE rollout_id = ?", (rollout_id,))

    @reads
    def newest(self, sql: Sql, limit: int) -> tuple[RolloutRow, ...]:
        return select(sql, RolloutRow, "rollouts ORDER BY rollout_id DESC LIMIT ?", (limit,))

    @reads
    def open(self, sql: Sql) -> tuple[RolloutRow, ...]:
        """Return the rollouts that run, are paused or still have updates under way, oldest first."""
        under_way = "rollout_id IN (SELECT rollout_id FROM rollout_devices WHERE state = 'offered')"
        where = f"rollouts WHERE state IN ('running', 'paused') OR {under_way} ORDER BY rollout_id"
        return select(sql, RolloutRow, where)

    @reads
    def devices(self, sql: Sql, rollout_id: int) -> tuple[RolloutDevice, ...]:
        """Return the devices of a rollout in their order."""
        return select(sql, RolloutDevice, "rollout_devices WHERE rollout_id = ? ORDER BY position", (rollout_id,))

    @writes
    def keep(self, sql: Sql, before: RolloutRow, now: RolloutRow, rows: Iterable[RolloutDevice]) -> bool:
        """Store a changed rollout and its changed devices.

        Returns False, and does nothing, if the stored rollout is no longer `before`.
        """
        if first(sql, RolloutRow, "rollouts WHERE rollout_id = ?", (now.rollout_id,)) != before:
            return False
        insert(sql, "rollouts", now, over=("rollout_id",))
        for row in rows:
            update(sql, "rollout_devices", {"rollout_id": now.rollout_id, "device_id": row.device_id}, **asdict(row))
        return True
