"""One connection to a PostgreSQL database, as store/database.py uses it: made again where it was lost.

A change waits for the next statement and goes with it: a round trip less. A commit whose answer was lost is looked up
by the mark that it left, not by its transaction's number: a server that was killed may give that to another.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import socket
import time
from collections.abc import Iterable, Iterator
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

import psycopg
from msgspec import Struct
from psycopg import conninfo
from psycopg.pq import TransactionStatus

from microclaw.addresses import is_loopback
from microclaw.errors import CommitUnknown, StoreError, StoreUnreachable, StoreUnwritable
from microclaw.store.postgres_dialect import adapt, changed_table, in_its_words
from microclaw.store.schema import VERSION
from microclaw.store.sql import Rows, Values

CHANNEL: Final = "microclaw"
LOCK: Final = 34  # advisory: of all writes; its second number is free for others
CONNECT_S: Final = 3
DECIDE_S: Final = 5.0  # to learn whether a commit whose answer was lost took place
SILENT_S: Final = 5.0  # a statement that has no end by then, its server's included, has none: the connection is cut
_SESSION: Final = {
    "statement_timeout": 4_000,
    "lock_timeout": 4_000,
    "idle_in_transaction_session_timeout": 2_000,  # of a host that is frozen, or cut off: its lock is given back
    "synchronous_commit": "on",
    "timezone": "UTC",
}
_UNWRITABLE: Final = (
    psycopg.errors.DiskFull,
    psycopg.errors.InsufficientPrivilege,
    psycopg.errors.ReadOnlySqlTransaction,
)
_LOCKED: Final = ("BEGIN", f"SELECT pg_advisory_xact_lock({LOCK}, 0)")
_VERSION: Final = "SELECT version FROM store_version"
_SAVEPOINTS: Final = ("SAVEPOINT job", "RELEASE job", "ROLLBACK TO job")
IS_IT_WELL: Final = "see whether PostgreSQL runs and this machine reaches it; the host connects again by itself"


class PostgresConnection:
    """A store.database.Connection, and its Sql. Only one that writes takes the lock."""

    errors = (psycopg.Error,)

    def __init__(self, url: str, host: str, *, writes: bool) -> None:
        self._url = url
        self._host = host
        self._writes = writes
        self._connection: psycopg.Connection | None = None
        self._changed: set[str] = set()
        self._mark = ""
        self._waiting: list[Waiting] = []
        self._asked_at: float | None = None
        self._version = VERSION

    @property
    def is_too_old(self) -> bool:
        return self._version > VERSION

    @property
    def is_in_transaction(self) -> bool:
        one = self._connection
        if one is None or one.closed:
            return False
        return bool(self._waiting) or one.info.transaction_status != TransactionStatus.IDLE

    @property
    def is_lost(self) -> bool:
        return self._connection is None or self._connection.closed

    def _open(self) -> psycopg.Connection:
        """The connection, made again where it was lost."""
        if self._connection is None or self._connection.closed:
            self._connection = connect(self._url, f"microclaw {self._host}")
        return self._connection

    def begin(self) -> None:
        """With the first statement: a lost connection is found out there."""
        self._open()
        self._changed, self._mark, self._waiting = set(), secrets.token_hex(8), []
        self._wait(*(*_LOCKED, _VERSION) if self._writes else ("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",))

    def commit(self) -> None:
        if not self._changed and any(one.table for one in self._waiting):
            self._send()
        if self._connection is not None and self._connection.info.transaction_status == TransactionStatus.IDLE:
            self._waiting = []
            return
        if self._writes and self.is_too_old:
            raise newer(self._version)
        self._changed |= {one.table for one in self._waiting if one.table is not None}
        if not self._changed:
            self._send("COMMIT")
            return
        try:
            self._send(
                f"INSERT INTO last_commits VALUES ('{self._host}', '{self._mark}') "  # noqa: S608 - an id and hex digits
                "ON CONFLICT (host) DO UPDATE SET mark = excluded.mark",
                f"SELECT pg_notify('{CHANNEL}', '{self._host} {' '.join(sorted(self._changed))}')",
                "COMMIT",
            )
        except psycopg.OperationalError:
            if not self.is_lost or not self._is_committed():
                raise

    def _is_committed(self) -> bool:
        give_up = time.monotonic() + DECIDE_S
        while time.monotonic() < give_up:
            with contextlib.suppress(StoreError, psycopg.Error):
                connection = self._open()
                self._waiting = []
                mark = f"SELECT mark FROM last_commits WHERE host = '{self._host}'"  # noqa: S608 - an id
                found = self._send(*_LOCKED, mark).fetchone()
                self._send("COMMIT")
                if found == (self._mark,):
                    return True
                connection.close()  # lost: it is done again
                return False
            time.sleep(0.1)
        raise CommitUnknown(
            "the database was lost while it wrote: whether it has the change is unknown", next_step=IS_IT_WELL
        )

    def rollback(self) -> None:
        self._waiting = []
        if self.is_in_transaction:
            with contextlib.suppress(psycopg.Error, StoreError):  # lost: it is undone
                self._send("ROLLBACK")
                if self._writes:
                    self._send(_VERSION)  # a statement may have failed for it

    def rewrite(self) -> None:
        connection = self._open()
        connection.execute("SET statement_timeout = 0")
        connection.execute("VACUUM")
        connection.close()  # the next one has the limit again

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()

    def cut_if_silent(self) -> None:
        """From another thread."""
        asked_at = self._asked_at
        if self._connection is not None and asked_at is not None and time.monotonic() - asked_at > SILENT_S:
            cut(self._connection)

    def store_error(self, exc: Exception) -> StoreError:
        text = str(exc).strip().partition("\n")[0]
        error = StoreError(f"the store failed: {text}", next_step="see the log of PostgreSQL")
        if self.is_lost:
            error = StoreUnreachable(f"the database cannot be reached: {text}", next_step=IS_IT_WELL)
        elif isinstance(exc, _UNWRITABLE):
            error = StoreUnwritable(f"the database takes no writes: {text}", next_step="see PostgreSQL's disk and role")
        error.__cause__ = exc
        return error

    def execute(self, sql: str, values: Values = (), /) -> Rows:
        if sql in _SAVEPOINTS:
            return self._savepoint(sql)
        one = self._statement(sql, values)
        if one.table is None or "RETURNING" in sql:
            return self._send()
        return one

    def executemany(self, sql: str, values: Iterable[Values], /) -> Rows:
        rows = [self._statement(sql, row) for row in values]
        return Waiting(self, "", count=sum(row.rowcount for row in rows))

    def _statement(self, sql: str, values: Values) -> Waiting:
        """Put a statement with its values behind those that wait."""
        assert self._connection is not None
        text, is_numbered = in_its_words(sql)
        given = {f"p{at}": value for at, value in enumerate(values, 1)} if is_numbered else values
        self._wait(psycopg.ClientCursor(self._connection).mogrify(text, given), table=changed_table(sql))
        return self._waiting[-1]

    def _savepoint(self, sql: str) -> Rows:
        """Begin, end or undo a job: what it changed is sent before its end, so that a failure is this job's."""
        assert self._connection is not None
        if sql == "ROLLBACK TO job":
            while self._waiting and self._waiting[-1].text != "SAVEPOINT job":
                self._waiting.pop()
            if self._waiting:
                return self._waiting[-1]
            return self._send(sql)
        if self._connection.info.transaction_status == TransactionStatus.INERROR:
            raise StoreError("a statement failed, and the job went on")
        has_changes = bool(self._waiting) and self._waiting[-1].table is not None
        self._wait(sql)
        if sql == "RELEASE job" and has_changes:
            return self._send()
        return self._waiting[-1]

    def _wait(self, *texts: str, table: str | None = None) -> None:
        self._waiting += [Waiting(self, text, table) for text in texts]

    def _send(self, *texts: str) -> psycopg.Cursor:
        """Send what waits, and these; the cursor is at the last of their answers."""
        assert self._connection is not None
        self._wait(*texts)
        waiting = self._waiting
        self._waiting = []
        cursor = psycopg.ClientCursor(self._connection)
        self._asked_at = time.monotonic()
        try:
            cursor.execute("; ".join(one.text for one in waiting))
        finally:
            self._asked_at = None
        for one in waiting:
            one.count = cursor.rowcount
            if self._writes and one.count and one.table is not None:
                self._changed.add(one.table)
            if one.text == _VERSION:  # write nothing into a database that a newer microclaw upgraded
                (self._version,) = cursor.fetchone() or (VERSION,)
                if self.is_too_old:
                    raise newer(self._version)
            cursor.nextset()
        return cursor


