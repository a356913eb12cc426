"""Rows of the people a host knows and the addresses each has in its channels. Decides nothing about them."""

from __future__ import annotations

from dataclasses import dataclass, replace

from microclaw.store.following import Refresh
from microclaw.store.rows import Table, insert
from microclaw.store.sql import Sql


@dataclass(frozen=True, slots=True)
class PersonRow:
    """`addresses` are (channel, external id), oldest first; no two people share one."""

    person_id: str
    name: str
    role: str
    created_ms: int
    addresses: tuple[tuple[str, str], ...] = ()


class PeopleTable(Table):
    """Person rows of one database."""

    async def list(self) -> tuple[PersonRow, ...]:
        """Everybody, oldest first."""
        return await self._database.read(_list)

    async def put(self, row: PersonRow, now_ms: int) -> None:
        """Add a person, or replace name, role and addresses. An address moves here from the person who had it."""
        await self._database.write(lambda connection: _put(connection, row, now_ms))

    async def replace(self, before: PersonRow, after: PersonRow, now_ms: int) -> bool:
        """Change somebody; False, and nothing is done, where the row is another than `before`, or gone."""
        return await self._database.write(lambda connection: _replace(connection, before, after, now_ms))

    async def delete(self, person_id: str) -> bool:
        """Forget somebody, with their addresses and tokens; False when they are gone already."""
        return await self._execute("DELETE FROM people WHERE person_id = ?", (person_id,)) > 0

    def follow(self, refresh: Refresh) -> None:
        """As Database.follow."""
        self._database.follow(("people", "person_addresses"), refresh)


def _list(connection: Sql) -> tuple[PersonRow, ...]:
    addresses: dict[str, list[tuple[str, str]]] = {}
    for person_id, channel, external_id in connection.execute(
        "SELECT person_id, channel, external_id FROM person_addresses ORDER BY added_ms"
    ):
        addresses.setdefault(person_id, []).append((channel, external_id))
    rows = connection.execute("SELECT person_id, name, role, created_ms FROM people ORDER BY created_ms, person_id")
    return tuple(
        PersonRow(person_id, name, role, created_ms, tuple(addresses.get(person_id, ())))
        for person_id, name, role, created_ms in rows
    )


def _replace(connection: Sql, before: PersonRow, after: PersonRow, now_ms: int) -> bool:
    if _unordered(before) not in map(_unordered, _list(connection)):
        return False
    _put(connection, after, now_ms)
    return True


def _unordered(row: PersonRow) -> PersonRow:
    """An address that moved from one person to another keeps its time."""
    return replace(row, addresses=tuple(sorted(row.addresses)))


def _put(connection: Sql, row: PersonRow, now_ms: int) -> None:
    connection.execute(
        """INSERT INTO people (person_id, name, role, created_ms) VALUES (?, ?, ?, ?)
        ON CONFLICT (person_id) DO UPDATE SET name = excluded.name, role = excluded.role""",
        (row.person_id, row.name, row.role, row.created_ms),
    )
    connection.execute("DELETE FROM person_addresses WHERE person_id = ?", (row.person_id,))
    connection.executemany(
        """INSERT INTO person_addresses (channel, external_id, person_id, added_ms) VALUES (?, ?, ?, ?)
        ON CONFLICT (channel, external_id) DO UPDATE SET person_id = excluded.person_id""",
        [(*address, row.person_id, now_ms + position) for position, address in enumerate(row.addresses)],  # in order
    )


def role_by_token(connection: Sql, token_id: str) -> str | None:
    """The role of the person that a token belongs to; None when one of them is gone."""
    query = "SELECT role FROM people JOIN person_tokens USING (person_id) WHERE token_id = ?"
    row = connection.execute(query, (token_id,)).fetchone()
    return None if row is None else str(row[0])


@dataclass(frozen=True, slots=True)
class PersonTokenRow:
    """`hash` is the SHA-256 of the whole token text; `expires_ms` None never ends; `scope` as auth.tokens has it."""

    token_id: str
    name: str
    person_id: str
    hash: bytes
    made_ms: int
    expires_ms: int | None = None
    used_ms: int | None = None
    scope: str = "all"


class PersonTokenTable(Table):
    """Token rows of one database."""

    async def list(self) -> tuple[PersonTokenRow, ...]:
        """Every token, oldest first."""
        return await self._select(PersonTokenRow, "person_tokens ORDER BY made_ms, token_id")

    async def by_hash(self, digest: bytes) -> PersonTokenRow | None:
        rows = await self._select(PersonTokenRow, "person_tokens WHERE hash = ?", (digest,))
        return rows[0] if rows else None

    async def by_id(self, token_id: str) -> PersonTokenRow | None:
        rows = await self._select(PersonTokenRow, "person_tokens WHERE token_id = ?", (token_id,))
        return rows[0] if rows else None

    async def add(self, row: PersonTokenRow) -> bool:
        """False when its name is taken; StoreError when its person is not there."""

        def add(connection: Sql) -> bool:
            if connection.execute("SELECT 1 FROM person_tokens WHERE name = ?", (row.name,)).fetchone():
                return False
            insert(connection, "person_tokens", row)
            return True

        return await self._database.write(add)

    def note_use(self, token_id: str, used_ms: int) -> None:
        """Written with the next transaction."""
        query = "UPDATE person_tokens SET used_ms = ? WHERE token_id = ?"
        self._database.write_later(lambda connection: connection.execute(query, (used_ms, token_id)))

    async def delete(self, token_id: str) -> bool:
        """False when it is gone already."""
        return await self._execute("DELETE FROM person_tokens WHERE token_id = ?", (token_id,)) > 0

    def follow(self, refresh: Refresh) -> None:
        """As Database.follow."""
        self._database.follow(("people", "person_tokens"), refresh)
