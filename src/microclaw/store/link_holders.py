"""Which host of a cluster has a device's connection. A host that is alone keeps no such row.

Every change takes the next number of all, the fence: the newer connection has the higher one, and whoever wants to
know what changed asks for what is above the last that it saw. What a connection writes is checked against it, in the
same transaction: an older connection's host can no longer move the device's cursors.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from microclaw.errors import NewerConnection
from microclaw.store.rows import Table, delete, reads, scalar, select, writes
from microclaw.store.sql import Sql

_NO_DEVICE: Final = ""
_FENCE: Final = "SELECT fence FROM link_holders WHERE device_id = ?"


@dataclass(frozen=True, slots=True)
class LinkHolder:
    """`host` is None when the device left."""

    device_id: str
    host: str | None
    fence: int


class LinkHolderTable(Table):
    """The holders of one database's links."""

    @writes
    def take(self, sql: Sql, device_id: str, host: str) -> int:
        """The device's newest connection is at `host` from now on; its fence."""
        return _put(sql, device_id, host)

    @writes
    def leave(self, sql: Sql, device_id: str, fence: int) -> None:
        """That connection is gone; nothing where a newer one is there."""
        if scalar(sql, _FENCE, (device_id,)) == fence:
            _put(sql, device_id, None)

    @reads
    def hosts(self, sql: Sql) -> frozenset[str]:
        """Those that devices are said to be connected to."""
        rows = sql.execute("SELECT DISTINCT host FROM link_holders WHERE host IS NOT NULL")
        return frozenset(host for (host,) in rows)

    @writes
    def leave_host(self, sql: Sql, host: str, *, limit: int = 500) -> int:
        """Devices that are said to be at `host` are connected nowhere; how many were told so, `limit` at most."""
        found = select(sql, LinkHolder, "link_holders WHERE host = ? ORDER BY fence LIMIT ?", (host, limit))
        for holder in found:
            _put(sql, holder.device_id, None)
        return len(found)

    @reads
    def since(self, sql: Sql, fence: int) -> tuple[LinkHolder, ...]:
        """What changed above `fence`, in order."""
        return select(sql, LinkHolder, "link_holders WHERE fence > ? ORDER BY fence", (fence,))


def check_holder(sql: Sql, device_id: str, fence: int | None) -> None:
    """Within a transaction of that connection; NewerConnection when there is one. None is not checked."""
    if fence is not None and scalar(sql, _FENCE, (device_id,)) != fence:
        raise NewerConnection(
            f"device {device_id} has a newer connection to another host", next_step="this connection is over"
        )


def forget_holder(sql: Sql, device_id: str) -> None:
    """Within a transaction that removes the device. A row of no device keeps the highest fence: none is given twice."""
    if delete(sql, "link_holders", device_id=device_id).rowcount:
        _put(sql, _NO_DEVICE, None)


def _put(sql: Sql, device_id: str, host: str | None) -> int:
    fence: int = scalar(
        sql,
        """INSERT INTO link_holders (device_id, host, fence)
        SELECT ?, ?, coalesce(max(fence), 0) + 1 FROM link_holders WHERE true
        ON CONFLICT (device_id) DO UPDATE SET host = excluded.host, fence = excluded.fence RETURNING fence""",
        (device_id, host),
    )
    return fence
