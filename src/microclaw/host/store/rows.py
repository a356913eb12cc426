"""Structs as rows: a field is the column of its encoded name. It knows no table and opens no database.

The type of a field says how it is stored: numbers, texts and bytes as they are, a boolean as 0 or 1, a string enum by
its value, everything else as JSON. Fields that the class names in `beside` are not columns.
"""

from __future__ import annotations

import json
import typing
from collections.abc import Callable, Collection, Coroutine, Iterable, Mapping, Sequence
from enum import StrEnum
from functools import cache, wraps
from types import NoneType, UnionType
from typing import Any, ClassVar, Concatenate, Final, Generic, Literal, ParamSpec, TypeVar, Union

from msgspec import ValidationError, to_builtins

from microclaw.conversion import convert
from microclaw.errors import StoreError
from microclaw.host.store.database import Database, Refresh
from microclaw.host.store.sql import Rows, Sql, Values

R = TypeVar("R")
P = ParamSpec("P")
T = TypeVar("T", bound="Table")

_PLAIN: Final = (int, float, str, bytes, NoneType)


class Table:
    """The base class of the tables: each method is a read or a transaction of its own."""

    followed: ClassVar[frozenset[str]] = frozenset()
    """The tables whose changes at other hosts are reported to listeners."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.host = database.host
        """This host's id; None outside of a cluster."""
        self.is_shared = self.host is not None
        """True if other hosts read and write the same rows."""

    def follow(self, refresh: Refresh) -> None:
        """Run `refresh` after another host changed rows of this table, as Database.follow does."""
        self.database.follow(self.followed, refresh)

    def listen(self, changed: Callable[[], None]) -> None:
        """Call `changed` when another host changed rows."""

        def notify(tables: frozenset[str]) -> None:
            if tables & self.followed:
                changed()

        self.database.listen(notify)


class TimedTable(Table):
    """A table whose rows have times. `now_ms` returns the time of day; each method may call it in its transaction."""

    def __init__(self, database: Database, now_ms: Callable[[], int]) -> None:
        super().__init__(database)
        self._now_ms = now_ms


def reads(work: Callable[Concatenate[T, Sql, P], R]) -> Callable[Concatenate[T, P], Coroutine[Any, Any, R]]:
    """Make a method run on one snapshot in the reader's thread: `async` for its callers, without the Sql argument."""

    @wraps(work)
    async def run(table: T, /, *args: P.args, **options: P.kwargs) -> R:
        return await table.database.read(lambda sql: work(table, sql, *args, **options))

    return run


def writes(work: Callable[Concatenate[T, Sql, P], R]) -> Callable[Concatenate[T, P], Coroutine[Any, Any, R]]:
    """Make a method run in a transaction of the writer's thread, as `reads` does; its result is on the disk."""

    @wraps(work)
    async def run(table: T, /, *args: P.args, **options: P.kwargs) -> R:
        return await table.database.write(lambda sql: work(table, sql, *args, **options))

    return run


class RowTable(Table, Generic[R]):
    """The rows of one table, each an R. `_key` is the column of the key, `_order` the order of `list`."""

    _kind: type[R]
    _name: str
    _key: str
    _order: str

    @reads
    def get(self, sql: Sql, key: Any) -> R | None:
        return first(sql, self._kind, f"{self._name} WHERE {self._key} = ?", (key,))

    @reads
    def list(self, sql: Sql, /, **where: object) -> tuple[R, ...]:
        """Return the rows with these values in these columns, in order; a tuple is a set of accepted values."""
        condition, values = matching(where)
        return select(sql, self._kind, f"{self._name} WHERE {condition} ORDER BY {self._order}", values)

    @writes
    def put(self, sql: Sql, row: R) -> None:
        """Add a row, or replace the row with its key."""
        insert(sql, self._name, row, over=(self._key,))

    @writes
    def add(self, sql: Sql, row: R) -> int:
        """Add a row without a number; return its new number, which no other row ever has."""
        return insert(sql, self._name, row, number=self._key)

    @writes
    def delete(self, sql: Sql, key: Any) -> bool:
        """Delete a row; return False if it does not exist."""
        return delete(sql, self._name, **{self._key: key}).rowcount > 0


def columns(kind: type[Any]) -> str:
    """Return the columns of a class, in the order of its fields, as SQL."""
    return ", ".join(column for _, column, _, _ in _plan(kind))


def one_of(values: Collection[object]) -> str:
    """Return SQL `IN (?, ...)` for these values; it is never true if there are none."""
    return f"IN ({', '.join('?' * len(values)) or 'NULL'})"


def select(connection: Sql, kind: type[R], rest: str, values: Iterable[object] = ()) -> tuple[R, ...]:
    """Return the rows of `SELECT <its columns> FROM <rest>`; `rest` is SQL of ours, never text from outside."""
    query = f"SELECT {columns(kind)} FROM {rest}"  # noqa: S608 - names of ours
    rows = connection.execute(query, tuple(values))
    readers = [(place, read) for place, (_, _, read, _) in enumerate(_plan(kind)) if read is not None]
    if not readers:
        return tuple(kind(*row) for row in rows)
    structs = []
    for row in rows:
        fields = list(row)
        for place, read in readers:
            fields[place] = read(fields[place])
        structs.append(kind(*fields))
    return tuple(structs)


def first(connection: Sql, kind: type[R], rest: str, values: Iterable[object] = ()) -> R | None:
    """Return the first of the rows that `select` finds, or None."""
    return next(iter(select(connection, kind, rest, values)), None)


