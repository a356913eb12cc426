"""The writer's thread of a host's copy: it runs groups of writes, has the log take them, and applies what others wrote.

replica.py says what for. It knows the log by what `SharedLog` says alone.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import sqlite3
import threading
import time
from collections.abc import Callable, Coroutine
from concurrent.futures import CancelledError
from typing import Any, Final, Protocol, TypeVar

from microclaw.errors import StoreError, StoreUnreachable
from microclaw.store.database import MAX_GROUP, Job, Worker, as_store_error
from microclaw.store.recording import Entry, RecordingConnection, decode, dependents_of, encode
from microclaw.store.schema import VERSION

T = TypeVar("T")
BEHIND_S: Final = 10.0
CONTEND_S: Final = 30.0  # how long a group of writes runs again because others are faster
MAX_INCOMING: Final = 4_096
MAX_INCOMING_BYTES: Final = 64 << 20
UNSURE: Final = "look whether it is there before you do it again: microclaw cluster status says when NATS is back"
_IS_NATS_WELL: Final = "see whether NATS is well: microclaw cluster status"
ANEW: Final = "stop this host, move its cluster.db away, and start it again: it fetches the store anew"
_APPLIED_AT_ONCE: Final = 256
_AGAIN_S: Final = 1.0
# What may be over at the next try. Anything else says that this copy is not what the others have.
_PASSING: Final = frozenset(
    {
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_LOCKED,
        sqlite3.SQLITE_NOMEM,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_READONLY,
        sqlite3.SQLITE_INTERRUPT,
    }
)

_log = logging.getLogger(__name__)


class LogConflict(Exception):
    """The log has an entry more than the store that the group ran on."""


class NotInLog(Exception):
    """The log has no entry of that number, whatever was delivered."""


class EntryTooLarge(StoreError):
    """The log takes no entry of that size."""


class SharedLog(Protocol):
    """The log that orders the entries of all hosts: 1, 2, 3 without a gap."""

    async def commit(self, entry_id: str, entry: bytes, after: int) -> int:
        """Append behind entry `after`, durably; its number. Again with the same id: once, and the same number.

        Raises LogConflict where the log has an entry behind `after` already, StoreError where it cannot be reached:
        the entry may be there then, or not.
        """

    async def look(self) -> int:
        """The number of the last entry now; StoreError where it cannot be asked."""

    async def follow(
        self, after: int, deliver: Callable[[int, bytes | None], bool], tip: Callable[[], tuple[int, str]]
    ) -> None:
        """From now on `deliver` gets every entry behind `after` in order, those of this host too. Returns when it has
        got those that were there. `deliver` is False when there is no room now: it gets that entry again later.
        `tip` gives the number and the id of the last entry that the copy has.

        None in the place of an entry: there is none under that number, and there never will be, for any host."""

    async def read(self, seq: int) -> bytes | None:
        """The entry of that number, from who says what the log is; None as for `follow`.

        Raises NotInLog, StoreError where nobody can say."""

    def forget(self, seq: int) -> None:
        """What was delivered from `seq` on was not kept; `deliver` gets what is there. In the loop's thread."""

    @property
    def is_shaken(self) -> bool:
        """Whether what is delivered now may be another entry than the log has: `read` says."""