class Waiting(Struct):
    """A statement that goes with the next one, unless somebody wants to know how many rows it changes."""

    connection: PostgresConnection
    text: str
    table: str | None = None  # which it changes
    count: int | None = None

    @property
    def rowcount(self) -> int:
        if self.count is None:
            self.connection._send()
        assert self.count is not None
        return self.count

    def fetchone(self) -> Any:
        return None

    def fetchall(self) -> list[Any]:
        return []

    def __iter__(self) -> Iterator[Any]:
        return iter(())


def cut(connection: psycopg.Connection | psycopg.AsyncConnection) -> None:
    """A server that is stopped, or a way that is cut, wakes nobody who waits for it: this does."""
    with contextlib.suppress(OSError, psycopg.Error), socket.socket(fileno=os.dup(connection.fileno())) as end:
        end.shutdown(socket.SHUT_RDWR)


def newer(version: int) -> StoreUnwritable:
    return StoreUnwritable(
        f"the database has version {version}, this microclaw knows {VERSION}: it writes nothing",
        next_step="upgrade this host: use the newer microclaw here too",
    )


def parameters(url: str, application: str) -> str:
    """Of a connection: other machines' certificates are verified unless the URL says otherwise."""
    host = urlsplit(url).hostname
    more: dict[str, Any] = {}
    if host is not None and not is_loopback(host) and "sslmode" not in parse_qs(urlsplit(url).query):
        more = {"sslmode": "verify-full", "sslrootcert": "system"}
    return conninfo.make_conninfo(
        url,
        connect_timeout=CONNECT_S,
        application_name=application[:63],
        client_encoding="utf8",
        keepalives_idle=2,
        keepalives_interval=1,
        keepalives_count=3,
        tcp_user_timeout=5_000,
        options=" ".join(f"-c {name}={value}" for name, value in _SESSION.items()),
        **more,
    )


def connect(url: str, application: str) -> psycopg.Connection:
    """One that commits by itself; StoreUnreachable."""
    try:
        connection = psycopg.connect(parameters(url, application), autocommit=True)
    except psycopg.Error as exc:
        text = str(exc).strip().partition("\n")[0]
        raise StoreUnreachable(f"the database cannot be reached: {text}", next_step=IS_IT_WELL) from exc
    connection.cursor_factory = psycopg.ClientCursor  # values in the text: so their types are the columns'
    adapt(connection)
    return connection
