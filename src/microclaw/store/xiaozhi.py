"""Rows of devices with xiaozhi's firmware: what each said of itself at its last start, and the update it may take."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from microclaw.store.rows import Table

UpdateState: TypeAlias = Literal["agreed", "offered", "fetched", "verified", "failed"]


@dataclass(frozen=True, slots=True)
class XiaozhiReportRow:
    """`device_id` is that of its credential; `slot_bytes` the room for a program, None where it did not say."""

    device_id: str
    board: str
    chip: str
    version: str
    slot_bytes: int | None
    at_ms: int


@dataclass(frozen=True, slots=True)
class XiaozhiUpdateRow:
    """A person said yes to this very image. `offers`: how often its device was told of it. `reason` of the end."""

    device_id: str
    file: str
    sha256: str
    from_version: str
    version: str
    agreed_ms: int
    state: UpdateState
    offers: int
    changed_ms: int
    reason: str = ""


class XiaozhiTable(Table):
    """One report and one update a device. Both end with its credential (store/identity.py)."""

    async def report(self, device_id: str) -> XiaozhiReportRow | None:
        return next(
            iter(await self._select(XiaozhiReportRow, "xiaozhi_reports WHERE device_id = ?", (device_id,))), None
        )

    async def put_report(self, row: XiaozhiReportRow) -> None:
        await self._insert("xiaozhi_reports", row, verb="INSERT OR REPLACE")

    async def update(self, device_id: str) -> XiaozhiUpdateRow | None:
        return next(
            iter(await self._select(XiaozhiUpdateRow, "xiaozhi_updates WHERE device_id = ?", (device_id,))), None
        )

    async def put_update(self, row: XiaozhiUpdateRow) -> None:
        await self._insert("xiaozhi_updates", row, verb="INSERT OR REPLACE")

    async def drop_update(self, device_id: str) -> None:
        await self._execute("DELETE FROM xiaozhi_updates WHERE device_id = ?", (device_id,))