class ReplicaWriter(Worker):
    """The writer's thread of a copy."""

    def __init__(
        self, connection: RecordingConnection, loop: asyncio.AbstractEventLoop, log: SharedLog, host: str
    ) -> None:
        self.listeners: list[Callable[[frozenset[str]], None]] = []
        self.tip = position_of(connection)  # the number and the id of the last entry
        self.position = self.tip[0]  # with those behind it that are none
        self.conflicts = 0
        self.store_version = _version_of(connection)
        self._copy = connection
        self.log = log
        self._host = host
        self._incoming: dict[int, bytes | None] = {}
        self._incoming_bytes = 0
        self._arrived = threading.Condition()
        self._nudged = False
        self._broken: StoreError | None = None  # for good
        self.differs: StoreError | None = None  # so, as it has what the log has not
        self._unkept: StoreError | None = None
        self._dependents: dict[str, frozenset[str]] | None = None
        super().__init__(connection, loop, name="store writer", group=MAX_GROUP, write=True)

    @property
    def trouble(self) -> StoreError | None:
        """Why what other hosts wrote is not kept here now."""
        return self._broken or self._unkept

    def deliver(self, seq: int, entry: bytes | None) -> bool:
        """As SharedLog.follow has it called; in the loop's thread."""
        with self._arrived:
            if seq > self.position and seq not in self._incoming:  # not this host's own
                is_full = len(self._incoming) >= MAX_INCOMING or self._incoming_bytes >= MAX_INCOMING_BYTES
                if is_full and seq != self.position + 1:
                    return False
                self._incoming[seq] = entry
                self._incoming_bytes += len(entry or b"")
                self._arrived.notify()
        self.nudge()
        return True

    def nudge(self) -> None:
        """Have the writer look for what arrived; in the loop's thread."""
        if not self._nudged and not self._stopped:
            self._nudged = True
            self._jobs.put(Job(nothing, self._loop.create_future()))

    def _transact(self, jobs: list[Job[Any]]) -> None:
        self._nudged = False
        group = [job for job in jobs if job.work is not nothing]
        try:
            self._apply_arrived()
            if self._broken is not None:
                raise self._broken.with_traceback(None)  # or it would grow each time
            self._write([job for job in group if not job.alone])
        except (StoreError, sqlite3.Error) as exc:
            self._fail(group, as_store_error(exc) if isinstance(exc, sqlite3.Error) else exc)
        except Exception as exc:  # the thread must outlive it
            _log.exception("a group of writes failed")
            self._fail(group, StoreError(f"the store failed: {exc!r}", next_step="do it again; see the host's log"))
        for job in group:
            if job.alone and job.error is None:
                self._do_alone(job)

    def _fail(self, jobs: list[Job[Any]], error: StoreError) -> None:
        self._copy.recorded()
        if self._copy.in_transaction:
            self._copy.execute("ROLLBACK")
        for job in jobs:
            job.error = job.error or error

    def _write(self, jobs: list[Job[Any]]) -> None:
        """Run the group until it is in the log."""
        deadline = time.monotonic() + CONTEND_S
        try:
            while jobs and not self._try(jobs):
                if time.monotonic() > deadline:
                    raise StoreError(
                        f"other hosts wrote first for {CONTEND_S:.0f} s; nothing was written", next_step="do it again"
                    )
                for job in jobs:
                    job.result = job.error = None
        except EntryTooLarge:
            if len(jobs) == 1:
                raise
            self._copy.execute("ROLLBACK")
            for job in jobs:
                job.result = job.error = None
                self._write_one(job)

    def _write_one(self, job: Job[Any]) -> None:
        try:
            self._write([job])
        except (StoreError, sqlite3.Error) as exc:
            self._fail([job], as_store_error(exc) if isinstance(exc, sqlite3.Error) else exc)

    def _try(self, jobs: list[Job[Any]]) -> bool:
        """Whether the group is in the log; if not, this copy has what was before it now."""
        self._copy.execute(self._begin)
        _refuse_newer(self._copy)
        self._copy.record()
        self._do_all(jobs)
        statements = self._copy.recorded()
        if not statements:
            self._copy.execute("COMMIT")
            return True
        entry = Entry(secrets.token_hex(12), self._host, _version_of(self._copy), statements, self.tip[1])
        try:
            seq = self._commit(entry)
        except LogConflict:
            self.conflicts += 1
            self._copy.execute("ROLLBACK")
            return self._apply_next() == entry.entry_id  # its answer was lost, and it is there
        try:
            _set_position(self._copy, seq, entry.entry_id)
            self._copy.execute("COMMIT")
        except sqlite3.Error as exc:
            raise StoreError(
                f"the write is done for the other hosts, and this one cannot keep it: {exc}",
                next_step="free some space on this host's disk; the write comes here by itself then",
            ) from exc
        self._advance((seq, entry.entry_id), seq)
        if entry.is_of_schema:
            self._see_version()
        return True

    def _advance(self, tip: tuple[int, str], seq: int) -> None:
        """This copy has all up to `seq`."""
        self.tip = tip
        with self._arrived:
            for done in range(self.position + 1, seq + 1):
                self._incoming_bytes -= len(self._incoming.pop(done, b"") or b"")
            self.position = seq

    def _commit(self, entry: Entry) -> int:
        return self._ask(self.log.commit(entry.entry_id, encode(entry), self.position))

    def _ask(self, asking: Coroutine[Any, Any, T]) -> T:
        """What the log answers."""
        try:
            return asyncio.run_coroutine_threadsafe(asking, self._loop).result()
        except (RuntimeError, CancelledError) as exc:
            asking.close()
            raise StoreUnreachable("the host stops: the write may be done or not", next_step=UNSURE) from exc

    def _apply_next(self) -> str:
        """Apply what is behind this copy's last, as far as it arrived; the id of the first, or ""."""
        following = self.position + 1
        with self._arrived:
            if not self._arrived.wait_for(lambda: following in self._incoming, BEHIND_S):
                raise behind(following, "; the write may be done or not", next_step=UNSURE)
        return self._apply_arrived()

    def _apply_arrived(self) -> str:
        """The id of the first that is applied, or ""."""
        first_id: str | None = None
        try:
            while self._broken is None and (arrived := self._next_arrived()):
                first = self.position + 1
                run = {seq: _decoded(seq, data) for seq, data in enumerate(arrived, first)}
                if self.log.is_shaken:
                    self._read_again(run, {first + len(arrived) - 1})
                self._chain(run)
                if not run:
                    break
                if first_id is None:
                    first_id = "" if (entry := run[first]) is None else entry.entry_id
                if any(run.values()):
                    self._apply([(seq, entry) for seq, entry in run.items() if entry is not None])
                self._advance(self.tip, max(run))
        except Exception as exc:
            if self._broken is None:
                self._note_unkept(exc)
            raise
        self._unkept = None
        return first_id or ""

    def _read_again(self, run: dict[int, Entry | None], wanted: set[int]) -> None:
        """What the log has takes the place of what was delivered; where it ends, the run does."""
        for seq in sorted(wanted):
            try:
                run[seq] = _decoded(seq, self._ask(self.log.read(seq)))
            except NotInLog:
                _log.warning("entry %d was delivered, and is not in the cluster's log", seq)
                self._forget(seq)
                for one in [one for one in run if one >= seq]:
                    del run[one]
                return

    def _forget(self, seq: int) -> None:
        with self._arrived:
            for one in [one for one in self._incoming if one >= seq]:
                self._incoming_bytes -= len(self._incoming.pop(one) or b"")
        self._loop.call_soon_threadsafe(self.log.forget, seq)

    def _chain(self, run: dict[int, Entry | None]) -> None:
        """See that each entry follows the one before. One that does not, or the one before, may be of a server that is
        not as its fellows: what the log has there takes its place."""
        asked: set[int] = set()
        while True:
            seq_before, id_before = self.tip
            for seq, entry in run.items():
                if entry is None:
                    continue
                if entry.previous != id_before:
                    break
                seq_before, id_before = seq, entry.entry_id
            else:
                return
            doubted = {one for one in range(seq_before, seq + 1) if one in run}
            if doubted <= asked and seq_before in run:
                raise StoreError(
                    f"entry {seq} of the cluster's log does not follow entry {seq_before}: a NATS server has what its "
                    "fellows have not, and leads",
                    next_step="have NATS choose another: nats stream cluster step-down",
                )
            if doubted <= asked:
                follows = entry.previous or "none"
                why = f"entry {seq} of the log follows {follows}, this copy ends with {id_before or 'none'}"
                self.differs = self._broken_by(why)
                raise self.differs
            _log.warning("entry %d of the cluster's log does not follow the one before: both are read again", seq)
            self._read_again(run, doubted)
            asked |= doubted

    def _note_unkept(self, exc: Exception) -> None:
        """Try again soon: nobody else does."""
        if isinstance(exc, StoreError):
            trouble = exc
        else:
            step = "free some space on its disk; it goes on by itself then"
            trouble = StoreError(f"what other hosts wrote cannot be kept: {exc}", next_step=step)
        if self._unkept is None or self._unkept.message != trouble.message:
            _log.warning("%s; next: %s", trouble.message, trouble.next_step)
        self._unkept = trouble
        self._loop.call_soon_threadsafe(self._loop.call_later, _AGAIN_S, self.nudge)

    def _next_arrived(self) -> list[bytes | None]:
        """What is behind this copy's last, without a gap."""
        with self._arrived:
            arrived: list[bytes | None] = []
            following = self.position + 1
            while len(arrived) < _APPLIED_AT_ONCE and following + len(arrived) in self._incoming:
                arrived.append(self._incoming[following + len(arrived)])
        return arrived

    def _apply(self, numbered: list[tuple[int, Entry]]) -> None:
        """What is no entry has no place of its own in the copy: a host that starts again passes it over again."""
        seq, last = numbered[0][0], numbered[-1]
        try:
            self._copy.execute(self._begin)
            for seq, entry in numbered:  # noqa: B007 - for the error
                self._copy.apply(entry.statements)
            _set_position(self._copy, seq, last[1].entry_id)
            self._copy.execute("COMMIT")
        except sqlite3.Error as exc:
            if self._copy.in_transaction:
                self._copy.execute("ROLLBACK")
            if exc.sqlite_errorcode & 0xFF in _PASSING:
                raise
            raise self._broken_by(f"entry {seq} of the log cannot be applied: {exc}") from exc
        entries = [entry for _, entry in numbered]
        self._advance((seq, last[1].entry_id), seq)
        if any(entry.is_of_schema for entry in entries):
            self._see_version()
        self._loop.call_soon_threadsafe(self._tell, self._changed(entries))

    def _see_version(self) -> None:
        before, self.store_version = self.store_version, _version_of(self._copy)
        if before <= VERSION < self.store_version:
            _log.warning("%s; next: %s", _newer(self.store_version).message, _newer(self.store_version).next_step)

    def _broken_by(self, why: str) -> StoreError:
        """From now on this host reads alone."""
        self._broken = StoreError(
            f"this host's copy of the cluster's store is another than it should be: {why}", next_step=ANEW
        )
        _log.error("%s", self._broken.message)
        return self._broken

    def _changed(self, entries: list[Entry]) -> frozenset[str]:
        """The tables that the entries name, and those whose rows go with a deleted one."""
        tables = frozenset[str]().union(*(entry.tables for entry in entries))
        if self._dependents is None or any(entry.is_of_schema for entry in entries):
            self._dependents = dependents_of(self._copy)
        deleted = frozenset[str]().union(*(entry.deleted_from for entry in entries))
        return tables.union(*(self._dependents.get(table, frozenset()) for table in deleted))

    def _tell(self, tables: frozenset[str]) -> None:
        for changed in self.listeners:
            try:
                changed(tables)
            except Exception:  # the others are told all the same
                _log.exception("a listener of the store failed")


