"""Opens the database file: one owner, private modes, integrity, migrations. Blocking; reads and writes no rows.

Never an empty store in place of a broken one: a new store is built beside its final name and renamed, so that a file
that is there but empty was damaged.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import sqlite3
from pathlib import Path
from typing import Final, Self

from microclaw.errors import StoreError, StoreOwned
from microclaw.store.durable import sync_folder
from microclaw.store.migrations import APPLICATION_ID, MIGRATIONS

CHECKED_BYTES: Final = 64 * 1024 * 1024  # a larger file is not checked page by page at every start
BUSY_TIMEOUT_S: Final = 5.0
NEEDED_BYTES: Final = 256 * 1024  # for the log of writes and its index
_RESTORE: Final = "restore it from a backup, or move it away to begin with an empty store"


class OwnerLock:
    """Held while a process uses a store; the kernel lets go of it when the process ends, however it ends."""

    def __init__(self, fd: int) -> None:
        self._fd = fd

    @classmethod
    def take(cls, path: Path) -> Self:
        """StoreError when another process holds it, or the folder cannot be made."""
        lock_path = path.with_name(path.name + ".lock")
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            fd = os.open(lock_path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
        except OSError as exc:
            raise StoreError(
                f"the store's folder {path.parent} cannot be used: {exc.strerror}",
                next_step="check its owner and permissions, or set MICROCLAW_HOME to another folder",
            ) from exc
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as exc:
            owner = os.read(fd, 32).decode(errors="replace").strip()
            os.close(fd)
            raise StoreOwned(
                f"the store {path} belongs to a running host (process {owner or 'unknown'})",
                next_step="use that host, or stop it first",
            ) from exc
        with contextlib.suppress(OSError):  # a full disk: the lock holds, it just does not name its owner
            os.ftruncate(fd, 0)
            os.pwrite(fd, f"{os.getpid()}\n".encode(), 0)
        return cls(fd)

    def release(self) -> None:
        os.close(self._fd)


def open_store(path: Path) -> sqlite3.Connection:
    """The writer's connection to a store that is whole and of this version; creates it when there is none."""
    if not path.exists():
        _create(path)
    try:
        if path.stat().st_size == 0:
            raise StoreError(f"the store {path} is empty: its contents were lost", next_step=_RESTORE)
        with path.open("r+b"):  # SQLite would open a read-only file without a word
            pass
    except OSError as exc:
        raise StoreError(
            f"the store {path} cannot be opened: {exc.strerror}", next_step="check its owner and permissions"
        ) from exc
    connection = connect(path)
    try:
        _check(connection, path)
        _migrate(connection, path)
    except sqlite3.Error as exc:
        connection.close()
        raise StoreError(f"the store {path} cannot be used: {exc}", next_step=_remedy(path)) from exc
    except BaseException:
        connection.close()
        raise
    return connection


def connect(path: Path, *, read_only: bool = False) -> sqlite3.Connection:
    """A connection that commits only when told to, and syncs each commit."""
    try:
        connection = sqlite3.connect(path, timeout=BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False)
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute("PRAGMA foreign_keys = ON")
            if read_only:
                connection.execute("PRAGMA query_only = ON")
        except BaseException:
            connection.close()
            raise
    except sqlite3.Error as exc:
        raise StoreError(f"the store {path} cannot be opened: {exc}", next_step=_remedy(path)) from exc
    return connection


def _create(path: Path) -> None:
    wal = path.with_name(path.name + "-wal")
    if wal.exists() and wal.stat().st_size:
        raise StoreError(f"the store {path} is missing, but {wal.name} holds writes to it", next_step=_RESTORE)
    building = path.with_name(path.name + ".new")
    try:
        building.unlink(missing_ok=True)
        os.close(os.open(building, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
        connection = sqlite3.connect(building, isolation_level=None)
        try:
            connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            _migrate(connection, building)
        finally:
            connection.close()
        building.rename(path)
        sync_folder(path.parent)
    except (OSError, sqlite3.Error) as exc:
        raise StoreError(
            f"the store {path} cannot be created: {exc}", next_step="check the folder's permissions and free space"
        ) from exc


def _remedy(path: Path) -> str:
    """SQLite cannot always tell damage from a disk without room, and nobody should give up a whole store for that."""
    disk = os.statvfs(path.parent)
    if disk.f_bavail * disk.f_frsize < NEEDED_BYTES:
        return f"free some space on the disk of {path.parent}, then start the host again: the store may be whole"
    return _RESTORE


def _check(connection: sqlite3.Connection, path: Path) -> None:
    (application_id,) = connection.execute("PRAGMA application_id").fetchone()
    if application_id != APPLICATION_ID:
        raise StoreError(f"{path} is not a microclaw store", next_step="move it away, or use another home directory")
    if path.stat().st_size <= CHECKED_BYTES:
        (verdict,) = connection.execute("PRAGMA quick_check(1)").fetchone()
        if verdict != "ok":
            raise StoreError(f"the store {path} is damaged: {verdict}", next_step=_RESTORE)


def _migrate(connection: sqlite3.Connection, path: Path) -> None:
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version > len(MIGRATIONS):
        raise StoreError(
            f"the store {path} has version {version}, this microclaw knows {len(MIGRATIONS)}",
            next_step="use the newer microclaw that wrote it",
        )
    for number in range(version, len(MIGRATIONS)):
        connection.execute("BEGIN IMMEDIATE")
        try:
            for statement in MIGRATIONS[number]:
                connection.execute(statement)
            connection.execute(f"PRAGMA user_version = {number + 1}")
            connection.execute("COMMIT")
        except BaseException:
            connection.execute("ROLLBACK")
            raise
