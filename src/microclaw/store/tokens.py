"""Rows of the API's tokens: hashes only, no token can be read from here. Checks none."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass

from microclaw.store.database import Database


@dataclass(frozen=True, slots=True)
class PersonTokenRow:
    """`hash` is the SHA-256 of the whole token text; `expires_ms` None never ends."""

    token_id: str
    name: str
    person_id: str
    hash: bytes
    made_ms: int
    expires_ms: int | None = None
    used_ms: int | None = None


class PersonTokenTable:
    """Token rows of one database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def list(self) -> tuple[PersonTokenRow, ...]:
        """Every token, oldest first."""
        return await self._database.read(_list)

    async def by_hash(self, digest: bytes) -> PersonTokenRow | None:
        return await self._database.read(lambda connection: _by_hash(connection, digest))

    async def add(self, row: PersonTokenRow) -> None:
        """StoreError when its name is taken or its person is not there."""
        await self._database.write(
            lambda connection: (
                connection.execute(
                    """INSERT INTO person_tokens (token_id, name, person_id, hash, made_ms, expires_ms)
                VALUES (?, ?, ?, ?, ?, ?)""",
                    (row.token_id, row.name, row.person_id, row.hash, row.made_ms, row.expires_ms),
                ).rowcount
            )
        )

    async def note_use(self, token_id: str, used_ms: int) -> None:
        await self._database.write(
            lambda connection: (
                connection.execute(
                    "UPDATE person_tokens SET used_ms = ? WHERE token_id = ?", (used_ms, token_id)
                ).rowcount
            )
        )

    async def delete(self, token_id: str) -> None:
        await self._database.write(
            lambda connection: connection.execute("DELETE FROM person_tokens WHERE token_id = ?", (token_id,)).rowcount
        )


def _list(connection: sqlite3.Connection) -> tuple[PersonTokenRow, ...]:
    rows = connection.execute(
        """SELECT token_id, name, person_id, hash, made_ms, expires_ms, used_ms
        FROM person_tokens ORDER BY made_ms, rowid"""
    )
    return tuple(PersonTokenRow(*row) for row in rows)


def _by_hash(connection: sqlite3.Connection, digest: bytes) -> PersonTokenRow | None:
    row = connection.execute(
        """SELECT token_id, name, person_id, hash, made_ms, expires_ms, used_ms
        FROM person_tokens WHERE hash = ?""",
        (digest,),
    ).fetchone()
    return None if row is None else PersonTokenRow(*row)
