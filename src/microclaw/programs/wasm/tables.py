"""The words of the tables beside this file: names.toml and options.toml."""

from __future__ import annotations

from microclaw.tables import read_table


def words_of(kind: str, name: str = "names") -> tuple[str, ...]:
    """Return the words of a kind, or of one in a table: "called_by.rand"; none if the table has no such entry."""
    table, _, entry = kind.partition(".")
    words = read_table(__package__, name)[table]
    if entry:
        words = words.get(entry, "")
    return tuple(words.split())
