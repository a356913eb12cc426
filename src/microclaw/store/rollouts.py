"""Rows of rollouts and of the devices in them. Knows no plan and no firmware; who reads them makes sense of them.

What a rollout decided and what became of a device is on the disk before anything is done for it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal, TypeAlias

from msgspec import Struct
from msgspec.structs import asdict

from microclaw.store.rows import Table, first, insert, reads, select, update, writes
from microclaw.store.sql import Sql

DeviceState: TypeAlias = Literal["waiting", "offered", "healthy", "rolled_back", "refused", "failed", "late", "removed"]
RolloutState: TypeAlias = Literal["running", "paused", "halted", "done", "undone"]
KEPT_ROLLOUTS = 100
"""The newest are kept; open ones always."""


class RolloutRow(Struct, frozen=True):
    """`plan` is JSON; `undoes` the rollout that this one reverts; `person_id` began it. `rollout_id` 0 is not stored
    yet. `stage` counts from 0; `soaking_since_ms`: its devices are through, the gates held.
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
    """`from_version` is what it ran when the rollout began. `error`: why the update failed, in the device's words."""

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
        """Keep a new rollout with its devices (id, version that it runs) in their order; its number."""
        rollout_id = insert(sql, "rollouts", new, number="rollout_id")
        for position, device in enumerate(devices):
            insert(sql, "rollout_devices", RolloutDevice(*device), rollout_id=rollout_id, position=position)
        old = "rollouts WHERE rollout_id <= ? AND state NOT IN ('running', 'paused')"
        for which in (f"rollout_devices WHERE rollout_id IN (SELECT rollout_id FROM {old})", old):  # noqa: S608
            sql.execute(f"DELETE FROM {which}", (rollout_id - KEPT_ROLLOUTS,))  # noqa: S608 - text of ours
        return rollout_id

    @reads
    def get(self, sql: Sql, rollout_id: int) -> RolloutRow | None:
        return first(sql, RolloutRow, "rollouts WHERE rollout_id = ?", (rollout_id,))

    @reads
    def newest(self, sql: Sql, limit: int) -> tuple[RolloutRow, ...]:
        return select(sql, RolloutRow, "rollouts ORDER BY rollout_id DESC LIMIT ?", (limit,))

    @reads
    def open(self, sql: Sql) -> tuple[RolloutRow, ...]:
        """Those that go on, are paused, or have updates under way; the oldest first."""
        under_way = "rollout_id IN (SELECT rollout_id FROM rollout_devices WHERE state = 'offered')"
        where = f"rollouts WHERE state IN ('running', 'paused') OR {under_way} ORDER BY rollout_id"
        return select(sql, RolloutRow, where)

    @reads
    def devices(self, sql: Sql, rollout_id: int) -> tuple[RolloutDevice, ...]:
        """In their turn."""
        return select(sql, RolloutDevice, "rollout_devices WHERE rollout_id = ? ORDER BY position", (rollout_id,))

    @writes
    def keep(self, sql: Sql, before: RolloutRow, now: RolloutRow, rows: Iterable[RolloutDevice]) -> bool:
        """The rollout and its devices that changed; False, and nothing, where the rollout is another than before."""
        if first(sql, RolloutRow, "rollouts WHERE rollout_id = ?", (now.rollout_id,)) != before:
            return False
        insert(sql, "rollouts", now, over=("rollout_id",))
        for row in rows:
            update(sql, "rollout_devices", {"rollout_id": now.rollout_id, "device_id": row.device_id}, **asdict(row))
        return True
