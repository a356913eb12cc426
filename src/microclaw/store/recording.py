"""What changes a store, as statements with their values: the same statements on the same store give the same store.

A group of writes becomes one entry of the cluster's log (cluster/nats_log.py). Nothing of a statement may depend on the
machine that runs it: no clock, no random number, no row number that another store would give otherwise.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any, Final, TypeAlias

import msgspec

from microclaw.errors import StoreError

Values: TypeAlias = Sequence[Any] | Mapping[str, Any]
FORMAT: Final = 1

_CHANGES = re.compile(r"\s*((INSERT|REPLACE|UPDATE|DELETE|CREATE|ALTER|DROP|WITH)\b|PRAGMA\s+user_version\s*=)", re.I)
_SCHEMA = re.compile(r"\s*(CREATE|ALTER|DROP|PRAGMA)\b", re.I)
_ENDS = re.compile(r"\s*(BEGIN|COMMIT|END|ROLLBACK(?!\s+TO\b))\b", re.I)
_SETS = re.compile(r"\s*PRAGMA\s+(?!user_version\b)[a-z_.]+\s*=", re.I)
_DIFFERS = re.compile(
    r"\b(random(blob)?\s*\(|current_(date|time|timestamp)\b|(last_insert_rowid|total_changes)\s*\()|'now'", re.I
)
_DELETED = re.compile(r"\b(?:DELETE\s+FROM|REPLACE\s+INTO)\s+([a-z_]+)", re.I)
_TABLES = re.compile(r"\b(?:INTO|UPDATE|FROM|TABLE)\s+(?:IF\s+(?:NOT\s+)?EXISTS\s+)?([a-z_]+)", re.I)


class Statement(msgspec.Struct, array_like=True, frozen=True):
    """One statement and the values of each time that it ran."""

    sql: str
    runs: list[Any]


class Entry(msgspec.Struct, array_like=True, frozen=True):
    """A transaction: made by the host `host`, on a store whose schema has the version `schema` and whose last entry is
    `previous`."""

    entry_id: str
    host: str
    schema: int
    statements: list[Statement]
    previous: str
    format: int = FORMAT

    @property
    def tables(self) -> frozenset[str]:
        """The tables that it names."""
        return frozenset().union(*(tables_of(statement.sql) for statement in self.statements))

    @property
    def deleted_from(self) -> frozenset[str]:
        """The tables that it deletes rows of."""
        return frozenset().union(*(_deleted_from(statement.sql) for statement in self.statements))

    @property
    def is_of_schema(self) -> bool:
        return any(_SCHEMA.match(statement.sql) for statement in self.statements)


def encode(entry: Entry) -> bytes:
    return msgspec.msgpack.encode(entry, enc_hook=_as_sqlite_takes_it)


def decode(data: bytes) -> Entry:
    """StoreError for what is no entry of this form: a newer host wrote it."""
    try:
        entry = msgspec.msgpack.decode(data, type=Entry)
    except msgspec.DecodeError as exc:
        raise StoreError(f"an entry of the cluster's log cannot be read: {exc}", next_step=_NEWER) from exc
    if entry.format != FORMAT:
        raise StoreError(f"an entry of the cluster's log has the form {entry.format}", next_step=_NEWER)
    return entry


_NEWER = "use the microclaw of the host that wrote it: microclaw cluster status shows versions"


def _as_sqlite_takes_it(value: Any) -> Any:
    kinds: tuple[type[Any], ...] = (str, int, float, bytes)
    for kind in kinds:
        if isinstance(value, kind):  # a class of its own, below one of these
            return kind(value)
    raise TypeError(f"a store takes no {type(value).__name__}")


class RecordingConnection(sqlite3.Connection):
    """Keeps the statements that changed something, without those that a savepoint took back.

    While it does, a statement that ends the transaction, or sets how this connection behaves, is refused: the others
    would not know of it.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._statements: list[Statement] = []
        self._marks: list[int] = []
        self._records = False

    def record(self) -> None:
        """Keep what is done from now on."""
        self._statements, self._marks, self._records = [], [], True

    def recorded(self) -> list[Statement]:
        """What was done since `record`; nothing is kept from now on."""
        statements, self._statements, self._records = self._statements, [], False
        return statements

    def apply(self, statements: Iterable[Statement]) -> None:
        """Do what another host did."""
        for statement in statements:
            for values in statement.runs:
                super().execute(statement.sql, values)

    def execute(self, sql: str, parameters: Any = (), /) -> sqlite3.Cursor:
        if not self._records:
            return super().execute(sql, parameters)
        _refuse(sql)
        before = self.total_changes
        cursor = super().execute(sql, parameters)
        if self.total_changes != before or (_changes(sql) and ("RETURNING" in sql.upper() or _SCHEMA.match(sql))):
            self._statements.append(Statement(sql, [parameters]))
        elif sql.startswith("SAVEPOINT"):
            self._marks.append(len(self._statements))
        elif sql.startswith("ROLLBACK TO"):
            del self._statements[self._marks[-1] :]
        elif sql.startswith("RELEASE"):
            self._marks.pop()
        return cursor

    def executemany(self, sql: str, parameters: Iterable[Any], /) -> sqlite3.Cursor:
        if not self._records:
            return super().executemany(sql, parameters)
        runs = list(parameters)
        super().execute("SAVEPOINT many")  # all of them or none, as they are one statement of the log
        try:
            cursor = super().executemany(sql, runs)
        except BaseException:
            if self.in_transaction:
                super().execute("ROLLBACK TO many")
                super().execute("RELEASE many")
            raise
        super().execute("RELEASE many")
        if runs:
            self._statements.append(Statement(sql, runs))
        return cursor

    def cursor(self, *args: Any, **kwargs: Any) -> Any:
        if self._records:
            raise NotImplementedError("a cursor's statements are not recorded: execute them on the connection")
        return super().cursor(*args, **kwargs)

    def executescript(self, sql_script: str, /) -> sqlite3.Cursor:
        raise NotImplementedError("a script commits by itself: execute its statements")


