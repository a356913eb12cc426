"""Rows of people's passwords and of browsers' sessions: hashes only. Decides nothing about them."""

from __future__ import annotations

from dataclasses import dataclass

from microclaw.store.following import Refresh
from microclaw.store.rows import Table
from microclaw.store.sql import Sql


@dataclass(frozen=True, slots=True)
class SignInRow:
    """`hash` is the SHA-256 of the session's secret; `how` is "link" or "password"; `agent` what the browser said."""

    sign_in_id: str
    person_id: str
    hash: bytes
    how: str
    address: str
    agent: str
    made_ms: int
    used_ms: int


def end_sessions(connection: Sql) -> None:
    """For a store from a backup: a session that ended after it was made must not be alive again."""
    connection.execute("DELETE FROM sign_ins")


def role_by_session(connection: Sql, sign_in_id: str) -> str | None:
    """The role of the person that a session belongs to; None when one of them is gone."""
    query = "SELECT role FROM people JOIN sign_ins USING (person_id) WHERE sign_in_id = ?"
    row = connection.execute(query, (sign_in_id,)).fetchone()
    return None if row is None else str(row[0])


class SignInTable(Table):
    """Sessions of one database."""

    async def list(self) -> tuple[SignInRow, ...]:
        """Every session, oldest first."""
        return await self._select(SignInRow, "sign_ins ORDER BY made_ms, sign_in_id")

    async def by_hash(self, digest: bytes) -> SignInRow | None:
        rows = await self._select(SignInRow, "sign_ins WHERE hash = ?", (digest,))
        return rows[0] if rows else None

    async def by_id(self, sign_in_id: str) -> SignInRow | None:
        rows = await self._select(SignInRow, "sign_ins WHERE sign_in_id = ?", (sign_in_id,))
        return rows[0] if rows else None

    async def add(self, row: SignInRow) -> None:
        """StoreError when its person is not there."""
        await self._insert("sign_ins", row)

    def note_use(self, sign_in_id: str, used_ms: int) -> None:
        """Written with the next transaction."""
        query = "UPDATE sign_ins SET used_ms = ? WHERE sign_in_id = ?"
        self._database.write_later(lambda connection: connection.execute(query, (used_ms, sign_in_id)))

    async def delete(self, sign_in_id: str) -> bool:
        """False when it is gone already."""
        return await self._execute("DELETE FROM sign_ins WHERE sign_in_id = ?", (sign_in_id,)) > 0

    def follow(self, refresh: Refresh) -> None:
        """As Database.follow."""
        self._database.follow(("people", "sign_ins"), refresh)


@dataclass(frozen=True, slots=True)
class PasswordRow:
    """`hash` in the PHC string format, with its salt and parameters."""

    person_id: str
    hash: str
    set_ms: int


class PasswordTable(Table):
    """Passwords of one database."""

    async def list(self) -> tuple[PasswordRow, ...]:
        return await self._select(PasswordRow, "person_passwords")

    async def get(self, person_id: str) -> PasswordRow | None:
        rows = await self._select(PasswordRow, "person_passwords WHERE person_id = ?", (person_id,))
        return rows[0] if rows else None

    async def put(self, row: PasswordRow) -> None:
        await self._insert("person_passwords", row, over=("person_id",))

    async def delete(self, person_id: str) -> int:
        return await self._execute("DELETE FROM person_passwords WHERE person_id = ?", (person_id,))
