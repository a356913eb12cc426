"""A host's copy of the store that all hosts of a cluster share: the log of the cluster orders every host's writes.

A group of writes runs here first, in a transaction that nobody sees yet. What it changed goes to the log as one entry,
on the condition that the log has nothing that this copy has not; then it is committed here too. Where another host
was faster, the transaction is taken back, the other host's entry is applied, and the group runs again. So every
transaction sees all before it, on every host, as in one store; reads are of this copy, which is behind by the way of an
entry through the log.
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar

from microclaw.errors import StoreError
from microclaw.store.database import Database
from microclaw.store.following import Followers, Refresh
from microclaw.store.recording import RecordingConnection
from microclaw.store.replica_writer import BEHIND_S, ReplicaWriter, SharedLog, behind, nothing
from microclaw.store.schema import VERSION
from microclaw.store.sqlite_file import RESTORE, connect, migrate, open_whole, take_lock
from microclaw.store.write_check import check_now

T = TypeVar("T")

_POSITION: Final = """CREATE TABLE IF NOT EXISTS log_position (
    one INTEGER PRIMARY KEY CHECK (one = 1), cluster TEXT NOT NULL, seq INTEGER NOT NULL,
    entry_id TEXT NOT NULL)"""


class Replica(Database):
    """Made by `Replica.open_copy`."""

    _writer: ReplicaWriter
    is_rewritten = False  # what was deleted is to go out of the log and its snapshot, too
    is_given_up = False  # the cluster went on without it: it is to be kept aside, and fetched anew

    def __init__(self, path: Path, lock: int, writer: ReplicaWriter, reader: sqlite3.Connection) -> None:
        super().__init__(path, lock, writer, reader)
        self._followers = Followers()
        self.listen(self._followers.changed)

    @classmethod
    @asynccontextmanager
    async def open_copy(cls, path: Path, log: SharedLog, *, host: str, upgrades: bool = True) -> AsyncIterator[Replica]:
        """Open the copy at `path`, which has its place in the log, and bring it up to the log's end.

        Without `upgrades` a store of an older version stays one.

        Raises StoreError when it is broken, owned by another process, or of a newer microclaw.
        """
        loop = asyncio.get_running_loop()
        lock, connection, reader = await asyncio.to_thread(_open, path)
        writer = ReplicaWriter(connection, loop, log, host)
        async with cls(path, lock, writer, reader).serving() as database:
            assert isinstance(database, Replica)
            database.host = host
            await log.follow(writer.position, writer.deliver, lambda: writer.tip)
            await database.write(nothing)  # behind all that was delivered
            if upgrades:
                await database.write(_upgrade)
            try:
                yield database
            finally:
                await database._followers.close()

    async def catch_up(self) -> bool:
        last = await self._writer.log.look()
        give_up = asyncio.get_running_loop().time() + BEHIND_S
        while self.position < last:
            if asyncio.get_running_loop().time() > give_up:
                raise behind(last)
            await asyncio.sleep(0.001)
        return True

    async def catch_up_with(self, tables: frozenset[str]) -> None:
        """As `catch_up`, and what is kept in memory of these tables is as new."""
        await self.catch_up()
        await self.write(nothing)  # behind the news of what was applied
        await self._followers.until_done(tables)

    async def write(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """As Database.write, with the check of the request that writes."""
        check = None if work is nothing else check_now()
        if check is None:
            return await super().write(work)
        result = await super().write(check.before(work))
        check.passed()
        return result

    @property
    def position(self) -> int:
        """How far in the log this copy is."""
        return self._writer.position

    @property
    def last_entry(self) -> int:
        """As `position`, without what is no entry behind it."""
        return self._writer.tip[0]

    async def rewrite(self) -> None:
        """As Database.rewrite, of this copy. The log and its snapshot follow within a minute (cluster/shared_store.py);
        other hosts' copies overwrite what is deleted."""
        await super().rewrite()
        self.is_rewritten = True

    @property
    def store_version(self) -> int:
        """Of the cluster's store; more than this microclaw knows once a newer host upgraded it: then nothing can be
        written here."""
        return self._writer.store_version

    @property
    def is_too_old(self) -> bool:
        """Whether this microclaw is too old to write the store."""
        return self.store_version > VERSION

    @property
    def conflicts(self) -> int:
        """How often another host was faster, and a group of writes ran again."""
        return self._writer.conflicts

    @property
    def trouble(self) -> StoreError | None:
        """Why what other hosts wrote is not kept here: a full disk, until there is room; or for good."""
        return self._writer.trouble

    @property
    def differs(self) -> StoreError | None:
        """That this copy has what the log has not: it can never follow the log again."""
        return self._writer.differs

    def listen(self, changed: Callable[[frozenset[str]], None]) -> None:
        """Call `changed` with the names of tables when another host's entry changed them, in the loop's thread.

        They may be more than those that have other rows now. A write of this host whose answer was lost counts too.
        """
        self._writer.listeners.append(changed)

    def follow(self, tables: Iterable[str], refresh: Refresh) -> None:
        """Run `refresh` soon after another host changed one of these tables, as Followers.add."""
        self._followers.add(tables, refresh)


def _upgrade(connection: sqlite3.Connection) -> None:
    """Take the store to this microclaw's version, on every host."""
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    for number in range(version, VERSION):
        migrate(connection, number)


def _open(path: Path) -> tuple[int, RecordingConnection, sqlite3.Connection]:
    lock = take_lock(path)
    try:
        try:
            writer = open_whole(path, RecordingConnection)
        except StoreError as exc:
            raise _fetched_anew(exc, path) from exc
        try:
            # What a power cut takes is in the log; a commit here is whole or not there.
            writer.execute("PRAGMA synchronous = NORMAL")
            return lock, writer, connect(path, read_only=True)
        except BaseException:
            writer.close()
            raise
    except BaseException:
        os.close(lock)
        raise


@dataclass(frozen=True, slots=True)
class Place:
    """A copy's place in a cluster's log: the number and the id of the last entry that it has, 0 and "" at first."""

    cluster: str
    seq: int = 0
    entry_id: str = ""


def place(path: Path, at: Place) -> None:
    """Say in the store at `path` that it has the entries of a cluster's log up to there."""
    connection = connect(path)
    try:
        connection.execute(_POSITION)
        row = (at.cluster, at.seq, at.entry_id)
        connection.execute("INSERT OR REPLACE INTO log_position VALUES (1, ?, ?, ?)", row)
    finally:
        connection.close()


def placed(path: Path) -> Place | None:
    """Where the store at `path` is; None where there is none, or it is no copy."""
    if not path.exists():
        return None
    try:
        connection = connect(path, read_only=True)
    except StoreError as exc:
        raise _fetched_anew(exc, path) from exc
    try:
        there = connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'log_position'").fetchone()
        row = there and connection.execute("SELECT cluster, seq, entry_id FROM log_position").fetchone()
    except sqlite3.DatabaseError as exc:
        raise _fetched_anew(StoreError(f"the store {path} cannot be read: {exc}", next_step=RESTORE), path) from exc
    finally:
        connection.close()
    return None if row is None else Place(*row)


def _fetched_anew(error: StoreError, path: Path) -> StoreError:
    """The error of a store, with the way back that a copy has."""
    if error.next_step != RESTORE:
        return error
    step = f"move {path} away, and start this host again: it fetches the store anew"
    return type(error)(error.message, next_step=step)
