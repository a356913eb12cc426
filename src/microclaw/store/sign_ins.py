"""People's passwords and browsers' sessions: hashes only. Decides nothing about them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from microclaw.store.people import CredentialTable, Person
from microclaw.store.rows import Table, delete, insert, reads, scalar, writes
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


def end_sessions(sql: Sql) -> None:
    """For a store from a backup: a session that ended after it was made must not be alive again."""
    sql.execute("DELETE FROM sign_ins")


class SignInTable(CredentialTable[SignIn]):
    _kind, _name, _key = SignIn, "sign_ins", "sign_in_id"
    followed = frozenset({"people", "sign_ins"})


class PasswordTable(Table):
    """Passwords of one database: hashes in the PHC string format, with their salt and parameters."""

    @reads
    def any(self, sql: Sql) -> bool:
        return scalar(sql, "SELECT 1 FROM person_passwords LIMIT 1") is not None

    @reads
    def get(self, sql: Sql, person_id: str) -> str | None:
        hashed: str | None = scalar(sql, "SELECT hash FROM person_passwords WHERE person_id = ?", (person_id,))
        return hashed

    @writes
    def put(self, sql: Sql, person_id: str, hashed: str, now_ms: int) -> None:
        insert(sql, "person_passwords", None, over=("person_id",), person_id=person_id, hash=hashed, set_ms=now_ms)

    @writes
    def delete(self, sql: Sql, person_id: str) -> int:
        return delete(sql, "person_passwords", person_id=person_id).rowcount
