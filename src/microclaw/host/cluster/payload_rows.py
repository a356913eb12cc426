"""Payloads of updates in the shared database, in pieces, so that every host can hand them to its devices."""

from __future__ import annotations

import asyncio
import hashlib
from pathlib import Path
from typing import Final

from microclaw.durable import replace_file
from microclaw.errors import StoreError
from microclaw.host.store.database import Database

# In bytes.
PIECE: Final = 1 << 18


class SharedFiles:
    """Payloads of updates that the hosts of a cluster keep for one another. A file's name is its SHA-256."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def put(self, sha256: str, path: Path) -> None:
        """Store a payload in the database, on its disk when this returns. Raises StoreError."""
        data = await asyncio.to_thread(path.read_bytes)
        pieces = [(sha256, offset // PIECE, data[offset : offset + PIECE]) for offset in range(0, len(data), PIECE)]
        query = "INSERT INTO payloads (sha256, piece, data) VALUES (?, ?, ?) ON CONFLICT DO NOTHING"
        await self._database.write(lambda sql: sql.executemany(query, pieces))

    async def fetch(self, sha256: str, path: Path) -> None:
        """Copy a payload that another host stored to `path`. Raises StoreError if it is not there or damaged."""
        query = "SELECT data FROM payloads WHERE sha256 = ? ORDER BY piece"
        data = await self._database.read(lambda sql: b"".join(piece for (piece,) in sql.execute(query, (sha256,))))
        if hashlib.sha256(data).hexdigest() != sha256:
            raise StoreError(f"the payload {sha256[:12]} is not in the shared database", next_step="publish it again")
        await asyncio.to_thread(replace_file, path, data)
