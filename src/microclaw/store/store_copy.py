"""A store as a backup has it: a copy as of one moment, what it holds, and what is ended when it is a host's again."""

from __future__ import annotations

import secrets
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Annotated, Final

import msgspec

from microclaw.errors import StoreError
from microclaw.store.codes import end_codes
from microclaw.store.inbox import end_unanswered
from microclaw.store.links import renew_all
from microclaw.store.sign_ins import end_sessions
from microclaw.store.sqlite_file import connect, open_store

Count = Annotated[int, msgspec.Meta(ge=0, lt=1 << 45)]
_COUNTED: Final = {
    "devices": "devices",
    "programs": "desired_apps",
    "schedules": "schedules WHERE state != 'over'",
    "people": "people",
    "changing_tokens": "tokens WHERE state = 'current'",
    "conversations": "sessions",
}


class StoreCounts(msgspec.Struct, frozen=True, kw_only=True):
    """`host` is the SHA-256 of the authority's certificate that devices trust, None where there never was one.

    `changing_tokens`: devices with a token, which the host changes after a day.
    """

    host: str | None
    store_version: Count
    devices: Count
    programs: Count
    schedules: Count
    people: Count
    changing_tokens: Count = 0
    conversations: Count = 0


def copy_store(store: Path, copy: Path) -> StoreCounts:
    """A whole copy, also while a host writes, and checked: a damaged store must not take the place of good backups.

    StoreError. Blocking.
    """
    step = "free some space on the disk of the home, then do it again; else see: microclaw doctor"
    with _told(f"the store {store} cannot be copied", step), closing(sqlite3.connect(copy)) as target:
        with closing(connect(store, read_only=True)) as source:
            source.backup(target)
        (verdict,) = target.execute("PRAGMA quick_check(1)").fetchone()
        if verdict == "ok":
            return _counts(target)
    text = f"the store {store} is damaged: {verdict}"
    raise StoreError(text, next_step="restore an earlier backup: microclaw backup restore FILE --replace")


def settle_copy(copy: Path) -> tuple[StoreCounts, int]:
    """Make a copy the store of a host: links, sessions, codes and open turns since are unknown to it, and end.

    What it held before that, and how many messages get no answer. StoreError. Blocking.
    """
    with _told("the store cannot be used", None):
        with closing(connect(copy, read_only=True)) as connection:
            counts = _counts(connection)  # before its tables are those of this version
        with closing(open_store(copy)) as connection:
            connection.execute("BEGIN IMMEDIATE")
            renew_all(connection, secrets.token_bytes)
            end_sessions(connection)
            end_codes(connection)
            unanswered = end_unanswered(connection)
            connection.execute("COMMIT")
    return counts, unanswered


def _counts(connection: sqlite3.Connection) -> StoreCounts:
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    host = connection.execute("SELECT fingerprint FROM authority").fetchone()
    counts = {
        name: connection.execute(f"SELECT count(*) FROM {rows}").fetchone()[0]  # noqa: S608 - names of this file
        for name, rows in _COUNTED.items()
    }
    return StoreCounts(host=host and host[0], store_version=version, **counts)


@contextmanager
def _told(text: str, next_step: str | None) -> Iterator[None]:
    try:
        yield
    except (sqlite3.Error, OSError) as exc:
        raise StoreError(f"{text}: {exc}", next_step=next_step) from exc
