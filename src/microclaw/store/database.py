"""The host's one SQLite database: a writer thread that commits many writes at once, a reader thread, one owner.

It knows no rows: the tables' modules bring the functions that run on its connections. What `write` returned is on
the disk: each group of writes is one transaction, synced (WAL, synchronous=FULL) before any is acknowledged.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import logging
import os
import queue
import sqlite3
import threading
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Generic, TypeVar

from microclaw.durable import make_folders, sync_folder
from microclaw.errors import Overloaded, StoreError, StoreOwned
from microclaw.store.migrations import APPLICATION_ID, MIGRATIONS

CHECKED_BYTES: Final = 64 * 1024 * 1024  # a larger file is not checked page by page at every start
BUSY_TIMEOUT_S: Final = 5.0
CHECKPOINT_TRIES: Final = 3  # each waits BUSY_TIMEOUT_S
NEEDED_BYTES: Final = 256 * 1024  # for the log of writes and its index
_RESTORE: Final = (
    "restore it from a backup (microclaw restore FILE --replace), or move it away and begin with an empty one: "
    "microclaw up --new-store"
)


def take_lock(path: Path) -> int:
    """The file that says that this process uses the store: its lock ends when it is closed, or with the process.

    StoreError when another process holds it, or the folder cannot be made.
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
    with contextlib.suppress(OSError):  # a full disk: the lock holds, it just does not name its owner
        os.ftruncate(fd, 0)
        os.pwrite(fd, f"{os.getpid()}\n".encode(), 0)
    return fd


def open_store(path: Path) -> sqlite3.Connection:
    """The writer's connection to a store that is whole and of this version; creates it when there is none."""
    if not path.exists():
        _create(path)
    if not path.is_file():
        raise StoreError(
            f"the store {path} is no file", next_step="move away what is there, and put the store's backup in its place"
        )
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
            connection.execute("PRAGMA secure_delete = ON")  # what is deleted is overwritten, in free pages too
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
    """What to do. SQLite reports a full disk as damage at times: then the store may still be whole."""
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


T = TypeVar("T")

_log = logging.getLogger(__name__)

MAX_WAITING = 10_000
MAX_GROUP = 256  # writes a commit: enough to hide the sync, few enough to keep a group's latency in milliseconds


