"""People's passwords and browsers' sessions: hashes only. Decides nothing about them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from microclaw.store.people import CredentialTable, Person
from microclaw.store.rows import Table
from microclaw.store.sql import Sql

IDLE_MS: Final = 7 * 86_400_000  # without a request
LONGEST_MS: Final = 30 * 86_400_000
CLOCK_BACK_MS: Final = 300_000


@dataclass(frozen=True, slots=True)
class SignIn:
    """A session. `hash` is the SHA-256 of its secret; `how` is "link" or "password"; `agent` what the browser said.

    `person` is whose it is, as they are now; a row has "" there.
    """

    sign_in_id: str
    person_id: str
    hash: bytes = field(repr=False)
    how: str
    address: str
    agent: str
    made_ms: int
    used_ms: int
    person: Person = field(default=Person("", "", "read-only"), metadata={"column": None})

    @property
    def number(self) -> str:
        return self.sign_in_id

    @property
    def ends_ms(self) -> int:
        """When it is over, should nobody use it again."""
        return min(self.used_ms + IDLE_MS, self.made_ms + LONGEST_MS)

    def is_over(self, now_ms: int) -> bool:
        """Also where the clock is so far behind its begin that it is wrong."""
        return not self.made_ms - CLOCK_BACK_MS <= now_ms < self.ends_ms


def end_sessions(connection: Sql) -> None:
    """For a store from a backup: a session that ended after it was made must not be alive again."""
    connection.execute("DELETE FROM sign_ins")


class SignInTable(CredentialTable[SignIn]):
    _kind, _name, _id = SignIn, "sign_ins", "sign_in_id"


class PasswordTable(Table):
    """Passwords of one database: hashes in the PHC string format, with their salt and parameters."""

    async def any(self) -> bool:
        return await self._database.read(
            lambda connection: connection.execute("SELECT 1 FROM person_passwords LIMIT 1").fetchone() is not None
        )

    async def get(self, person_id: str) -> str | None:
        query = "SELECT hash FROM person_passwords WHERE person_id = ?"
        row = await self._database.read(lambda connection: connection.execute(query, (person_id,)).fetchone())
        return None if row is None else str(row[0])

    async def put(self, person_id: str, hashed: str, now_ms: int) -> None:
        query = """INSERT INTO person_passwords (person_id, hash, set_ms) VALUES (?, ?, ?)
            ON CONFLICT (person_id) DO UPDATE SET hash = excluded.hash, set_ms = excluded.set_ms"""
        await self._execute(query, (person_id, hashed, now_ms))

    async def delete(self, person_id: str) -> int:
        return await self._execute("DELETE FROM person_passwords WHERE person_id = ?", (person_id,))
