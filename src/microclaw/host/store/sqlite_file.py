"""The store's file: its owner, how it is opened and made, and its schema's version. It runs no query of a table."""

from __future__ import annotations

import fcntl
import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from io import FileIO
from pathlib import Path
from typing import Final

from microclaw.durable import make_folders, sync_folder
from microclaw.errors import StoreError, StoreOwned, StoreUnwritable
from microclaw.host.store.schema import APPLICATION_ID, BASE, STEPS, VERSION, schema

# A larger file is not checked page by page at every start.
CHECKED_BYTES: Final = 64 * 1024 * 1024
BUSY_TIMEOUT_S: Final = 5.0
# Each try waits BUSY_TIMEOUT_S.
CHECKPOINT_TRIES: Final = 3
# For the log of writes and its index.
NEEDED_BYTES: Final = 256 * 1024
ROOM: Final = "free some space on the disk of the home; the host continues by itself"
_REFUSED: Final = {sqlite3.SQLITE_FULL, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_IOERR_WRITE, sqlite3.SQLITE_IOERR_FSYNC}
RESTORE: Final = (
    "restore it from a backup (microclaw backup restore FILE --replace), or move it away and begin with an empty one: "
    "microclaw up --new-store"
)


# If bytes of the file are damaged, the text of an error may not be UTF-8: then the binding raises UnicodeDecodeError.
ERRORS: Final = (sqlite3.Error, UnicodeDecodeError)


class SqliteConnection(sqlite3.Connection):
    """A store.database.Connection. `begins` is the statement that begins its transactions."""

    errors = ERRORS
    is_lost = False
    begins = "BEGIN IMMEDIATE"

    @property
    def is_in_transaction(self) -> bool:
        return self.in_transaction

    def begin(self) -> None:
        self.execute(self.begins)

    def rewrite(self) -> None:
        """Write the file again without free pages, and empty the log of writes."""
        self.execute("VACUUM")
        # A reader in the middle of its work prevents this.
        for _ in range(CHECKPOINT_TRIES):
            (is_busy, _, _) = self.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
            if not is_busy:
                return
        raise StoreError("the store's log of writes could not be emptied: it is being read", next_step="do it again")

    def store_error(self, exc: Exception) -> StoreError:
        code = getattr(exc, "sqlite_errorcode", 0)
        # The low byte is the primary code of an extended one.
        primary_code = code & 0xFF
        is_damaged = isinstance(exc, UnicodeDecodeError) or primary_code in (
            sqlite3.SQLITE_CORRUPT,
            sqlite3.SQLITE_NOTADB,
        )
        if is_damaged:
            error = StoreError(f"the store is damaged: {exc}", next_step=f"stop the host; {RESTORE}")
        elif code in _REFUSED or primary_code in _REFUSED:
            error = StoreUnwritable(f"the store cannot write: {exc}", next_step=ROOM)
        else:
            error = StoreError(
                f"the store failed: {exc}",
                next_step="check the disk's free space and health, then start the host again",
            )
        error.__cause__ = exc
        return error


def take_lock(path: Path) -> FileIO:
    """Lock the store for this process; the lock ends when the returned file is closed, or with the process.

    Raises StoreOwned if another process holds it, StoreError if the folder cannot be made.
    """
    lock_path = path.with_name(path.name + ".lock")
    try:
        make_folders(path.parent)
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
    # On a full disk the lock holds, it only does not name its owner.
    with suppress(OSError):
        os.ftruncate(fd, 0)
        os.pwrite(fd, f"{os.getpid()}\n".encode(), 0)
    return FileIO(fd, "r+")


def open_store(path: Path) -> SqliteConnection:
    """Open the writer's connection to a store that is whole; create or upgrade the store if needed."""
    if not path.exists():
        create_store(path)
    with _translate_errors(path), _close_on_error(open_whole(path)) as connection:
        _upgrade(connection, path)
    return connection


def open_whole(path: Path) -> SqliteConnection:
    """Open the writer's connection to an existing store that is whole, of any version. Raises StoreError."""
    _check_file(path)
    with _translate_errors(path), _close_on_error(connect(path)) as connection:
        (application_id,) = connection.execute("PRAGMA application_id").fetchone()
        if application_id != APPLICATION_ID:
            step = "move it away, or use another home directory"
            raise StoreError(f"{path} is not a microclaw store", next_step=step)
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        if version < BASE:
            raise StoreError(
                f"the store {path} has version {version}, too old: this microclaw opens {BASE} and later",
                next_step="move it away and begin with an empty one: microclaw up --new-store",
            )
        if path.stat().st_size <= CHECKED_BYTES:
            (verdict,) = connection.execute("PRAGMA quick_check(1)").fetchone()
            if verdict != "ok":
                raise StoreError(f"the store {path} is damaged: {verdict}", next_step=RESTORE)
    return connection


