"""Rows of the devices a host knows and the transports each has. Opens no device."""

from __future__ import annotations

import json
import sqlite3
from dataclasses import dataclass

from microclaw.store.crashes import move_crashes
from microclaw.store.rows import Table
from microclaw.store.telemetry import move_series


@dataclass(frozen=True, slots=True)
class DeviceRow:
    """`transports` are addresses in order; no two devices share one. `firmware` are the words of a description.

    `reached`: it has answered, or came by itself, or was entered before that was kept.
    """

    device_id: str
    name: str
    board_id: str
    labels: tuple[str, ...]
    transports: tuple[str, ...]
    created_ms: int
    firmware: tuple[str, ...] = ()
    reached: bool = True


class DeviceTable(Table):
    """Device rows of one database."""

    async def list(self) -> tuple[DeviceRow, ...]:
        """Every device, by name."""
        return await self._database.read(_list)

    async def put(self, row: DeviceRow) -> None:
        """Add the device or replace it as a whole; StoreError when its name or a transport is another's."""
        await self._database.write(lambda connection: _put(connection, row))

    async def mark_reached(self, device_id: str) -> None:
        """It has answered; that is never taken back."""
        await self._execute("UPDATE devices SET reached = 1 WHERE device_id = ?", (device_id,))

    async def delete(self, device_id: str, *, heir: str | None = None) -> None:
        """Forget the device, its transports, telemetry and crashes; what is not there needs no forgetting.

        Telemetry and crashes go to `heir`, where that is the same board.
        """
        await self._database.write(lambda connection: _delete(connection, device_id, heir))


def _list(connection: sqlite3.Connection) -> tuple[DeviceRow, ...]:
    transports: dict[str, list[str]] = {}
    for device_id, endpoint in connection.execute("SELECT device_id, face_id FROM faces ORDER BY position"):
        transports.setdefault(device_id, []).append(endpoint)
    rows = connection.execute(
        "SELECT device_id, name, board_id, labels, created_ms, firmware, reached FROM devices ORDER BY name"
    )
    return tuple(
        DeviceRow(
            device_id,
            name,
            board_id,
            tuple(json.loads(labels)),
            tuple(transports.get(device_id, ())),
            created_ms,
            tuple(json.loads(firmware)),
            bool(reached),
        )
        for device_id, name, board_id, labels, created_ms, firmware, reached in rows
    )


def _delete(connection: sqlite3.Connection, device_id: str, heir: str | None) -> None:
    if heir is not None:
        move_series(connection, device_id, heir)
        move_crashes(connection, device_id, heir)
    connection.execute("DELETE FROM devices WHERE device_id = ?", (device_id,))


def _put(connection: sqlite3.Connection, row: DeviceRow) -> None:
    connection.execute(
        """INSERT INTO devices (device_id, name, board_id, labels, created_ms, firmware, reached)
        VALUES (?, ?, ?, ?, ?, ?, ?)
        ON CONFLICT (device_id) DO UPDATE SET name = excluded.name, board_id = excluded.board_id,
            labels = excluded.labels, created_ms = excluded.created_ms, firmware = excluded.firmware,
            reached = max(reached, excluded.reached)""",
        (
            row.device_id,
            row.name,
            row.board_id,
            json.dumps(row.labels),
            row.created_ms,
            json.dumps(row.firmware),
            int(row.reached),
        ),
    )
    connection.execute("DELETE FROM faces WHERE device_id = ?", (row.device_id,))
    connection.executemany(
        "INSERT INTO faces (face_id, device_id, position) VALUES (?, ?, ?)",
        [(endpoint, row.device_id, position) for position, endpoint in enumerate(row.transports)],
    )
