"""The number of the store's schema and the steps to it; its tables are in schema.sql. Runs no SQL itself."""

from __future__ import annotations

from pathlib import Path
from typing import Final

# "mclw": distinguishes our file from any other SQLite database.
APPLICATION_ID: Final = 0x6D636C77
# The number of a store that schema.sql made. Older stores are not opened.
BASE: Final = 39

# STEPS[n] brings a store from number BASE + n to the next, in one transaction. A released step is never edited.
STEPS: Final[tuple[tuple[str, ...], ...]] = (
    # Hosts that share a database; on a single host these tables are empty.
    (
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
    # Every code that can be used once is a row of one table, on a single host too; a board's secret stays valid.
    (
        """CREATE TABLE codes (
            kind     TEXT NOT NULL,
            hash     BLOB NOT NULL CHECK (length(hash) = 32),
            host     TEXT NOT NULL,
            holder   TEXT NOT NULL,
            place    TEXT NOT NULL,
            about    TEXT NOT NULL,
            made_ms  INTEGER NOT NULL,
            until_ms INTEGER NOT NULL,
            used_ms  INTEGER,
            wish     TEXT,
            answer   TEXT,
            PRIMARY KEY (kind, hash)
        ) STRICT""",
        """INSERT INTO codes (kind, hash, host, holder, place, about, made_ms, until_ms, used_ms)
        SELECT 'secret', hash, '', coalesce(device_id, ''), coalesce(board_id, ''), coalesce(name, ''), 0, expires_ms,
            claimed_ms FROM pairing_secrets""",
        "DROP TABLE pairing_secrets",
        "DROP TABLE one_time_codes",
    ),
    # No version reads these tables any more.
    tuple(f"DROP TABLE IF EXISTS {name}" for name in ("xiaozhi_reports", "xiaozhi_updates", "old_texts")),
    # A message no longer joins another message's turn: each has its own turn.
    (
        "UPDATE inbox SET state = 'waiting' WHERE state = 'joined'",
        "UPDATE inbox SET joined = NULL",
        """DELETE FROM turn_rows WHERE body LIKE '%"kind":"joined"%'""",
    ),
    # A message has its sending time and its own number there; an answer has the message it replies to, and its failure.
    (
        "ALTER TABLE inbox ADD COLUMN sent_ms INTEGER",
        "ALTER TABLE inbox ADD COLUMN reply_to TEXT",
        "ALTER TABLE outbox ADD COLUMN reply_to TEXT",
        "ALTER TABLE outbox ADD COLUMN failed TEXT",
    ),
    # The last refused program of each name, for a person who wants to continue with it.
    (
        """CREATE TABLE drafts (
            device_id TEXT NOT NULL REFERENCES devices ON DELETE CASCADE,
            name      TEXT NOT NULL,
            at_ms     INTEGER NOT NULL,
            person    TEXT NOT NULL,
            source    TEXT NOT NULL,
            expect    TEXT,
            problem   TEXT NOT NULL,
            PRIMARY KEY (device_id, name)
        ) STRICT""",
    ),
    # The parts that are wired to a board, as the tables of a wiring's file.
    ("ALTER TABLE devices ADD COLUMN wiring TEXT NOT NULL DEFAULT '{}'",),
    # The parts that the wiring file of a program has, as JSON.
    ("ALTER TABLE desired_apps ADD COLUMN wiring TEXT",),
    # A token may be for the page of one program.
    ("ALTER TABLE person_tokens ADD COLUMN page TEXT NOT NULL DEFAULT ''",),
    # The pins that a person allowed to be driven although they need care.
    (
        """CREATE TABLE pin_consents (
            device_id TEXT NOT NULL REFERENCES devices ON DELETE CASCADE,
            pin       INTEGER NOT NULL,
            about     TEXT NOT NULL,
            at_ms     INTEGER NOT NULL,
            PRIMARY KEY (device_id, pin)
        ) STRICT""",
    ),
)
VERSION: Final = BASE + len(STEPS)


def schema() -> str:
    """Return the SQL of an empty store with the number BASE."""
    return Path(__file__).with_name("schema.sql").read_text()
