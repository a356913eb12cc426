"""Where codes that are good once are kept, by their hashes: in memory, or in the store that a cluster's hosts share."""

from __future__ import annotations

import hashlib
from collections.abc import Collection
from typing import Protocol

from microclaw.store.codes import CodeKind, CodeRow


class OneTimeCodes(Protocol):
    """MemoryCodes here; `microclaw.store.codes.CodeTable` where several hosts share a store."""

    @property
    def host(self) -> str: ...

    @property
    def is_shared(self) -> bool: ...

    async def catch_up(self) -> bool: ...

    async def list(self, kind: CodeKind, now_ms: int) -> tuple[CodeRow, ...]: ...

    async def add(
        self, row: CodeRow, now_ms: int, *, instead_of: Collection[bytes] = (), at_most: int | None = None
    ) -> bool: ...

    async def take(self, kind: CodeKind, digest: bytes, now_ms: int) -> CodeRow | None: ...


class MemoryCodes:
    """The codes of a host that is alone. They end with it."""

    host = ""
    is_shared = False

    def __init__(self) -> None:
        self._rows: dict[tuple[CodeKind, bytes], CodeRow] = {}

    async def catch_up(self) -> bool:
        """There are no others."""
        return False

    async def list(self, kind: CodeKind, now_ms: int) -> tuple[CodeRow, ...]:
        """As CodeTable.list."""
        self._rows = {key: row for key, row in self._rows.items() if row.kind != kind or row.until_ms > now_ms}
        return tuple(row for row in self._rows.values() if row.kind == kind)

    async def add(
        self, row: CodeRow, now_ms: int, *, instead_of: Collection[bytes] = (), at_most: int | None = None
    ) -> bool:
        """As CodeTable.add."""
        there = [one.hash for one in await self.list(row.kind, now_ms)]
        if row.hash in there:
            return False
        there = [digest for digest in there if digest not in instead_of]
        oldest = () if at_most is None else there[: max(0, len(there) - at_most + 1)]
        for digest in (*instead_of, *oldest):
            self._rows.pop((row.kind, digest), None)
        self._rows[row.kind, row.hash] = row
        return True

    async def take(self, kind: CodeKind, digest: bytes, now_ms: int) -> CodeRow | None:
        """As CodeTable.take."""
        row = self._rows.pop((kind, digest), None)
        return None if row is None or row.until_ms <= now_ms else row


def code_hash(kind: CodeKind, code: str) -> bytes:
    """What is kept of a code. Who reads it finds six digits by trying all; typing them takes a person who may."""
    return hashlib.sha256(f"{kind} {code}".encode(errors="replace")).digest()
