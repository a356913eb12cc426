"""The host's one SQLite database: a writer thread that commits many writes at once, a reader thread, one owner.

It knows no rows: the tables' modules bring the functions that run on its connections. What `write` returned is on
the disk: each group of writes is one transaction, synced (WAL, synchronous=FULL) before any is acknowledged.
"""

from __future__ import annotations

import asyncio
import logging
import os
import queue
import sqlite3
import threading
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Generic, Self, TypeVar

from microclaw.errors import Overloaded, StoreError, StoreUnwritable
from microclaw.store.following import Refresh
from microclaw.store.schema import VERSION
from microclaw.store.sqlite_file import RESTORE, connect, open_store, take_lock

T = TypeVar("T")

_log = logging.getLogger(__name__)

CHECKPOINT_TRIES: Final = 3  # each waits BUSY_TIMEOUT_S
MAX_WAITING = 10_000
ROOM: Final = "free some space on the disk of the home; the host goes on by itself"
_REFUSED: Final = {sqlite3.SQLITE_FULL, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_IOERR_WRITE, sqlite3.SQLITE_IOERR_FSYNC}
MAX_GROUP = 256  # writes a commit: enough to hide the sync, few enough to keep a group's latency in milliseconds


class Database:
    """Made by `Database.open`. `write` and `read` take functions that run on their thread's connection."""

    _refusal: StoreUnwritable | None = None
    host: str | None = None  # whose writes these are, where several hosts share a store

    def __init__(self, path: Path, lock: int, writer: Worker, reader: sqlite3.Connection) -> None:
        self.path = path
        self._lock = lock
        self._writer = writer
        self._reader = Worker(reader, asyncio.get_running_loop(), name="store reader", group=1, write=False)
        self._at_once: sqlite3.Connection | None = None
        self._reading = threading.Lock()
        self._is_closed = False

    @classmethod
    @asynccontextmanager
    async def open(cls, path: Path) -> AsyncIterator[Database]:
        """Open or create the store at `path`; StoreError when it is broken, unwritable or owned by another process."""
        lock, writer, reader = await asyncio.to_thread(_open, path)
        worker = Worker(writer, asyncio.get_running_loop(), name="store writer", group=MAX_GROUP, write=True)
        async with cls(path, lock, worker, reader).serving() as database:
            yield database

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[Self]:
        """It closes its connections and gives its lock back at the end."""
        try:
            yield self
        finally:
            # Shielded: a cancelled shutdown still writes what waits before another process may have the store.
            await asyncio.shield(asyncio.to_thread(self._stop))

    async def write(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Run `work` in a transaction; its result is returned once it is on the disk.

        What `work` raises undoes its own statements only. A write cancelled while it waits may still happen.
        """
        try:
            return await self._writer.run(work)
        except StoreUnwritable as exc:
            self._refusal = exc
            raise

    async def refusal(self) -> StoreUnwritable | None:
        """Why the disk takes no writes, which is tried after it refused one; None when it does."""
        if self._refusal is not None:
            with suppress(StoreUnwritable):
                await self.write(lambda connection: connection.execute(f"PRAGMA user_version = {VERSION}"))
                self._refusal = None
        return self._refusal

    def write_later(self, work: Callable[[sqlite3.Connection], object]) -> None:
        """Run `work` at the start of the next transaction, or when the store is closed: for a note that costs no commit
        of its own. A crash before that loses it; a failure is logged."""
        self._writer.run_later(work)

    async def read(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Run `work` on one consistent snapshot that holds every write acknowledged before."""
        return await self._reader.run(work)

    def read_at_once(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Run `work` in the caller's thread, on all acknowledged writes: for a row or a few. StoreError."""
        with self._reading:
            if self._is_closed:
                raise _closed()
            try:
                if self._at_once is None:
                    self._at_once = connect(self.path, read_only=True)
                return work(self._at_once)
            except sqlite3.Error as exc:
                raise as_store_error(exc) from exc

    async def catch_up(self) -> bool:
        """See to it that reads from now on know what any host wrote before; False where there are no others.

        For what would be refused otherwise. StoreError while the others cannot be reached.
        """
        return False

    def listen(self, changed: Callable[[frozenset[str]], None]) -> None:
        """`changed` is called with the names of tables that another host changed. Nobody else writes to this store."""

    def follow(self, tables: Iterable[str], refresh: Refresh) -> None:
        """`refresh` is run soon after another host changed one of these tables, for rows that are kept in memory.

        To be called before the rows are read for the first time. A row that goes with another (ON DELETE CASCADE) is a
        change of that one's table alone.
        """

    async def rewrite(self) -> None:
        """Write the file anew without free pages, and empty the log of writes; StoreError. Other writes wait."""
        await self._writer.run(_rewrite, alone=True)

    def _stop(self) -> None:
        self._writer.stop()
        self._reader.stop()
        with self._reading:
            self._is_closed = True
            if self._at_once is not None:
                self._at_once.close()
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
class Job(Generic[T]):
    work: Callable[[sqlite3.Connection], T]
    answer: asyncio.Future[T]
    result: T | None = None
    error: BaseException | None = field(default=None)
    alone: bool = False  # after its group's transaction, in none


class Worker:
    """A thread that owns one connection and empties one queue, up to `group` jobs a transaction."""

    def __init__(
        self, connection: sqlite3.Connection, loop: asyncio.AbstractEventLoop, *, name: str, group: int, write: bool
    ) -> None:
        self._connection = connection
        self._loop = loop
        self._group = group
        self._begin = "BEGIN IMMEDIATE" if write else "BEGIN"
        self._jobs: queue.SimpleQueue[Job[Any] | None] = queue.SimpleQueue()
        self._late: deque[Job[Any]] = deque()
        self._stopped = False
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)
        self._thread.start()

    async def run(self, work: Callable[[sqlite3.Connection], T], *, alone: bool = False) -> T:
        if self._stopped:
            raise _closed()
        if self._jobs.qsize() >= MAX_WAITING:
            raise Overloaded(
                f"{MAX_WAITING} jobs wait for the store already",
                next_step="check that the disk below the home directory is healthy",
            )
        answer: asyncio.Future[T] = self._loop.create_future()
        self._jobs.put(Job(work, answer, alone=alone))
        return await answer

    def run_later(self, work: Callable[[sqlite3.Connection], object]) -> None:
        job = Job(work, self._loop.create_future())
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

    def _take(self) -> list[Job[Any]] | None:
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

    def _transact(self, jobs: list[Job[Any]]) -> None:
        try:
            self._connection.execute(self._begin)
            self._do_all(jobs)
            self._connection.execute("COMMIT")
        except sqlite3.Error as exc:
            error = as_store_error(exc)
            for job in jobs:
                job.error = job.error or error
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
        for job in jobs:
            if job.alone and job.error is None:
                self._do_alone(job)

    def _do_all(self, jobs: Iterable[Job[Any]]) -> None:
        for job in jobs:
            if not job.alone:
                self._do(job)

    def _do_alone(self, job: Job[Any]) -> None:
        try:
            job.result = job.work(self._connection)
        except Exception as exc:  # raised to the caller
            job.error = as_store_error(exc) if isinstance(exc, sqlite3.Error) else exc

    def _do(self, job: Job[Any]) -> None:
        """Run one job in a savepoint of its own: its failure leaves the others of the group alone."""
        if job.answer.cancelled():
            return
        self._connection.execute("SAVEPOINT job")
        try:
            job.result = job.work(self._connection)
        except Exception as exc:  # raised to the caller
            job.error = as_store_error(exc) if isinstance(exc, sqlite3.Error) else exc
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK TO job")
        if self._connection.in_transaction:
            self._connection.execute("RELEASE job")
        else:
            raise sqlite3.OperationalError("the transaction ended inside a job")


def _closed() -> StoreError:
    return StoreError("the store is closed", next_step="start the host: microclaw up")


def _rewrite(connection: sqlite3.Connection) -> None:
    connection.execute("VACUUM")
    for _ in range(CHECKPOINT_TRIES):  # a reader in the middle of its work keeps the log from being emptied
        (is_busy, _, _) = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        if not is_busy:
            return
    raise StoreError("the store's log of writes could not be emptied: it is being read", next_step="do it again")


def _answer(jobs: list[Job[Any]]) -> None:
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


def as_store_error(exc: sqlite3.Error) -> StoreError:
    error = StoreError(
        f"the store failed: {exc}", next_step="check the disk's free space and health, then start the host again"
    )
    if {code := getattr(exc, "sqlite_errorcode", 0), code & 0xFF} & _REFUSED:
        error = StoreUnwritable(f"the store cannot write: {exc}", next_step=ROOM)
    if code & 0xFF in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
        error = StoreError(f"the store is damaged: {exc}", next_step=f"stop the host; {RESTORE}")
    error.__cause__ = exc
    return error
