"""The connection that the tables' functions use: SQLite's, or PostgreSQL's in the same words.

A statement is written once, in what both engines take: `?` and `?1` for values, `IS ?` where NULL is a value like any,
ON CONFLICT (columns), RETURNING, no function of one engine alone. postgres_dialect.py puts the rest into other words.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Protocol, TypeAlias

Values: TypeAlias = Sequence[Any] | Mapping[str, Any]


class Rows(Protocol):
    """The rows that a statement found, as tuples, or how many rows it changed."""

    @property
    def rowcount(self) -> int: ...

    def fetchone(self) -> Any: ...

    def fetchall(self) -> list[Any]: ...

    def __iter__(self) -> Iterator[Any]: ...


class Sql(Protocol):
    """A connection within a transaction, which a function neither begins nor ends."""

    def execute(self, sql: str, values: Values = ..., /) -> Rows: ...

    def executemany(self, sql: str, values: Iterable[Values], /) -> Rows: ...
