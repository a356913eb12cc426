"""Which host of a cluster has a device's connection. A host that is alone keeps no such row.

Every change takes the next number of all, the fence: the newer connection has the higher one, and whoever wants to
know what changed asks for what is above the last that it saw. What a connection writes is checked against it, in the
same transaction: an older connection's host can no longer move the device's cursors.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from microclaw.errors import NewerConnection
from microclaw.store.rows import Table
from microclaw.store.sql import Sql

_NO_DEVICE: Final = ""


@dataclass(frozen=True, slots=True)
class LinkHolder:
    """`host` is None when the device left."""

    device_id: str
    host: str | None
    fence: int


class LinkHolderTable(Table):
    """The holders of one database's links."""

    async def take(self, device_id: str, host: str) -> int:
        """The device's newest connection is at `host` from now on; its fence."""
        return await self._database.write(lambda connection: _put(connection, device_id, host))

    async def leave(self, device_id: str, fence: int) -> None:
        """That connection is gone; nothing where a newer one is there."""

        def apply(connection: Sql) -> None:
            if _fence(connection, device_id) == fence:
                _put(connection, device_id, None)

        await self._database.write(apply)

    async def hosts(self) -> frozenset[str]:
        """Those that devices are said to be connected to."""
        query = "SELECT DISTINCT host FROM link_holders WHERE host IS NOT NULL"
        rows = await self._database.read(lambda connection: connection.execute(query).fetchall())
        return frozenset(host for (host,) in rows)

    async def leave_host(self, host: str, *, limit: int = 500) -> int:
        """Devices that are said to be at `host` are connected nowhere; how many were told so, `limit` at most."""
        query = "SELECT device_id FROM link_holders WHERE host = ? ORDER BY fence LIMIT ?"

        def apply(connection: Sql) -> int:
            found = [device_id for (device_id,) in connection.execute(query, (host, limit)).fetchall()]
            for device_id in found:
                _put(connection, device_id, None)
            return len(found)

        return await self._database.write(apply)

    async def since(self, fence: int) -> tuple[LinkHolder, ...]:
        """What changed above `fence`, in order."""
        return await self._select(LinkHolder, "link_holders WHERE fence > ? ORDER BY fence", (fence,))


def check_holder(connection: Sql, device_id: str, fence: int | None) -> None:
    """Within a transaction of that connection; NewerConnection when there is one. None is not checked."""
    if fence is not None and _fence(connection, device_id) != fence:
        raise NewerConnection(
            f"device {device_id} has a newer connection to another host", next_step="this connection is over"
        )


def forget_holder(connection: Sql, device_id: str) -> None:
    """Within a transaction that removes the device. A row of no device keeps the highest fence: none is given twice."""
    if connection.execute("DELETE FROM link_holders WHERE device_id = ?", (device_id,)).rowcount:
        _put(connection, _NO_DEVICE, None)


def _fence(connection: Sql, device_id: str) -> int | None:
    row = connection.execute("SELECT fence FROM link_holders WHERE device_id = ?", (device_id,)).fetchone()
    return None if row is None else int(row[0])


def _put(connection: Sql, device_id: str, host: str | None) -> int:
    (last,) = connection.execute("SELECT coalesce(max(fence), 0) FROM link_holders").fetchone()
    connection.execute(
        """INSERT INTO link_holders (device_id, host, fence) VALUES (?, ?, ?)
        ON CONFLICT (device_id) DO UPDATE SET host = excluded.host, fence = excluded.fence""",
        (device_id, host, last + 1),
    )
    return int(last) + 1
