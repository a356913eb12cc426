"""Rows of the devices a host knows and the transports each has. Opens no device."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace

from microclaw.addresses import is_of_one_machine
from microclaw.store.crashes import move_crashes
from microclaw.store.following import Refresh
from microclaw.store.rows import Table
from microclaw.store.sql import Sql
from microclaw.store.telemetry import move_series


@dataclass(frozen=True, slots=True)
class DeviceRow:
    """`transports` are addresses in order; no two devices share one. `firmware` are the words of a description.

    `reached`: it has answered, or came by itself, or was entered before that was kept. `host` is the name of the host
    of a cluster whose machine has its ports: only there two devices cannot share one.
    """

    device_id: str
    name: str
    board_id: str
    labels: tuple[str, ...]
    transports: tuple[str, ...]
    created_ms: int
    firmware: tuple[str, ...] = ()
    reached: bool = True
    host: str | None = None


class DeviceTable(Table):
    """Device rows of one database."""

    async def list(self) -> tuple[DeviceRow, ...]:
        """Every device, by name."""
        return await self._database.read(_list)

    async def put(self, row: DeviceRow) -> None:
        """Add the device or replace it as a whole; StoreError when its name or a transport is another's."""
        await self._database.write(lambda connection: _put(connection, row))

    async def replace(self, before: DeviceRow, after: DeviceRow) -> bool:
        """Change a device; False, and nothing is done, where its row is another than `before`, or gone.

        StoreError as `put`.
        """
        return await self._database.write(lambda connection: _replace(connection, before, after))

    def follow(self, refresh: Refresh) -> None:
        """As Database.follow."""
        self._database.follow(("devices", "faces"), refresh)

    async def mark_reached(self, device_id: str) -> None:
        """It has answered; that is never taken back."""
        await self._execute("UPDATE devices SET reached = 1 WHERE device_id = ?", (device_id,))

    async def delete(self, device_id: str, *, heir: str | None = None) -> bool:
        """Forget the device, its transports, telemetry and crashes; False when it is gone already.

        Telemetry and crashes go to `heir`, where that is the same board.
        """
        return await self._database.write(lambda connection: _delete(connection, device_id, heir))


def _replace(connection: Sql, before: DeviceRow, after: DeviceRow) -> bool:
    found = _list(connection, before.device_id)
    if not found or replace(found[0], reached=before.reached) != before:
        return False
    _put(connection, after)
    return True


def _list(connection: Sql, only: str | None = None) -> tuple[DeviceRow, ...]:
    transports: dict[str, list[str]] = {}
    where, values = ("", ()) if only is None else (" WHERE device_id = ?", (only,))
    hosts: dict[str, str] = {}
    faces = connection.execute(f"SELECT device_id, face_id, host FROM faces{where} ORDER BY position", values)  # noqa: S608
    for device_id, endpoint, host in faces:
        transports.setdefault(device_id, []).append(endpoint)
        if host:
            hosts[device_id] = host
    rows = connection.execute(
        f"SELECT device_id, name, board_id, labels, created_ms, firmware, reached FROM devices{where} ORDER BY name",  # noqa: S608 - a constant of this function
        values,
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
            hosts.get(device_id),
        )
        for device_id, name, board_id, labels, created_ms, firmware, reached in rows
    )


def _delete(connection: Sql, device_id: str, heir: str | None) -> bool:
    if heir is not None:
        move_series(connection, device_id, heir)
        move_crashes(connection, device_id, heir)
    return connection.execute("DELETE FROM devices WHERE device_id = ?", (device_id,)).rowcount > 0


def _put(connection: Sql, row: DeviceRow) -> None:
    connection.execute(
        """INSERT INTO devices (device_id, name, board_id, labels, created_ms, firmware, reached)
        VALUES (?, ?, ?, ?, ?, ?, ?)
        ON CONFLICT (device_id) DO UPDATE SET name = excluded.name, board_id = excluded.board_id,
            labels = excluded.labels, created_ms = excluded.created_ms, firmware = excluded.firmware,
            reached = CASE WHEN devices.reached = 1 THEN 1 ELSE excluded.reached END""",
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
        "INSERT INTO faces (face_id, host, device_id, position) VALUES (?, ?, ?, ?)",
        [
            (endpoint, row.host if row.host and is_of_one_machine(endpoint) else "", row.device_id, position)
            for position, endpoint in enumerate(row.transports)
        ],
    )
