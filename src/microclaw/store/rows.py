"""Structs as rows: a field is the column of its encoded name. It knows no table and opens no database.

Its type says how it is kept: numbers, texts and bytes as they are, a truth as 0 or 1, a string enum by its value, all
else as JSON. Fields that the class names in `beside` are no columns.
"""

from __future__ import annotations

import json
import typing
from collections.abc import Callable, Collection, Coroutine, Iterable, Mapping, Sequence
from enum import StrEnum
from functools import cache, wraps
from types import NoneType, UnionType
from typing import Any, ClassVar, Concatenate, Final, Generic, Literal, ParamSpec, TypeVar, Union

from msgspec import ValidationError, convert, to_builtins

from microclaw.errors import StoreError
from microclaw.store.database import Database, Refresh
from microclaw.store.sql import Rows, Sql, Values

R = TypeVar("R")
P = ParamSpec("P")
T = TypeVar("T", bound="Table")

_PLAIN: Final = (int, float, str, bytes, NoneType)


class Table:
    """The base of the tables' classes: each method is a read or a transaction of its own."""

    followed: ClassVar[frozenset[str]] = frozenset()
    """The tables whose changes at other hosts are news."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.host = database.host
        """This host; None for one that runs alone."""
        self.is_shared = self.host is not None  # other hosts read and write it, too

    def follow(self, refresh: Refresh) -> None:
        """As Database.follow."""
        self.database.follow(self.followed, refresh)

    def listen(self, changed: Callable[[], None]) -> None:
        """Call `changed` when another host changed rows."""
        self.database.listen(lambda tables: changed() if tables & self.followed else None)


class TimedTable(Table):
    """One whose rows have times; `now_ms` is the time of day, and each method may ask for it in its transaction."""

    def __init__(self, database: Database, now_ms: Callable[[], int]) -> None:
        super().__init__(database)
        self._now_ms = now_ms


def reads(work: Callable[Concatenate[T, Sql, P], R]) -> Callable[Concatenate[T, P], Coroutine[Any, Any, R]]:
    """A method whose body runs on one snapshot, in the reader's thread: `async` for who calls it, without the Sql."""

    @wraps(work)
    async def run(table: T, /, *args: P.args, **options: P.kwargs) -> R:
        return await table.database.read(lambda sql: work(table, sql, *args, **options))

    return run


def writes(work: Callable[Concatenate[T, Sql, P], R]) -> Callable[Concatenate[T, P], Coroutine[Any, Any, R]]:
    """As `reads`, in a transaction of the writer's: what it returns is on the disk."""

    @wraps(work)
    async def run(table: T, /, *args: P.args, **options: P.kwargs) -> R:
        return await table.database.write(lambda sql: work(table, sql, *args, **options))

    return run


class RowTable(Table, Generic[R]):
    """The rows of one table, each an R. `_key` is the column that tells them apart, `_order` that of `list`."""

    _kind: type[R]
    _name: str
    _key: str
    _order: str

    @reads
    def get(self, sql: Sql, key: Any) -> R | None:
        return first(sql, self._kind, f"{self._name} WHERE {self._key} = ?", (key,))

    @reads
    def list(self, sql: Sql, /, **where: object) -> tuple[R, ...]:
        """Those with these values in these columns, in order; a tuple has all the values that are meant."""
        condition, values = matching(where)
        return select(sql, self._kind, f"{self._name} WHERE {condition} ORDER BY {self._order}", values)

    @writes
    def put(self, sql: Sql, row: R) -> None:
        """Add a row, or replace the one with its key."""
        insert(sql, self._name, row, over=(self._key,))

    @writes
    def add(self, sql: Sql, row: R) -> int:
        """Add a row that has no number yet; the number that it gets, which no other row ever has."""
        return insert(sql, self._name, row, number=self._key)

    @writes
    def delete(self, sql: Sql, key: Any) -> bool:
        """False when it is gone already."""
        return delete(sql, self._name, **{self._key: key}).rowcount > 0


def columns(kind: type[Any]) -> str:
    """Its columns in the order of its fields."""
    return ", ".join(column for _, column, _, _ in _plan(kind))


def one_of(values: Collection[object]) -> str:
    """`IN (?, ...)` for so many values; nothing is one of none."""
    return f"IN ({', '.join('?' * len(values)) or 'NULL'})"


def select(connection: Sql, kind: type[R], rest: str, values: Iterable[object] = ()) -> tuple[R, ...]:
    """The rows of `SELECT <its columns> FROM <rest>`; `rest` is SQL of ours, never text from outside."""
    query = f"SELECT {columns(kind)} FROM {rest}"  # noqa: S608 - names of ours
    rows = connection.execute(query, tuple(values))
    readers = [read for _, _, read, _ in _plan(kind)]
    if not any(readers):
        return tuple(kind(*row) for row in rows)
    return tuple(
        kind(*(value if read is None else read(value) for value, read in zip(row, readers, strict=True)))
        for row in rows
    )


