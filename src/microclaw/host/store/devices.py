"""Rows of the devices a host knows and the transports each has. Opens no device."""

from __future__ import annotations

from collections import defaultdict
from typing import Any, ClassVar

from msgspec import Struct
from msgspec.structs import replace

from microclaw.addresses import is_of_one_machine
from microclaw.host.store.crashes import move_crashes
from microclaw.host.store.rows import Table, delete, insert, reads, scalar, select, update, writes
from microclaw.host.store.sql import Sql
from microclaw.host.store.telemetry import move_series


class DeviceRow(Struct, frozen=True):
    """A device of this host.

    `transports` are addresses in order; no two devices share one. `firmware` are the words of a description. `reached`
    is True if the device has answered, or came by itself, or was entered before this was stored. `wiring` has a table
    for each recorded part, as a wiring's file (hardware/parts/wiring.py). `host` is the name of
    the cluster host whose machine has the device's ports: a port belongs to one device on that machine only.
    """

    # These fields are not columns of the table.
    beside: ClassVar = frozenset({"transports", "host"})

    device_id: str
    name: str
    board_id: str
    labels: tuple[str, ...] = ()
    created_ms: int = 0
    firmware: tuple[str, ...] = ()
    reached: bool = True
    wiring: dict[str, dict[str, Any]] = {}
    transports: tuple[str, ...] = ()
    host: str | None = None


class DeviceTable(Table):
    """Device rows of one database."""

    followed = frozenset({"devices", "faces"})

    @reads
    def list(self, sql: Sql) -> tuple[DeviceRow, ...]:
        """Return every device, by name."""
        return _list(sql)

    @writes
    def put(self, sql: Sql, row: DeviceRow) -> None:
        """Add the device or replace it as a whole. Raises StoreError if its name or a transport is another's."""
        _put(sql, row)

    @writes
    def replace(self, sql: Sql, before: DeviceRow, after: DeviceRow) -> bool:
        """Change a device; return False, and change nothing, if its row differs from `before` or does not exist.

        Raises StoreError as `put` does.
        """
        is_there = any(replace(row, reached=before.reached) == before for row in _list(sql, before.device_id))
        if is_there:
            _put(sql, after)
        return is_there

    @writes
    def mark_reached(self, sql: Sql, device_id: str) -> None:
        """Note that the device has answered; that stays true."""
        update(sql, "devices", {"device_id": device_id}, reached=1)

    @writes
    def delete(self, sql: Sql, device_id: str, *, heir: str | None = None) -> bool:
        """Forget the device, its transports, telemetry and crashes; return False if it does not exist.

        Telemetry and crashes go to `heir`, if that device is the same board.
        """
        if heir is not None:
            move_series(sql, device_id, heir)
            move_crashes(sql, device_id, heir)
        return delete(sql, "devices", device_id=device_id).rowcount > 0


def _list(sql: Sql, only: str | None = None) -> tuple[DeviceRow, ...]:
    endpoints: dict[str, list[str]] = defaultdict(list)
    port_hosts: dict[str, str] = {}
    query = "SELECT device_id, face_id, host FROM faces WHERE (?1 IS NULL OR device_id = ?1) ORDER BY position"
    for device_id, endpoint, host in sql.execute(query, (only,)):
        endpoints[device_id].append(endpoint)
        if host:
            port_hosts.setdefault(device_id, host)
    devices = []
    for row in select(sql, DeviceRow, "devices WHERE (?1 IS NULL OR device_id = ?1) ORDER BY name", (only,)):
        transports = tuple(endpoints[row.device_id])
        devices.append(replace(row, transports=transports, host=port_hosts.get(row.device_id)))
    return tuple(devices)


def _put(sql: Sql, row: DeviceRow) -> None:
    # A device that was reached once stays reached.
    reached = row.reached or scalar(sql, "SELECT reached FROM devices WHERE device_id = ?", (row.device_id,)) == 1
    insert(sql, "devices", replace(row, reached=reached), over=("device_id",))
    delete(sql, "faces", device_id=row.device_id)
    faces = []
    for position, endpoint in enumerate(row.transports):
        has_port_host = row.host and is_of_one_machine(endpoint)
        host = row.host if has_port_host else ""
        faces.append((endpoint, host, row.device_id, position))
    sql.executemany("INSERT INTO faces (face_id, host, device_id, position) VALUES (?, ?, ?, ?)", faces)
