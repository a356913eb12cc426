"""The host's store: a thread that commits many writes at once, and a thread that reads, each with its connection.

It knows neither rows nor engines: the modules of the tables bring the functions that run on its connections, and
sqlite_file.py and postgres.py bring the connections. The result of `write` is on the disk: each group of writes is one
transaction, and it is synced before any of them is acknowledged.
"""

from __future__ import annotations

import asyncio
import logging
import queue
import threading
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import ExitStack, asynccontextmanager, closing, suppress
from io import FileIO
from pathlib import Path
from typing import Any, Final, Generic, Protocol, TypeAlias, TypeVar

from msgspec import Struct

from microclaw.errors import Overloaded, StoreError
from microclaw.host.store.sql import Sql
from microclaw.host.store.sqlite_file import SqliteConnection, connect, open_store, take_lock

T = TypeVar("T")
Refresh: TypeAlias = Callable[[], Awaitable[object]]

_log = logging.getLogger(__name__)

MAX_WAITING: Final = 10_000
PROBE_S: Final = 1.0
# Writes in one commit: enough to hide the sync, few enough to keep the delay of a group in milliseconds.
MAX_GROUP: Final = 256


class Connection(Sql, Protocol):
    """One connection, used by one thread. `begin` opens it again after it was lost.

    `errors` are the exceptions that the connection and its statements raise; `store_error` translates them.
    """

    @property
    def errors(self) -> tuple[type[Exception], ...]: ...

    @property
    def is_in_transaction(self) -> bool: ...

    @property
    def is_lost(self) -> bool:
        """True if the connection is lost: the transaction is undone and may be repeated."""

    def begin(self) -> None: ...

    def commit(self) -> None: ...

    def rollback(self) -> None: ...

    def rewrite(self) -> None:
        """Free the space of deleted rows. Called outside of a transaction."""

    def close(self) -> None: ...

    def store_error(self, exc: Exception) -> StoreError: ...


class Database:
    """The store of a host, made by `Database.open`.

    `write` and `read` take functions that run on their thread's connection.
    """

    # The host that writes here, if several hosts share a store.
    host: str | None = None

    def __init__(
        self,
        writer: Connection,
        reader: Connection,
        release: Callable[[], None] = lambda: None,
    ) -> None:
        loop = asyncio.get_running_loop()
        self._writer = Worker(writer, loop, name="store writer", group=MAX_GROUP)
        self._reader = Worker(reader, loop, name="store reader", group=1)
        self._release = release
        # This is cleared by the next write that succeeds.
        self._last_failure: StoreError | None = None
        self._probe: asyncio.Task[None] | None = None
        self.read = self._reader.run
        """Run `work` on one consistent snapshot that holds every write acknowledged before."""
        self.write_later = self._writer.run_later

    @classmethod
    @asynccontextmanager
    async def open(cls, path: Path) -> AsyncIterator[Database]:
        """Open or create the store at `path`.

        Raises StoreError if it is broken, unwritable or owned by another process.
        """
        lock, writer, reader = await asyncio.to_thread(_open, path)
        database = cls(writer, reader, lock.close)
        try:
            yield database
        finally:
            await database.stop()

    async def stop(self) -> None:
        """Finish the waiting work and close the connections."""
        # Shielded: a cancelled shutdown still writes what waits before another process may have the store.
        await asyncio.shield(asyncio.to_thread(self._stop))

    async def write(self, work: Callable[[Sql], T]) -> T:
        """Run `work` in a transaction; its result is returned once it is on the disk.

        An error of `work` undoes only its own statements. A write that is cancelled while it waits may still happen.
        """
        try:
            result = await self._writer.run(work)
        except StoreError as exc:
            self._last_failure = exc
            raise
        self._last_failure = None
        return result

    async def write_error(self) -> StoreError | None:
        """Return why the store takes no writes; None if it does.

        After a failure a write is tried, for up to PROBE_S: the caller needs an answer even if no other write comes.
        """
        if self._last_failure is None:
            return None
        if self._probe is None or self._probe.done():
            self._probe = asyncio.create_task(self._try_write(), name="store: try a write")
        await asyncio.wait((self._probe,), timeout=PROBE_S)
        return self._last_failure

    async def _try_write(self) -> None:
        with suppress(StoreError, Overloaded):
            await self.write(_write_something)

    def listen(self, changed: Callable[[frozenset[str]], None]) -> None:
        """Call `changed` with the names of the tables that another host changed. No other host writes to this store."""

    def follow(self, tables: Iterable[str], refresh: Refresh) -> None:
        """Run `refresh` soon after another host changed one of these tables, for rows that are kept in memory.

        Call this before the rows are read for the first time. If a row is deleted together with its parent (ON DELETE
        CASCADE), only the parent's table counts as changed.
        """

    async def catch_up_with(self, tables: frozenset[str]) -> None:
        """Wait until the rows of these tables in memory are as new as any host's last write. Raises StoreError.

        No other host writes to this store, so there is nothing to wait for.
        """

    async def rewrite(self) -> None:
        """Free the space of deleted rows, so that nothing of them is left. Other writes wait. Raises StoreError."""
        await self._writer.run(None)

    def _stop(self) -> None:
        self._writer.stop()
        self._reader.stop()
        self._release()


def _open(path: Path) -> tuple[FileIO, SqliteConnection, SqliteConnection]:
    with ExitStack() as stack:
        lock = stack.enter_context(take_lock(path))
        writer = stack.enter_context(closing(open_store(path)))
        reader = connect(path, read_only=True)
        stack.pop_all()
    return lock, writer, reader