def _check_file(path: Path) -> None:
    """Raise StoreError if the store is missing, empty or not writable."""
    if not path.is_file():
        raise StoreError(
            f"the store {path} is not a file", next_step="move it away, and put the store's backup in its place"
        )
    try:
        if path.stat().st_size == 0:
            raise StoreError(f"the store {path} is empty: its contents were lost", next_step=RESTORE)
        # SQLite would open a read-only file without an error.
        with path.open("r+b"):
            pass
    except OSError as exc:
        raise StoreError(
            f"the store {path} cannot be opened: {exc.strerror}", next_step="check its owner and permissions"
        ) from exc


def connect(path: Path, *, read_only: bool = False) -> SqliteConnection:
    """Open a connection that commits only on COMMIT, and syncs each commit."""
    with _translate_errors(path, "opened"):
        file = sqlite3.connect(
            path, timeout=BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False, factory=SqliteConnection
        )
        with _close_on_error(file) as connection:
            # PostgreSQL has these functions.
            connection.create_function("greatest", 2, max, deterministic=True)
            connection.create_function("least", 2, min, deterministic=True)
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute("PRAGMA foreign_keys = ON")
            # Deleted text is overwritten, in free pages too.
            connection.execute("PRAGMA secure_delete = ON")
            if read_only:
                connection.execute("PRAGMA query_only = ON")
                connection.begins = "BEGIN"
    return connection


def create_store(path: Path) -> None:
    """Create an empty store of this version at `path`. Raises StoreError, also if a log of writes is left there."""
    wal = path.with_name(path.name + "-wal")
    if wal.exists() and wal.stat().st_size:
        raise StoreError(f"the store {path} is missing, but {wal.name} holds writes to it", next_step=RESTORE)
    building = path.with_name(path.name + ".new")
    try:
        building.unlink(missing_ok=True)
        os.close(os.open(building, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
        with closing(sqlite3.connect(building, isolation_level=None)) as connection:
            connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            connection.executescript(schema())
            connection.execute(f"PRAGMA user_version = {BASE}")
            _upgrade(connection, building)
        building.rename(path)
        sync_folder(path.parent)
    except (OSError, sqlite3.Error) as exc:
        raise StoreError(
            f"the store {path} cannot be created: {exc}", next_step="check the folder's permissions and free space"
        ) from exc


def kept_as(path: Path) -> Path:
    """Return the path under which the store at `path` is kept when it is replaced: a name that no file has."""
    kept = path.with_name(f"{path.name}.replaced")
    number = 2
    while kept.exists():
        kept = path.with_name(f"{path.name}.replaced-{number}")
        number += 1
    return kept


def keep_aside(path: Path) -> Path:
    """Keep the store at `path`, which no process has open, under another name; return that path."""
    with _translate_errors(path, "kept aside"), closing(connect(path)) as connection:
        # This moves the contents of the log of writes into the file.
        connection.execute("PRAGMA journal_mode = DELETE")
    kept = kept_as(path)
    path.replace(kept)
    sync_folder(path.parent)
    return kept


@contextmanager
def _close_on_error(connection: SqliteConnection) -> Iterator[SqliteConnection]:
    try:
        yield connection
    except BaseException:
        connection.close()
        raise


@contextmanager
def _translate_errors(path: Path, use: str = "used") -> Iterator[None]:
    """Raise an error of SQLite as a StoreError.

    SQLite sometimes reports a full disk as damage: then the store may be whole.
    """
    try:
        yield
    except ERRORS as exc:
        disk = os.statvfs(path.parent)
        step = RESTORE
        if disk.f_bavail * disk.f_frsize < NEEDED_BYTES:
            step = f"free some space on the disk of {path.parent}, then start the host again: the store may be whole"
        raise StoreError(f"the store {path} cannot be {use}: {exc}", next_step=step) from exc


def _upgrade(connection: sqlite3.Connection, path: Path) -> None:
    """Upgrade a store to this version, each step in a transaction.

    Raises StoreError for a store of a newer microclaw.
    """
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version > VERSION:
        raise StoreError(
            f"the store {path} has version {version}, this microclaw knows {VERSION}",
            next_step="use the newer microclaw that wrote it",
        )
    for number in range(version, VERSION):
        with connection:
            connection.execute("BEGIN IMMEDIATE")
            for statement in STEPS[number - BASE]:
                connection.execute(statement)
            connection.execute(f"PRAGMA user_version = {number + 1}")