class Database:
    """Made by `Database.open`. `write` and `read` take functions that run on their thread's connection."""

    def __init__(self, path: Path, lock: int, writer: sqlite3.Connection, reader: sqlite3.Connection) -> None:
        loop = asyncio.get_running_loop()
        self.path = path
        self._lock = lock
        self._writer = _Worker(writer, loop, name="store writer", group=MAX_GROUP, write=True)
        self._reader = _Worker(reader, loop, name="store reader", group=1, write=False)

    @classmethod
    @asynccontextmanager
    async def open(cls, path: Path) -> AsyncIterator[Database]:
        """Open or create the store at `path`; StoreError when it is broken, unwritable or owned by another process."""
        database = cls(path, *await asyncio.to_thread(_open, path))
        try:
            yield database
        finally:
            # Shielded: a cancelled shutdown still writes what waits before another process may have the store.
            await asyncio.shield(asyncio.to_thread(database._stop))

    async def write(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Run `work` in a transaction; its result is returned once it is on the disk.

        What `work` raises undoes its own statements only. A write cancelled while it waits may still happen.
        """
        return await self._writer.run(work)

    def write_later(self, work: Callable[[sqlite3.Connection], object]) -> None:
        """Run `work` at the start of the next transaction, or when the store is closed: for a note that costs no commit
        of its own. A crash before that loses it; a failure is logged."""
        self._writer.run_later(work)

    async def read(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Run `work` on one consistent snapshot that holds every write acknowledged before."""
        return await self._reader.run(work)

    async def rewrite(self) -> None:
        """Write the file anew without free pages, and empty the log of writes; StoreError. Other writes wait."""
        await self._writer.run(_rewrite, alone=True)

    def _stop(self) -> None:
        self._writer.stop()
        self._reader.stop()
        os.close(self._lock)


def _open(path: Path) -> tuple[int, sqlite3.Connection, sqlite3.Connection]:
    lock = take_lock(path)
    try:
        writer = open_store(path)
        try:
            return lock, writer, connect(path, read_only=True)
        except BaseException:
            writer.close()
            raise
    except BaseException:
        os.close(lock)
        raise


@dataclass(slots=True)
class _Job(Generic[T]):
    work: Callable[[sqlite3.Connection], T]
    answer: asyncio.Future[T]
    result: T | None = None
    error: BaseException | None = field(default=None)
    alone: bool = False  # after its group's transaction, in none


class _Worker:
    """A thread that owns one connection and empties one queue, up to `group` jobs a transaction."""

    def __init__(
        self, connection: sqlite3.Connection, loop: asyncio.AbstractEventLoop, *, name: str, group: int, write: bool
    ) -> None:
        self._connection = connection
        self._loop = loop
        self._group = group
        self._begin = "BEGIN IMMEDIATE" if write else "BEGIN"
        self._jobs: queue.SimpleQueue[_Job[Any] | None] = queue.SimpleQueue()
        self._late: deque[_Job[Any]] = deque()
        self._stopped = False
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)
        self._thread.start()

    async def run(self, work: Callable[[sqlite3.Connection], T], *, alone: bool = False) -> T:
        if self._stopped:
            raise StoreError("the store is closed", next_step="start the host: microclaw up")
        if self._jobs.qsize() >= MAX_WAITING:
            raise Overloaded(
                f"{MAX_WAITING} jobs wait for the store already",
                next_step="check that the disk below the home directory is healthy",
            )
        answer: asyncio.Future[T] = self._loop.create_future()
        self._jobs.put(_Job(work, answer, alone=alone))
        return await answer

    def run_later(self, work: Callable[[sqlite3.Connection], object]) -> None:
        job = _Job(work, self._loop.create_future())
        job.answer.add_done_callback(_log_failure)
        self._late.append(job)

    def stop(self) -> None:
        """Do what waits, then end the thread and close the connection."""
        self._stopped = True
        self._jobs.put(None)
        self._thread.join()

    def _work(self) -> None:
        try:
            while (jobs := self._take()) is not None:
                self._transact(jobs)
                self._loop.call_soon_threadsafe(_answer, jobs)
        finally:
            self._connection.close()

    def _take(self) -> list[_Job[Any]] | None:
        first = self._jobs.get()
        jobs = [self._late.popleft() for _ in range(len(self._late))]
        if first is None:
            if not jobs:
                return None
            self._jobs.put(None)
            return jobs
        jobs.append(first)
        while len(jobs) < self._group:
            try:
                job = self._jobs.get_nowait()
            except queue.Empty:
                break
            if job is None:
                self._jobs.put(None)
                break
            jobs.append(job)
        return jobs

    def _transact(self, jobs: list[_Job[Any]]) -> None:
        try:
            self._connection.execute(self._begin)
            for job in jobs:
                if not job.alone:
                    self._do(job)
            self._connection.execute("COMMIT")
        except sqlite3.Error as exc:
            error = _as_store_error(exc)
            for job in jobs:
                job.error = job.error or error
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
        for job in jobs:
            if job.alone and job.error is None:
                self._do_alone(job)

    def _do_alone(self, job: _Job[Any]) -> None:
        try:
            job.result = job.work(self._connection)
        except Exception as exc:  # raised to the caller
            job.error = _as_store_error(exc) if isinstance(exc, sqlite3.Error) else exc

    def _do(self, job: _Job[Any]) -> None:
        """Run one job in a savepoint of its own: its failure leaves the others of the group alone."""
        if job.answer.cancelled():
            return
        self._connection.execute("SAVEPOINT job")
        try:
            job.result = job.work(self._connection)
        except Exception as exc:  # raised to the caller
            job.error = _as_store_error(exc) if isinstance(exc, sqlite3.Error) else exc
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK TO job")
        if self._connection.in_transaction:
            self._connection.execute("RELEASE job")
        else:
            raise sqlite3.OperationalError("the transaction ended inside a job")


def _rewrite(connection: sqlite3.Connection) -> None:
    connection.execute("VACUUM")
    for _ in range(CHECKPOINT_TRIES):  # a reader in the middle of its work keeps the log from being emptied
        (is_busy, _, _) = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        if not is_busy:
            return
    raise StoreError("the store's log of writes could not be emptied: it is being read", next_step="do it again")


def _answer(jobs: list[_Job[Any]]) -> None:
    for job in jobs:
        if job.answer.done():
            continue
        if job.error is not None:
            job.answer.set_exception(job.error)
        else:
            job.answer.set_result(job.result)


def _log_failure(answer: asyncio.Future[Any]) -> None:
    if not answer.cancelled() and (error := answer.exception()) is not None:
        _log.warning("a note could not be written to the store: %s", error)


def _as_store_error(exc: sqlite3.Error) -> StoreError:
    error = StoreError(
        f"the store failed: {exc}", next_step="check the disk's free space and health, then start the host again"
    )
    error.__cause__ = exc
    return error
