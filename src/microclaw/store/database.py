"""The host's one SQLite database: a writer thread that commits many writes at once, a reader thread, one owner.

It knows no rows: the tables' modules bring the functions that run on its connections. What `write` returned is on
the disk: each group of writes is one transaction, synced (WAL, synchronous=FULL) before any is acknowledged.
"""

from __future__ import annotations

import asyncio
import queue
import sqlite3
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, TypeVar

from microclaw.errors import Overloaded, StoreError
from microclaw.store.opening import OwnerLock, connect, open_store

T = TypeVar("T")

MAX_WAITING = 10_000
MAX_GROUP = 256  # writes a commit: enough to hide the sync, few enough to keep a group's latency in milliseconds


class Database:
    """Made by `Database.open`. `write` and `read` take functions that run on their thread's connection."""

    def __init__(self, path: Path, lock: OwnerLock, writer: sqlite3.Connection, reader: sqlite3.Connection) -> None:
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

    async def read(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Run `work` on one consistent snapshot that holds every write acknowledged before."""
        return await self._reader.run(work)

    def _stop(self) -> None:
        self._writer.stop()
        self._reader.stop()
        self._lock.release()


def _open(path: Path) -> tuple[OwnerLock, sqlite3.Connection, sqlite3.Connection]:
    lock = OwnerLock.take(path)
    try:
        writer = open_store(path)
        try:
            return lock, writer, connect(path, read_only=True)
        except BaseException:
            writer.close()
            raise
    except BaseException:
        lock.release()
        raise


@dataclass(slots=True)
class _Job(Generic[T]):
    work: Callable[[sqlite3.Connection], T]
    answer: asyncio.Future[T]
    result: T | None = None
    error: BaseException | None = field(default=None)


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
        self._stopped = False
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)
        self._thread.start()

    async def run(self, work: Callable[[sqlite3.Connection], T]) -> T:
        if self._stopped:
            raise StoreError("the store is closed", next_step="start the host: microclaw up")
        if self._jobs.qsize() >= MAX_WAITING:
            raise Overloaded(
                f"{MAX_WAITING} jobs wait for the store already",
                next_step="check that the disk below the home directory is healthy",
            )
        answer: asyncio.Future[T] = self._loop.create_future()
        self._jobs.put(_Job(work, answer))
        return await answer

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
        if first is None:
            return None
        jobs = [first]
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
                self._do(job)
            self._connection.execute("COMMIT")
        except sqlite3.Error as exc:
            error = _as_store_error(exc)
            for job in jobs:
                job.error = job.error or error
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")

    def _do(self, job: _Job[Any]) -> None:
        """Run one job in a savepoint of its own: its failure leaves the others of the group alone."""
        if job.answer.cancelled():
            return
        self._connection.execute("SAVEPOINT job")
        try:
            job.result = job.work(self._connection)
        except Exception as exc:  # raised to the one who asked
            job.error = _as_store_error(exc) if isinstance(exc, sqlite3.Error) else exc
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK TO job")
        if self._connection.in_transaction:
            self._connection.execute("RELEASE job")
        else:
            raise sqlite3.OperationalError("the transaction ended inside a job")


def _answer(jobs: list[_Job[Any]]) -> None:
    for job in jobs:
        if job.answer.done():
            continue
        if job.error is not None:
            job.answer.set_exception(job.error)
        else:
            job.answer.set_result(job.result)


def _as_store_error(exc: sqlite3.Error) -> StoreError:
    error = StoreError(
        f"the store failed: {exc}", next_step="check the disk's free space and health, then start the host again"
    )
    error.__cause__ = exc
    return error
