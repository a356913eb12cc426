"""The database's tables, as numbered steps that are applied once each and never edited. Runs no SQL itself."""

from __future__ import annotations

from typing import Final

APPLICATION_ID: Final = 0x6D636C77  # "mclw": tells our file from any other SQLite database

# MIGRATIONS[n] brings a store from version n to n + 1; each runs in one transaction.
MIGRATIONS: Final[tuple[tuple[str, ...], ...]] = (
    (
        """CREATE TABLE devices (
            device_id  TEXT PRIMARY KEY,
            name       TEXT NOT NULL UNIQUE,
            board_id   TEXT NOT NULL,
            labels     TEXT NOT NULL,
            created_ms INTEGER NOT NULL
        ) STRICT""",
        """CREATE TABLE faces (
            face_id   TEXT PRIMARY KEY,
            device_id TEXT NOT NULL REFERENCES devices ON DELETE CASCADE,
            position  INTEGER NOT NULL
        ) STRICT""",
        "CREATE INDEX faces_of_device ON faces (device_id, position)",
        """CREATE TABLE images (
            sha256     TEXT PRIMARY KEY,
            wasm       BLOB NOT NULL,
            source     TEXT,
            meta       TEXT NOT NULL,
            created_ms INTEGER NOT NULL
        ) STRICT""",
        """CREATE TABLE desired_apps (
            device_id   TEXT NOT NULL,
            name        TEXT NOT NULL,
            sha256      TEXT NOT NULL REFERENCES images,
            heap_bytes  INTEGER NOT NULL,
            timers      INTEGER NOT NULL,
            watchdog_ms INTEGER NOT NULL,
            pins        TEXT NOT NULL,
            since_ms    INTEGER NOT NULL,
            PRIMARY KEY (device_id, name)
        ) STRICT""",
        """CREATE TABLE changes (
            change_id INTEGER PRIMARY KEY AUTOINCREMENT,
            at_ms     INTEGER NOT NULL,
            device_id TEXT NOT NULL,
            kind      TEXT NOT NULL,
            summary   TEXT NOT NULL,
            forward   TEXT NOT NULL,
            inverse   TEXT,
            state     TEXT NOT NULL CHECK (state IN ('planned', 'done', 'failed', 'unknown')),
            undoes    INTEGER REFERENCES changes,
            undone_by INTEGER REFERENCES changes
        ) STRICT""",
        "CREATE INDEX changes_of_device ON changes (device_id, change_id)",
        "CREATE INDEX changes_unsettled ON changes (state) WHERE state IN ('planned', 'unknown')",
        """CREATE TABLE effects (
            turn_id     TEXT NOT NULL,
            iteration   INTEGER NOT NULL,
            position    INTEGER NOT NULL,
            tool        TEXT NOT NULL,
            arguments   TEXT NOT NULL,
            class       TEXT NOT NULL CHECK (class IN ('read', 'idempotent', 'once')),
            state       TEXT NOT NULL CHECK (state IN ('planned', 'started', 'done', 'failed', 'dropped')),
            result      TEXT,
            planned_ms  INTEGER NOT NULL,
            started_ms  INTEGER,
            finished_ms INTEGER,
            PRIMARY KEY (turn_id, iteration, position)
        ) STRICT""",
        "CREATE INDEX effects_unfinished ON effects (state) WHERE state IN ('planned', 'started')",
    ),
)
