"""The connection that the tables' functions use: SQLite's or PostgreSQL's, with the same statements.

A statement is written once, in the words of both engines: `?` and `?1` for values, `IS ?` if NULL counts as a value,
ON CONFLICT (columns), RETURNING, no function of only one engine. postgres_dialect.py translates the rest.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Protocol, TypeAlias

Values: TypeAlias = Sequence[Any] | Mapping[str, Any]


class Rows(Protocol):
    """The rows that a statement found, as tuples, or the number of rows that it changed."""

    @property
    def rowcount(self) -> int: ...

    def fetchone(self) -> Any: ...

    def fetchall(self) -> list[Any]: ...

    def __iter__(self) -> Iterator[Any]: ...


class Sql(Protocol):
    """A connection within a transaction, which a function neither begins nor ends."""

    def execute(self, sql: str, values: Values = ..., /) -> Rows: ...

    def executemany(self, sql: str, values: Iterable[Values], /) -> Rows: ...
