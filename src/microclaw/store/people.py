"""The people a host knows, the addresses each has in its channels, and their tokens. Decides nothing about them."""

from __future__ import annotations

from collections import defaultdict
from typing import ClassVar, Final, Literal, TypeAlias, TypeVar

from msgspec import Struct
from msgspec.structs import replace

from microclaw.store.rows import RowTable, Table, delete, first, insert, reads, select, update, writes
from microclaw.store.sql import Sql

Role: TypeAlias = Literal["owner", "member", "guest", "read-only"]
Scope: TypeAlias = Literal["read", "chat", "act", "all"]
C = TypeVar("C")
LIMIT_MARK: Final = "~"  # in no id: those are "owner" and p-XXXXXXXX


def person_behind(person_id: str) -> str:
    """The person whose budget and name it is: the person's own id, also of a limited one (auth/people.py)."""
    return person_id.partition(LIMIT_MARK)[0]


class Person(Struct, frozen=True):
    """Somebody this host knows. `person_id` is what messages and tokens carry; an automation is no person.

    `addresses` are (channel, external id), oldest first; no two people share one.
    """

    beside: ClassVar = frozenset({"addresses"})  # no columns

    person_id: str
    name: str
    role: Role | Literal["automation"]
    created_ms: int = 0
    addresses: tuple[tuple[str, str], ...] = ()

    def __eq__(self, other: object) -> bool:
        """The same person with the same name and role."""
        return isinstance(other, Person) and self._key == other._key

    def __hash__(self) -> int:
        return hash(self._key)

    @property
    def _key(self) -> tuple[str, str, str]:
        return self.person_id, self.name, self.role


class PeopleTable(Table):
    """People of one database."""

    followed = frozenset({"people", "person_addresses"})

    @reads
    def list(self, sql: Sql) -> tuple[Person, ...]:
        """Everybody, oldest first."""
        return _list(sql)

    @writes
    def put(self, sql: Sql, person: Person, now_ms: int) -> None:
        """Add a person, or replace name, role and addresses. An address moves here from the person who had it."""
        _put(sql, person, now_ms)

    @writes
    def replace(self, sql: Sql, before: Person, after: Person, now_ms: int) -> bool:
        """Change somebody; False, and nothing is done, where they are another than `before`, or gone."""
        is_there = any(one == before and one.addresses == before.addresses for one in _list(sql))
        if is_there:
            _put(sql, after, now_ms)
        return is_there

    @writes
    def delete(self, sql: Sql, person_id: str) -> bool:
        """Forget somebody, with their addresses and tokens; False when they are gone already."""
        return delete(sql, "people", person_id=person_id).rowcount > 0


def _list(sql: Sql) -> tuple[Person, ...]:
    addresses: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for person_id, channel, external_id in sql.execute(
        "SELECT person_id, channel, external_id FROM person_addresses ORDER BY added_ms, channel, external_id"
    ):
        addresses[person_id].append((channel, external_id))
    people = select(sql, Person, "people ORDER BY created_ms, person_id")
    return tuple(replace(one, addresses=tuple(addresses[one.person_id])) for one in people)


def _put(sql: Sql, person: Person, now_ms: int) -> None:
    insert(sql, "people", person, over=("person_id",))
    delete(sql, "person_addresses", person_id=person.person_id)
    sql.executemany(  # a millisecond between two keeps their order
        """INSERT INTO person_addresses (channel, external_id, person_id, added_ms) VALUES (?, ?, ?, ?)
        ON CONFLICT (channel, external_id)
        DO UPDATE SET person_id = excluded.person_id, added_ms = excluded.added_ms""",
        [(*address, person.person_id, now_ms + position) for position, address in enumerate(person.addresses)],
    )


class Token(Struct, frozen=True):
    """`hash` is the SHA-256 of the whole token text; `expires_ms` None never ends; `scope` as auth.tokens has it.

    `person` is the one that it comes in as: with the person's role, or less by its scope. A row has "" there.
    """

    beside: ClassVar = frozenset({"person"})  # no columns

    token_id: str
    name: str
    person_id: str
    hash: bytes
    made_ms: int
    expires_ms: int | None = None
    used_ms: int | None = None
    scope: Scope = "all"
    person: Person = Person("", "", "read-only")

    @property
    def number(self) -> str:
        return self.token_id

    def is_over(self, now_ms: int) -> bool:
        return self.expires_ms is not None and self.expires_ms <= now_ms


class CredentialTable(RowTable[C]):
    """The credentials of a person, of one database, without the people."""

    _order = "made_ms"

    @reads
    def by_hash(self, sql: Sql, digest: bytes) -> C | None:
        return first(sql, self._kind, f"{self._name} WHERE hash = ?", (digest,))

    def note_use(self, number: str, used_ms: int) -> None:
        """Written with the next transaction."""
        self.database.write_later(lambda sql: update(sql, self._name, {self._key: number}, used_ms=used_ms))

    @writes
    def add_new(self, sql: Sql, row: C) -> bool:
        """False when its name is taken; StoreError when its person is not there."""
        return insert(sql, self._name, row, over=()) > 0


class PersonTokenTable(CredentialTable[Token]):
    _kind = Token
    _name = "person_tokens"
    _key = "token_id"
    followed = frozenset({"people", "person_tokens"})