def behind(seq: int, more: str = "", *, next_step: str = _IS_NATS_WELL) -> StoreUnreachable:
    """The log goes on, and this host does not hear it."""
    return StoreUnreachable(
        f"the cluster's log has entry {seq}, and it does not arrive here{more}", next_step=next_step
    )


def nothing(_: sqlite3.Connection) -> None:
    """The work of a nudge: to look for what arrived."""


def _refuse_newer(connection: sqlite3.Connection) -> None:
    """A host of an older microclaw reads a newer store, and does not write what it does not know."""
    version = _version_of(connection)
    if version > VERSION:
        raise _newer(version)


def _newer(version: int) -> StoreError:
    return StoreError(
        f"the cluster's store has version {version}, this microclaw knows {VERSION}: it writes nothing",
        next_step="upgrade this host: use the newer microclaw here too",
    )


def _decoded(seq: int, data: bytes | None) -> Entry | None:
    try:
        return None if data is None else decode(data)
    except StoreError as exc:
        raise StoreError(f"entry {seq} of the cluster's log: {exc.message}", next_step=exc.next_step) from exc


def _version_of(connection: sqlite3.Connection) -> int:
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    return int(version)


def position_of(connection: sqlite3.Connection) -> tuple[int, str]:
    """The number and the id of the last entry that the store has."""
    seq, entry_id = connection.execute("SELECT seq, entry_id FROM log_position").fetchone()
    return int(seq), str(entry_id)


def _set_position(connection: sqlite3.Connection, seq: int, entry_id: str) -> None:
    connection.execute("UPDATE log_position SET seq = ?, entry_id = ?", (seq, entry_id))
