"""Texts that people and the model write (memory, persona), as rows of the store that the hosts of a cluster share.

A text's name is its path below the home of a host alone, where it is a file. Functions over a connection.
"""

from __future__ import annotations

from dataclasses import dataclass

from microclaw.store.sql import Sql


@dataclass(frozen=True, slots=True)
class TextRow:
    """A text without its words. `version` grows with each change."""

    name: str
    size_bytes: int
    changed_ms: int
    version: int


def read_text_row(connection: Sql, name: str) -> str | None:
    row = connection.execute("SELECT text FROM texts WHERE name = ?", (name,)).fetchone()
    return None if row is None else str(row[0])


def put_text(connection: Sql, name: str, text: str, now_ms: int) -> None:
    connection.execute(
        """INSERT INTO texts (name, text, size_bytes, changed_ms, version) VALUES (:name, :text, :size, :now, 1)
        ON CONFLICT (name) DO UPDATE SET text = :text, size_bytes = :size, changed_ms = :now,
            version = texts.version + 1""",
        {"name": name, "text": text, "size": len(text.encode()), "now": now_ms},
    )


def all_texts(connection: Sql) -> dict[str, tuple[TextRow, str]]:
    """Each with its words, in the order of their names."""
    rows = connection.execute("SELECT name, size_bytes, changed_ms, version, text FROM texts ORDER BY name")
    return {row[0]: (TextRow(*row[:4]), row[4]) for row in rows}
