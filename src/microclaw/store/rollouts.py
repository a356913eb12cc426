"""Rows of rollouts and of the devices in them. Knows no plan and no firmware; who reads them makes sense of them.

What a rollout decided and what became of a device is on the disk before anything is done for it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from microclaw.store.following import Refresh
from microclaw.store.rows import Table, insert
from microclaw.store.sql import Sql

KEPT_ROLLOUTS = 100
"""The newest are kept; open ones always."""


@dataclass(frozen=True, slots=True)
class NewRollout:
    """`plan` is JSON; `undoes` the rollout that this one takes back; `person_id` began it."""

    version: str
    channel: str
    plan: str
    person_id: str
    undoes: int | None
    began_ms: int


@dataclass(frozen=True, slots=True)
class RolloutRow(NewRollout):
    rollout_id: int
    state: str
    reason: str
    stage: int
    stage_ms: int
    crashes: int
    soaking_since_ms: int | None


@dataclass(frozen=True, slots=True)
class RolloutDeviceRow:
    """`position` is its turn, from 0."""

    rollout_id: int
    position: int
    device_id: str
    from_version: str
    state: str
    error: str
    offered_ms: int | None
    ended_ms: int | None


@dataclass(frozen=True, slots=True)
class RolloutChange:
    """One rollout's new progress, if it changed, and its changed devices: (state, error, offered, ended, device).

    `before` is the progress that it was decided on.
    """

    rollout_id: int
    before: tuple[object, ...]
    progress: tuple[object, ...] | None = None
    devices: Sequence[tuple[object, ...]] = ()


class RolloutTable(Table):
    async def add(self, new: NewRollout, devices: Sequence[tuple[str, str]]) -> int:
        """Keep a new rollout with its devices (id, version that it runs) in their order; its number."""
        return await self._database.write(lambda connection: _add(connection, new, devices))

    async def list(self, limit: int = KEPT_ROLLOUTS) -> tuple[RolloutRow, ...]:
        """The newest first."""
        return await self._select(RolloutRow, "rollouts ORDER BY rollout_id DESC LIMIT ?", (limit,))

    async def open(self) -> tuple[RolloutRow, ...]:
        """Those that go on, are paused, or have updates under way; the oldest first."""
        under_way = "rollout_id IN (SELECT rollout_id FROM rollout_devices WHERE state = 'offered')"
        query = f"rollouts WHERE state IN ('running', 'paused') OR {under_way} ORDER BY rollout_id"
        return await self._select(RolloutRow, query)

    async def get(self, rollout_id: int) -> RolloutRow | None:
        rows = await self._select(RolloutRow, "rollouts WHERE rollout_id = ?", (rollout_id,))
        return rows[0] if rows else None

    async def devices(self, rollout_id: int) -> tuple[RolloutDeviceRow, ...]:
        query = "rollout_devices WHERE rollout_id = ? ORDER BY position"
        return await self._select(RolloutDeviceRow, query, (rollout_id,))

    async def keep(self, change: RolloutChange) -> bool:
        """All of it, in one transaction; False, and nothing, where the rollout's progress is another than before."""
        return await self._database.write(lambda connection: _keep(connection, change))

    def follow(self, refresh: Refresh) -> None:
        """As Database.follow."""
        self._database.follow(("rollouts", "rollout_devices"), refresh)


def _add(connection: Sql, new: NewRollout, devices: Sequence[tuple[str, str]]) -> int:
    rollout_id = insert(
        connection,
        "rollouts",
        new,
        number="rollout_id",
        state="running",
        reason="",
        stage=0,
        stage_ms=new.began_ms,
        crashes=0,
    )
    connection.executemany(
        "INSERT INTO rollout_devices (rollout_id, position, device_id, from_version, state, error)"
        " VALUES (?, ?, ?, ?, 'waiting', '')",
        ((rollout_id, at, device_id, version) for at, (device_id, version) in enumerate(devices)),
    )
    old = "rollout_id <= ? AND state NOT IN ('running', 'paused')"
    last = (rollout_id - KEPT_ROLLOUTS,)
    connection.execute(
        f"DELETE FROM rollout_devices WHERE rollout_id IN (SELECT rollout_id FROM rollouts WHERE {old})",  # noqa: S608
        last,
    )
    connection.execute(f"DELETE FROM rollouts WHERE {old}", last)  # noqa: S608 - text of ours
    return rollout_id


def _keep(connection: Sql, change: RolloutChange) -> bool:
    query = "SELECT state, reason, stage, stage_ms, crashes, soaking_since_ms FROM rollouts WHERE rollout_id = ?"
    if connection.execute(query, (change.rollout_id,)).fetchone() != change.before:
        return False
    if change.progress is not None:
        connection.execute(
            "UPDATE rollouts SET state = ?, reason = ?, stage = ?, stage_ms = ?, crashes = ?, soaking_since_ms = ?"
            " WHERE rollout_id = ?",
            (*change.progress, change.rollout_id),
        )
    connection.executemany(
        "UPDATE rollout_devices SET state = ?, error = ?, offered_ms = ?, ended_ms = ?"
        " WHERE rollout_id = ? AND device_id = ?",
        ((*row[:-1], change.rollout_id, row[-1]) for row in change.devices),
    )
    return True
