"""The people a host knows, the addresses each has in its channels, and their tokens. Decides nothing about them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Generic, Literal, TypeAlias, TypeVar

from microclaw.store.following import Refresh
from microclaw.store.rows import Table, insert
from microclaw.store.sql import Sql

Role: TypeAlias = Literal["owner", "member", "guest", "read-only"]
Scope: TypeAlias = Literal["read", "chat", "act", "all"]
C = TypeVar("C")


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody this host knows. `person_id` is what messages and tokens carry; an automation is no person.

    `addresses` are (channel, external id), oldest first; no two people share one.
    """

    person_id: str
    name: str
    role: Role | Literal["automation"]
    created_ms: int = field(default=0, compare=False)
    addresses: tuple[tuple[str, str], ...] = field(default=(), compare=False)


class PeopleTable(Table):
    """People of one database."""

    async def list(self) -> tuple[Person, ...]:
        """Everybody, oldest first."""
        return await self._database.read(_list)

    async def put(self, person: Person, now_ms: int) -> None:
        """Add a person, or replace name, role and addresses. An address moves here from the person who had it."""
        await self._database.write(lambda connection: _put(connection, person, now_ms))

    async def replace(self, before: Person, after: Person, now_ms: int) -> bool:
        """Change somebody; False, and nothing is done, where they are another than `before`, or gone."""

        def change(connection: Sql) -> bool:
            if not any(one == before and one.addresses == before.addresses for one in _list(connection)):
                return False
            _put(connection, after, now_ms)
            return True

        return await self._database.write(change)

    async def delete(self, person_id: str) -> bool:
        """Forget somebody, with their addresses and tokens; False when they are gone already."""
        return await self._execute("DELETE FROM people WHERE person_id = ?", (person_id,)) > 0

    def follow(self, refresh: Refresh) -> None:
        """As Database.follow."""
        self._database.follow(("people", "person_addresses"), refresh)


def _list(connection: Sql) -> tuple[Person, ...]:
    addresses: dict[str, list[tuple[str, str]]] = {}
    for person_id, channel, external_id in connection.execute(
        "SELECT person_id, channel, external_id FROM person_addresses ORDER BY added_ms, channel, external_id"
    ):
        addresses.setdefault(person_id, []).append((channel, external_id))
    rows = connection.execute("SELECT person_id, name, role, created_ms FROM people ORDER BY created_ms, person_id")
    return tuple(
        Person(person_id, name, role, created_ms, tuple(addresses.get(person_id, ())))
        for person_id, name, role, created_ms in rows
    )


def _put(connection: Sql, person: Person, now_ms: int) -> None:
    connection.execute(
        """INSERT INTO people (person_id, name, role, created_ms) VALUES (?, ?, ?, ?)
        ON CONFLICT (person_id) DO UPDATE SET name = excluded.name, role = excluded.role""",
        (person.person_id, person.name, person.role, person.created_ms),
    )
    connection.execute("DELETE FROM person_addresses WHERE person_id = ?", (person.person_id,))
    connection.executemany(  # a millisecond between two keeps their order
        """INSERT INTO person_addresses (channel, external_id, person_id, added_ms) VALUES (?, ?, ?, ?)
        ON CONFLICT (channel, external_id)
        DO UPDATE SET person_id = excluded.person_id, added_ms = excluded.added_ms""",
        [(*address, person.person_id, now_ms + position) for position, address in enumerate(person.addresses)],
    )


@dataclass(frozen=True, slots=True)
class Token:
    """`hash` is the SHA-256 of the whole token text; `expires_ms` None never ends; `scope` as auth.tokens has it.

    `person` is the one that it comes in as: with the person's role, or less by its scope. A row has "" there.
    """

    token_id: str
    name: str
    person_id: str
    hash: bytes = field(repr=False)
    made_ms: int
    expires_ms: int | None = None
    used_ms: int | None = None
    scope: Scope = "all"
    person: Person = field(default=Person("", "", "read-only"), metadata={"column": None})

    @property
    def number(self) -> str:
        return self.token_id

    def is_over(self, now_ms: int) -> bool:
        return self.expires_ms is not None and self.expires_ms <= now_ms


class CredentialTable(Table, Generic[C]):
    """What opens the host for a person, of one database, without the people."""

    _kind: type[C]
    _name: str
    _id: str  # the column

    async def list(self) -> tuple[C, ...]:
        """All of them, oldest first."""
        return await self._select(self._kind, f"{self._name} ORDER BY made_ms, {self._id}")

    async def add(self, row: C) -> bool:
        """False when its name is taken; StoreError when its person is not there."""
        await self._insert(self._name, row)
        return True

    async def by_hash(self, digest: bytes) -> C | None:
        return next(iter(await self._select(self._kind, f"{self._name} WHERE hash = ?", (digest,))), None)

    async def by_id(self, number: str) -> C | None:
        return next(iter(await self._select(self._kind, f"{self._name} WHERE {self._id} = ?", (number,))), None)

    def note_use(self, number: str, used_ms: int) -> None:
        """Written with the next transaction."""
        query = f"UPDATE {self._name} SET used_ms = ? WHERE {self._id} = ?"  # noqa: S608 - names of ours
        self._database.write_later(lambda connection: connection.execute(query, (used_ms, number)))

    async def delete(self, number: str) -> bool:
        """False when it is gone already."""
        query = f"DELETE FROM {self._name} WHERE {self._id} = ?"  # noqa: S608 - names of ours
        return await self._execute(query, (number,)) > 0

    @classmethod
    def role(cls, connection: Sql, number: str) -> Role | None:
        """Its person's; None when one of them is gone."""
        query = f"SELECT role FROM people JOIN {cls._name} USING (person_id) WHERE {cls._id} = ?"  # noqa: S608 - ours
        row = connection.execute(query, (number,)).fetchone()
        return None if row is None else row[0]

    def follow(self, refresh: Refresh) -> None:
        """As Database.follow."""
        self._database.follow(("people", self._name), refresh)


class PersonTokenTable(CredentialTable[Token]):
    _kind, _name, _id = Token, "person_tokens", "token_id"

    async def add(self, token: Token) -> bool:
        def add(connection: Sql) -> bool:
            if connection.execute("SELECT 1 FROM person_tokens WHERE name = ?", (token.name,)).fetchone():
                return False
            insert(connection, "person_tokens", token)
            return True

        return await self._database.write(add)