def values_of(row: object) -> dict[str, Any]:
    """Return the values of a row by column."""
    values = {}
    for name, column, _, write in _plan(type(row)):
        value = getattr(row, name)
        values[column] = value if write is None else write(value)
    return values


def scalar(sql: Sql, query: str, values: Values = ()) -> Any:
    """Return the first value of the first row; None if there is no row."""
    row = sql.execute(query, values).fetchone()
    if row is None:
        return None
    return row[0]


def exists(sql: Sql, table: str, **where: object) -> bool:
    """Return True if a row has these values in these columns."""
    condition, values = matching(where)
    return scalar(sql, f"SELECT 1 FROM {table} WHERE {condition} LIMIT 1", values) is not None  # noqa: S608 - names of ours


def update(sql: Sql, table: str, where: Mapping[str, object], **news: object) -> Rows:
    """Set columns to new values in the rows that match `where`."""
    condition, values = matching(where)
    assignments = ", ".join(f"{name} = ?" for name in news)
    query = f"UPDATE {table} SET {assignments} WHERE {condition}"  # noqa: S608 - names of ours
    return sql.execute(query, (*news.values(), *values))


def delete(sql: Sql, table: str, **where: object) -> Rows:
    """Delete the rows with these values in these columns."""
    condition, values = matching(where)
    return sql.execute(f"DELETE FROM {table} WHERE {condition}", values)  # noqa: S608 - names of ours


def keep_newest(sql: Sql, table: str, most: int, number: str, also: str = "", **where: object) -> None:
    """Delete the oldest rows with these values beyond the newest `most`, by their `number`.

    `also` is a condition ("AND ..."): only rows that meet it are deleted.
    """
    condition, values = matching(where)
    sql.execute(
        f"""DELETE FROM {table} WHERE {condition} {also} AND {number} <= (SELECT {number} FROM {table}
            WHERE {condition} ORDER BY {number} DESC LIMIT 1 OFFSET ?)""",  # noqa: S608 - names of ours
        (*values, *values, most),
    )


def matching(where: Mapping[str, object]) -> tuple[str, tuple[object, ...]]:
    """Return a condition and its values; None is NULL, and a tuple is a set of accepted values."""
    parts = list[str]()
    values = list[object]()
    for column, value in where.items():
        if value is None:
            parts.append(f"{column} IS NULL")
            continue
        accepted = value if isinstance(value, tuple) else (value,)
        parts.append(f"{column} {one_of(accepted)}")
        values += accepted
    return " AND ".join(parts) or "true", tuple(values)


def insert(
    connection: Sql,
    table: str,
    row: object | None,
    *,
    number: str | None = None,
    over: Sequence[str] | None = None,
    **more: object,
) -> int:
    """Add a row; return its `number`, a column that the store fills in, else how many rows were written.

    `over` are the columns of its key: an existing row of that key is overwritten; if `over` is empty, the existing row
    stays as it is. `more` are columns that are not fields of the row; all columns if the row is None. Names are ours,
    never text from outside.
    """
    values = dict(more) if row is None else values_of(row) | more
    if number is not None:
        values.pop(number, None)
    query = f"INSERT INTO {table} ({', '.join(values)}) VALUES ({', '.join('?' * len(values))})"  # noqa: S608
    if over:
        news = ", ".join(f"{column} = excluded.{column}" for column in values if column not in over)
        query += f" ON CONFLICT ({', '.join(over)}) DO UPDATE SET {news}"
    elif over is not None:
        query += " ON CONFLICT DO NOTHING"
    if number is None:
        return connection.execute(query, tuple(values.values())).rowcount
    (new_number,) = connection.execute(f"{query} RETURNING {number}", tuple(values.values())).fetchone()
    return int(new_number)


def _plan(kind: type[Any]) -> tuple[tuple[str, str, Any, Any], ...]:
    """Return name, column, `read` and `write` of each field that is a column."""
    return _plan_once(kind)  # type: ignore[arg-type]  # mypy does not take a class for hashable


@cache
def _plan_once(kind: Any) -> tuple[tuple[str, str, Any, Any], ...]:
    types = typing.get_type_hints(kind)
    beside = getattr(kind, "beside", ())
    plan = []
    for name, column in zip(kind.__struct_fields__, kind.__struct_encode_fields__, strict=True):
        if name not in beside:
            read, write = stored_form(types[name], f"{kind.__name__}.{name}")
            plan.append((name, column, read, write))
    return tuple(plan)


def stored_form(kind: Any, what: str) -> tuple[Any, Any]:
    """Return the functions that read and write a type, each None if values stay as they are.

    `what` names the field in errors. The reading function raises StoreError for JSON that does not fit the type.
    """
    if kind is bool:
        return bool, None
    if typing.get_origin(kind) in (Union, UnionType):
        parts = typing.get_args(kind)
    else:
        parts = (kind,)
    if all(part in _PLAIN or typing.get_origin(part) is Literal for part in parts):
        return None, None
    if isinstance(kind, type) and issubclass(kind, StrEnum):
        return kind, str

    def read(text: str | None) -> Any:
        if text is None:
            return None
        try:
            return convert(json.loads(text), kind)
        except (ValueError, ValidationError) as exc:
            step = "restore the home directory from a backup"
            raise StoreError(f"the stored {what} cannot be read: {exc}", next_step=step) from exc

    def write(value: Any) -> str | None:
        if value is None:
            return None
        return json.dumps(to_builtins(value))

    return read, write