def first(connection: Sql, kind: type[R], rest: str, values: Iterable[object] = ()) -> R | None:
    """The first of those rows."""
    return next(iter(select(connection, kind, rest, values)), None)


def values_of(row: object) -> dict[str, Any]:
    """The values of its columns."""
    return {
        column: getattr(row, name) if write is None else write(getattr(row, name))
        for name, column, _, write in _plan(type(row))
    }


def scalar(sql: Sql, query: str, values: Values = ()) -> Any:
    """The first value of the first row; None without a row."""
    row = sql.execute(query, values).fetchone()
    if row is None:
        return None
    return row[0]


def exists(sql: Sql, table: str, **where: object) -> bool:
    """True if a row has these values in these columns."""
    condition, values = matching(where)
    return scalar(sql, f"SELECT 1 FROM {table} WHERE {condition} LIMIT 1", values) is not None  # noqa: S608 - names of ours


def update(sql: Sql, table: str, where: Mapping[str, object], **news: object) -> Rows:
    """Give columns new values in the rows with those of `where`."""
    condition, values = matching(where)
    query = f"UPDATE {table} SET {', '.join(f'{name} = ?' for name in news)} WHERE {condition}"  # noqa: S608 - names of ours
    return sql.execute(query, (*news.values(), *values))


def delete(sql: Sql, table: str, **where: object) -> Rows:
    """Remove the rows with these values in these columns."""
    condition, values = matching(where)
    return sql.execute(f"DELETE FROM {table} WHERE {condition}", values)  # noqa: S608 - names of ours


def keep_newest(sql: Sql, table: str, most: int, number: str, also: str = "", **where: object) -> None:
    """Of the rows with these values delete the oldest beyond the newest `most`, by their `number`; with `also`, a
    condition, those of them that meet it."""
    condition, values = matching(where)
    sql.execute(
        f"""DELETE FROM {table} WHERE {condition} {also} AND {number} <= (SELECT {number} FROM {table}
            WHERE {condition} ORDER BY {number} DESC LIMIT 1 OFFSET ?)""",  # noqa: S608 - names of ours
        (*values, *values, most),
    )


def matching(where: Mapping[str, object]) -> tuple[str, tuple[object, ...]]:
    """A condition and its values; None is NULL, and a tuple has all the values that are meant."""
    parts = list[str]()
    values = list[object]()
    for column, value in where.items():
        if isinstance(value, tuple):
            some = value
        elif value is None:
            some = ()
        else:
            some = (value,)
        parts.append(f"{column} IS NULL" if value is None else f"{column} {one_of(some)}")
        values += some
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
    """Add a row; returns its `number`, a column that the store fills in, else how many rows were written.

    `over` are the columns of its key: a row of that key is overwritten; with none of them it stays as it is. `more`
    are columns that the row lacks; all of them where it is None. Names are ours, never text from outside.
    """
    values = ({} if row is None else values_of(row)) | more
    values.pop(number or "", None)
    query = f"INSERT INTO {table} ({', '.join(values)}) VALUES ({', '.join('?' * len(values))})"  # noqa: S608
    if over is not None:
        news = ", ".join(f"{column} = excluded.{column}" for column in values if column not in over)
        if over:
            query += f" ON CONFLICT ({', '.join(over)}) DO UPDATE SET {news}"
        else:
            query += " ON CONFLICT DO NOTHING"
    if number is None:
        return connection.execute(query, tuple(values.values())).rowcount
    (given,) = connection.execute(f"{query} RETURNING {number}", tuple(values.values())).fetchone()
    return int(given)


def _plan(kind: type[Any]) -> tuple[tuple[str, str, Any, Any], ...]:
    """Name, column, `read` and `write` of each field that is a column."""
    return _plan_once(kind)  # type: ignore[arg-type]  # mypy does not take a class for hashable


@cache
def _plan_once(kind: Any) -> tuple[tuple[str, str, Any, Any], ...]:
    types = typing.get_type_hints(kind)
    beside = getattr(kind, "beside", ())
    return tuple(
        (name, column, *stored_form(types[name], f"{kind.__name__}.{name}"))
        for name, column in zip(kind.__struct_fields__, kind.__struct_encode_fields__, strict=True)
        if name not in beside
    )


def stored_form(kind: Any, what: str) -> tuple[Any, Any]:
    """The functions that read and write a type, each None where values stay as they are; StoreError for any other."""
    if typing.get_origin(kind) in (Union, UnionType):
        parts = typing.get_args(kind)
    else:
        parts = (kind,)
    if kind is bool or all(part in _PLAIN or typing.get_origin(part) is Literal for part in parts):
        return bool if kind is bool else None, None
    if isinstance(kind, type) and issubclass(kind, StrEnum):
        return kind, str

    def read(text: str | None) -> Any:
        try:
            if text is None:
                return None
            return convert(json.loads(text), kind)
        except (ValueError, ValidationError) as exc:
            step = "restore the home directory from a backup"
            raise StoreError(f"the stored {what} cannot be read: {exc}", next_step=step) from exc

    return read, lambda value: None if value is None else json.dumps(to_builtins(value))
