"""The number of the store's schema and the steps to it; its tables are in schema.sql. Runs no SQL itself."""

from __future__ import annotations

from pathlib import Path
from typing import Final

APPLICATION_ID: Final = 0x6D636C77  # "mclw": tells our file from any other SQLite database
BASE: Final = 39  # the number of a store that schema.sql made; what is older is not opened

# STEPS[n] brings a store from number BASE + n to the next, in one transaction. A released step is never edited.
STEPS: Final[tuple[tuple[str, ...], ...]] = (
    (  # hosts that share a database; what is of one host alone is empty
        """CREATE TABLE hosts (
            host_id    TEXT PRIMARY KEY,
            name       TEXT NOT NULL,
            home       TEXT NOT NULL,
            facts      TEXT NOT NULL,
            renewed_ms INTEGER NOT NULL,
            until_ms   INTEGER NOT NULL,
            ended      TEXT CHECK (ended IN ('in order', 'gone'))
        ) STRICT""",
        "CREATE UNIQUE INDEX one_host_of_a_name ON hosts (name) WHERE ended IS NULL",
        """CREATE TABLE duties (
            name   TEXT PRIMARY KEY,
            holder TEXT,
            fence  INTEGER NOT NULL
        ) STRICT""",
        """CREATE TABLE payloads (
            sha256 TEXT NOT NULL,
            piece  INTEGER NOT NULL,
            data   BLOB NOT NULL,
            PRIMARY KEY (sha256, piece)
        ) STRICT""",
    ),
)
VERSION: Final = BASE + len(STEPS)


def schema() -> str:
    """The SQL of an empty store with the number BASE."""
    return Path(__file__).with_name("schema.sql").read_text()
