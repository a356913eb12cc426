"""The people a host knows, the addresses each has in its channels, and their tokens. Decides nothing about them."""

from __future__ import annotations

from collections import defaultdict
from typing import ClassVar, Final, Literal, TypeAlias, TypeVar

from msgspec import Struct
from msgspec.structs import replace

from microclaw.host.store.rows import RowTable, Table, delete, first, insert, reads, select, update, writes
from microclaw.host.store.sql import Sql

Role: TypeAlias = Literal["owner", "member", "guest", "read-only"]
Scope: TypeAlias = Literal["read", "chat", "act", "all"]
C = TypeVar("C")
# No id contains it: ids are "owner" and p-XXXXXXXX.
LIMIT_MARK: Final = "~"


def person_behind(person_id: str) -> str:
    """Return the id of the person whose budget and name count, also for the id of a limited person (auth/people.py)."""
    return person_id.partition(LIMIT_MARK)[0]


class Person(Struct, frozen=True):
    """A person whom this host knows. `person_id` is in messages and tokens; an automation is not a person.

    `addresses` are (channel, external id), oldest first; no two people share one.
    """

    # These fields are not columns of the table.
    beside: ClassVar = frozenset({"addresses"})

    person_id: str
    name: str
    role: Role | Literal["automation"]
    created_ms: int = 0
    addresses: tuple[tuple[str, str], ...] = ()

    def __eq__(self, other: object) -> bool:
        """Return True for the same person with the same name and role."""
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
        """Return everyone, oldest first."""
        return _list(sql)

    @writes
    def put(self, sql: Sql, person: Person, now_ms: int) -> None:
        """Add a person, or replace name, role and addresses. An address moves here from the person who had it."""
        _put(sql, person, now_ms)

    @writes
    def replace(self, sql: Sql, before: Person, after: Person, now_ms: int) -> bool:
        """Change a person; return False, and do nothing, if the stored one differs from `before` or does not exist."""
        # Two persons are equal by id, name and role, so the addresses are compared too.
        is_there = any(person == before and person.addresses == before.addresses for person in _list(sql))
        if is_there:
            _put(sql, after, now_ms)
        return is_there

    @writes
    def delete(self, sql: Sql, person_id: str) -> bool:
        """Forget a person, with their addresses and tokens; return False if they do not exist."""
        return delete(sql, "people", person_id=person_id).rowcount > 0


def _list(sql: Sql) -> tuple[Person, ...]:
    addresses: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for person_id, channel, external_id in sql.execute(
        "SELECT person_id, channel, external_id FROM person_addresses ORDER BY added_ms, channel, external_id"
    ):
        addresses[person_id].append((channel, external_id))
    people = select(sql, Person, "people ORDER BY created_ms, person_id")
    return tuple(replace(person, addresses=tuple(addresses[person.person_id])) for person in people)


def _put(sql: Sql, person: Person, now_ms: int) -> None:
    insert(sql, "people", person, over=("person_id",))
    delete(sql, "person_addresses", person_id=person.person_id)
    # A millisecond between two addresses keeps their order.
    sql.executemany(
        """INSERT INTO person_addresses (channel, external_id, person_id, added_ms) VALUES (?, ?, ?, ?)
        ON CONFLICT (channel, external_id)
        DO UPDATE SET person_id = excluded.person_id, added_ms = excluded.added_ms""",
        [(*address, person.person_id, now_ms + position) for position, address in enumerate(person.addresses)],
    )


class AccessToken(Struct, frozen=True):
    """A person's token. `hash` is the SHA-256 of the whole token text; a token with `expires_ms` None never ends.

    `scope` is as in auth.tokens. With a `page` ("lamp@kitchen") it opens only this program's page. `person` has the
    person's role, or less because of the scope. A row has "" there.
    """

    # These fields are not columns of the table.
    beside: ClassVar = frozenset({"person"})

    token_id: str
    name: str
    person_id: str
    hash: bytes
    made_ms: int
    expires_ms: int | None = None
    used_ms: int | None = None
    scope: Scope = "all"
    page: str = ""
    person: Person = Person("", "", "read-only")

    @property
    def number(self) -> str:
        return self.token_id

    def is_over(self, now_ms: int) -> bool:
        return self.expires_ms is not None and self.expires_ms <= now_ms


class CredentialTable(RowTable[C]):
    """The credentials of people in one database, without the people."""

    _order = "made_ms"

    @reads
    def by_hash(self, sql: Sql, digest: bytes) -> C | None:
        return first(sql, self._kind, f"{self._name} WHERE hash = ?", (digest,))

    def note_use(self, number: str, used_ms: int) -> None:
        """Note a use with the next transaction."""
        self.database.write_later(lambda sql: update(sql, self._name, {self._key: number}, used_ms=used_ms))

    @writes
    def add_new(self, sql: Sql, row: C) -> bool:
        """Add a credential; return False if its name is taken. Raises StoreError if its person does not exist."""
        return insert(sql, self._name, row, over=()) > 0


class PersonTokenTable(CredentialTable[AccessToken]):
    _kind = AccessToken
    _name = "person_tokens"
    _key = "token_id"
    followed = frozenset({"people", "person_tokens"})
