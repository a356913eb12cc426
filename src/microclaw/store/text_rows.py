"""Texts that people and the model write (memory, persona), as rows of the store that the hosts of a cluster share.

A text's name is its path below the home of a host alone, where it is a file. Functions over a connection.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

VERSIONS_KEPT: Final = 20  # of one text


@dataclass(frozen=True, slots=True)
class TextRow:
    """A text without its words. `version` grows with each change."""

    name: str
    size_bytes: int
    changed_ms: int
    version: int


@dataclass(frozen=True, slots=True)
class OldText:
    """What a text was before a change."""

    name: str
    kept_ms: int
    version: int
    text: str


def read_text_row(connection: sqlite3.Connection, name: str) -> str | None:
    row = connection.execute("SELECT text FROM texts WHERE name = ?", (name,)).fetchone()
    return None if row is None else str(row[0])


def put_text(connection: sqlite3.Connection, name: str, text: str, now_ms: int, *, keep: bool) -> None:
    """Put a text in place of the one that is there, which is kept as an old version with `keep`."""
    if keep:
        connection.execute(
            "INSERT INTO old_texts (name, version, kept_ms, text) SELECT name, version, ?, text FROM texts "
            "WHERE name = ? AND text != ''",
            (now_ms, name),
        )
        connection.execute(
            "DELETE FROM old_texts WHERE name = :name AND version NOT IN "
            "(SELECT version FROM old_texts WHERE name = :name ORDER BY version DESC LIMIT :kept)",
            {"name": name, "kept": VERSIONS_KEPT},
        )
    connection.execute(
        """INSERT INTO texts (name, text, size_bytes, changed_ms, version) VALUES (:name, :text, :size, :now, 1)
        ON CONFLICT (name) DO UPDATE SET text = :text, size_bytes = :size, changed_ms = :now, version = version + 1""",
        {"name": name, "text": text, "size": len(text.encode()), "now": now_ms},
    )


def list_texts(connection: sqlite3.Connection, folder: str) -> list[TextRow]:
    """Those below a folder, at any depth, by name."""
    rows = connection.execute(
        "SELECT name, size_bytes, changed_ms, version FROM texts WHERE name >= ? AND name < ? ORDER BY name",
        (f"{folder}/", f"{folder}0"),  # "0" comes after "/"
    )
    return [TextRow(*row) for row in rows]


def old_texts(connection: sqlite3.Connection) -> Iterator[OldText]:
    for row in connection.execute("SELECT name, kept_ms, version, text FROM old_texts ORDER BY name, version"):
        yield OldText(*row)