@lru_cache(maxsize=1024)
def _changes(sql: str) -> bool:
    return _CHANGES.match(sql) is not None


@lru_cache(maxsize=1024)
def _is_refused(sql: str) -> str | None:
    if _ENDS.match(sql):
        return "the transaction ended inside a job"
    if _SETS.match(sql):
        return "a job changes no setting of its connection"
    if _changes(sql) and _DIFFERS.search(sql):
        return "a statement that gives each host something else: give it the value"
    return None


def _refuse(sql: str) -> None:
    if (why := _is_refused(sql)) is not None:
        raise sqlite3.OperationalError(why)


@lru_cache(maxsize=1024)
def _deleted_from(sql: str) -> frozenset[str]:
    return frozenset(name.lower() for name in _DELETED.findall(sql))


def dependents_of(connection: sqlite3.Connection) -> dict[str, frozenset[str]]:
    """For each table those whose rows change when one of its rows is deleted, by their foreign keys."""
    tables = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
    nearest: dict[str, set[str]] = {}
    for table in tables:
        for _, _, parent, _, _, _, on_delete, _ in connection.execute(f"PRAGMA foreign_key_list({table})"):
            if on_delete in ("CASCADE", "SET NULL", "SET DEFAULT"):
                nearest.setdefault(parent.lower(), set()).add(table.lower())
    dependents: dict[str, frozenset[str]] = {}
    for parent, found in nearest.items():
        reached, open_ones = set[str](), list(found)
        while open_ones:
            table = open_ones.pop()
            if table not in reached:
                reached.add(table)
                open_ones += nearest.get(table, ())
        dependents[parent] = frozenset(reached)
    return dependents


@lru_cache(maxsize=1024)
def tables_of(sql: str) -> frozenset[str]:
    """The names behind INTO, UPDATE, FROM and TABLE."""
    return frozenset(name.lower() for name in _TABLES.findall(sql))
