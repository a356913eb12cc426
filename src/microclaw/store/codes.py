"""One-time codes that the hosts of a cluster share, by their hashes. Empty where a host is alone.

What is a transaction here is one over all hosts: a code is taken once. Nothing of it knows a code itself.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from microclaw.store.following import Refresh
from microclaw.store.rows import Table, insert, select
from microclaw.store.sql import Sql

CodeKind: TypeAlias = Literal["person", "device", "signin"]
FOREIGN_KEPT_MS: Final = 3_600_000  # another host's clock may be behind: so long after its end its code may go

_TABLE: Final = "one_time_codes"
_ONE: Final = "one_time_codes WHERE kind = ? AND hash = ?"


@dataclass(frozen=True, slots=True)
class CodeRow:
    """`host` gave it; `about` is what it is for, in the form of its kind; `until_ms` is by that host's clock.

    Of a device's code: `wanted` is what a person wants who typed it at another host, `answer` what became of that.
    """

    kind: CodeKind
    hash: bytes
    host: str
    about: str
    made_ms: int
    until_ms: int
    wanted: str | None = None
    answer: str | None = None


class CodeTable(Table):
    """Codes of one shared database."""

    @property
    def host(self) -> str:
        """Whose codes these are that are added here."""
        return self._database.host or ""

    async def list(self, kind: CodeKind, now_ms: int) -> tuple[CodeRow, ...]:
        """Those that are good, the oldest first."""
        rest = "one_time_codes WHERE kind = ? AND until_ms > ? ORDER BY made_ms, hash"
        return await self._select(CodeRow, rest, (kind, now_ms))

    async def add(
        self, row: CodeRow, now_ms: int, *, instead_of: Collection[bytes] = (), at_most: int | None = None
    ) -> bool:
        """Keep a code, and forget those of the hashes `instead_of`, and the oldest of more than `at_most` of its kind.

        False, and nothing is done, where the same code is out already.
        """
        return await self._database.write(lambda connection: _add(connection, row, now_ms, instead_of, at_most))

    async def take(self, kind: CodeKind, digest: bytes, now_ms: int) -> CodeRow | None:
        """Use a good code up; None where there is none, or somebody took it."""
        row = await self._database.write(lambda connection: _take(connection, kind, digest, now_ms))
        if row is None and await self.catch_up():  # it was given at another host a moment ago
            row = await self._database.write(lambda connection: _take(connection, kind, digest, now_ms))
        return row

    async def get(self, kind: CodeKind, digest: bytes) -> CodeRow | None:
        rows = await self._select(CodeRow, _ONE, (kind, digest))
        return rows[0] if rows else None

    def forget_later(self, kind: CodeKind, digest: bytes) -> None:
        """Soon, unless somebody wants something with it."""
        query = "DELETE FROM one_time_codes WHERE kind = ? AND hash = ? AND wanted IS NULL"
        self._database.write_later(lambda connection: connection.execute(query, (kind, digest)))

    # What somebody wants with a code that another host gave

    async def want(self, kind: CodeKind, digest: bytes, wanted: str) -> CodeRow | None:
        """Take another host's code for this; None where there is none, or somebody has it.

        The host that gave it says when it is over.
        """
        query = """UPDATE one_time_codes SET wanted = ?, answer = NULL
            WHERE kind = ? AND hash = ? AND host <> ? AND wanted IS NULL"""
        values = (wanted, kind, digest, self.host)
        if not await self._execute(query, values):
            await self.catch_up()
            if not await self._execute(query, values):
                return None
        return await self.get(kind, digest)

    async def wanted_of(self, kind: CodeKind) -> tuple[CodeRow, ...]:
        """This host's codes with which somebody wants something, and has no answer."""
        rest = "one_time_codes WHERE kind = ? AND host = ? AND wanted IS NOT NULL AND answer IS NULL ORDER BY made_ms"
        return await self._select(CodeRow, rest, (kind, self.host))

    async def answer(self, row: CodeRow, answer: str) -> None:
        query = "UPDATE one_time_codes SET answer = ? WHERE kind = ? AND hash = ? AND wanted = ?"
        await self._execute(query, (answer, row.kind, row.hash, row.wanted))

    async def settle(self, row: CodeRow, *, is_good: bool) -> None:
        """The answer was read; `is_good` has the code wait for somebody again, else it goes."""
        if is_good:
            query = "UPDATE one_time_codes SET wanted = NULL, answer = NULL WHERE kind = ? AND hash = ? AND wanted = ?"
        else:
            query = "DELETE FROM one_time_codes WHERE kind = ? AND hash = ? AND wanted = ?"
        await self._execute(query, (row.kind, row.hash, row.wanted))

    def follow(self, refresh: Refresh) -> None:
        """As Database.follow."""
        self._database.follow((_TABLE,), refresh)


def _add(connection: Sql, row: CodeRow, now_ms: int, instead_of: Collection[bytes], at_most: int | None) -> bool:
    if select(connection, CodeRow, _ONE, (row.kind, row.hash)):
        return False
    _delete(connection, row.kind, instead_of)
    connection.execute(
        "DELETE FROM one_time_codes WHERE until_ms <= ? OR (host = ? AND until_ms <= ?)",
        (now_ms - FOREIGN_KEPT_MS, row.host, now_ms),
    )
    if at_most is not None:
        rest = "one_time_codes WHERE kind = ? ORDER BY made_ms, hash"
        there = select(connection, CodeRow, rest, (row.kind,))
        _delete(connection, row.kind, [one.hash for one in there[: max(0, len(there) - at_most + 1)]])
    insert(connection, _TABLE, row)
    return True


def _take(connection: Sql, kind: CodeKind, digest: bytes, now_ms: int) -> CodeRow | None:
    for row in select(connection, CodeRow, f"{_ONE} AND until_ms > ?", (kind, digest, now_ms)):
        _delete(connection, kind, (digest,))
        return row
    return None


def _delete(connection: Sql, kind: CodeKind, hashes: Collection[bytes]) -> None:
    for digest in hashes:
        connection.execute("DELETE FROM one_time_codes WHERE kind = ? AND hash = ?", (kind, digest))


def end_codes(connection: Sql) -> None:
    """For a store that becomes another one's: whoever has a code asks for a new one."""
    connection.execute("DELETE FROM one_time_codes")