class Job(Struct, Generic[T]):
    """Work for a thread, and its result. `work` None means: call the connection's `rewrite` outside a transaction."""

    work: Callable[[Sql], T] | None
    answer: asyncio.Future[T]
    result: T | None = None
    error: Exception | None = None


class Worker:
    """A thread that owns one connection and one queue, and does up to `group` jobs in a transaction."""

    def __init__(self, connection: Connection, loop: asyncio.AbstractEventLoop, *, name: str, group: int) -> None:
        self._connection = connection
        self._loop = loop
        self._group = group
        self._jobs: queue.SimpleQueue[Job[Any] | None] = queue.SimpleQueue()
        self._late: deque[Job[Any]] = deque()
        self._stopped = False
        self._is_over = False
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)
        self._thread.start()

    async def run(self, work: Callable[[Sql], T] | None) -> T:
        if self._stopped:
            raise StoreError("the store is closed", next_step="start the host: microclaw up")
        if self._jobs.qsize() >= MAX_WAITING:
            raise Overloaded(
                f"{MAX_WAITING} jobs wait for the store already",
                next_step="check that the disk below the home directory, or the database, is healthy",
            )
        answer: asyncio.Future[T] = self._loop.create_future()
        self._jobs.put(Job(work, answer))
        return await answer

    def run_later(self, work: Callable[[Sql], object]) -> None:
        """Run `work` at the start of the next transaction, or when the store is closed.

        This is for a note that should cost no commit. A crash before that loses the note; a failure is logged.
        """
        answer: asyncio.Future[object] = self._loop.create_future()
        answer.add_done_callback(_log_failure)
        self._late.append(Job(work, answer))

    def stop(self) -> None:
        """Finish the waiting jobs, then end the thread and close the connection."""
        self._stopped = True
        self._jobs.put(None)
        self._thread.join()

    def _work(self) -> None:
        try:
            while not self._is_over:
                jobs = self._take()
                transact(self._connection, [job for job in jobs if job.work is not None])
                for job in jobs:
                    if job.work is None:
                        _rewrite(self._connection, job)
                self._loop.call_soon_threadsafe(_answer, jobs)
        finally:
            self._connection.close()

    def _take(self) -> list[Job[Any]]:
        """Wait for the jobs of the next transaction. No job follows the end mark of the queue."""
        job = self._jobs.get()
        jobs = [self._late.popleft() for _ in range(len(self._late))]
        while job is not None:
            jobs.append(job)
            if len(jobs) >= self._group or self._jobs.empty():
                return jobs
            job = self._jobs.get()
        self._is_over = True
        return jobs


def transact(connection: Connection, jobs: list[Job[Any]]) -> None:
    """Do the jobs in one transaction, each in a savepoint, so that a failing job does not undo the others.

    Jobs that a lost connection undid are done once more on a new connection. Afterwards each job has its result or its
    error.
    """
    jobs = [job for job in jobs if not job.answer.cancelled()]
    if not jobs:
        return
    for is_last in (False, True):
        try:
            connection.begin()
            for job in jobs:
                _do(connection, job, in_savepoint=len(jobs) > 1)
            if connection.is_in_transaction:
                connection.commit()
            return
        # The thread must continue after any error of a job.
        except Exception as exc:
            may_repeat = connection.is_lost and not is_last and not isinstance(exc, StoreError)
            connection.rollback()
            if may_repeat:
                continue
            error = _translate_error(connection, exc)
            for job in jobs:
                job.error = job.error or error
            return


def _do(connection: Connection, job: Job[Any], *, in_savepoint: bool) -> None:
    assert job.work is not None
    job.error = None
    if in_savepoint:
        connection.execute("SAVEPOINT job")
    try:
        job.result = job.work(connection)
        if in_savepoint and connection.is_in_transaction:
            connection.execute("RELEASE job")
    # The caller of the job gets the error.
    except Exception as exc:
        if connection.is_lost:
            raise
        job.error = _translate_error(connection, exc)
        if not in_savepoint:
            connection.rollback()
            return
        if connection.is_in_transaction:
            try:
                connection.execute("ROLLBACK TO job")
            # The savepoint does not exist if the transaction could not get its lock.
            except connection.errors:
                raise exc from None
            connection.execute("RELEASE job")
    if not connection.is_in_transaction:
        raise StoreError("the transaction ended inside a job")


def _rewrite(connection: Connection, job: Job[Any]) -> None:
    try:
        connection.rewrite()
    # The caller of the job gets the error.
    except Exception as exc:
        job.error = _translate_error(connection, exc)


def _translate_error(connection: Connection, exc: Exception) -> Exception:
    if isinstance(exc, connection.errors):
        return connection.store_error(exc)
    return exc


def _write_something(sql: Sql) -> None:
    """Write and delete a row. An UPDATE to the present value would not be written to the disk."""
    sql.execute("INSERT INTO duties (name, holder, fence) VALUES ('', NULL, 0)")
    sql.execute("DELETE FROM duties WHERE name = ''")


def _answer(jobs: list[Job[Any]]) -> None:
    for job in jobs:
        if job.answer.done():
            continue
        if job.error is not None:
            job.answer.set_exception(job.error)
        else:
            job.answer.set_result(job.result)


def _log_failure(answer: asyncio.Future[Any]) -> None:
    if answer.cancelled():
        return
    error = answer.exception()
    if error is not None:
        _log.warning("a note could not be written to the store: %s", error)
