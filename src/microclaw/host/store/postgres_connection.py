"""A connection to a PostgreSQL database, as host/store/database.py uses it: it connects again after it was lost.

A change waits for the next statement and is sent with it, which saves a round trip. If the answer to a commit was
lost, the commit is looked up by the mark that it left, not by the number of its transaction: a server that was killed
may give that number to another transaction.
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
from microclaw.host.store.postgres_dialect import adapt, changed_table, translate_placeholders
from microclaw.host.store.schema import VERSION
from microclaw.host.store.sql import Rows, Values

CHANNEL: Final = "microclaw"
# The advisory lock of all writes; its second number is free for other uses.
LOCK: Final = 34
CONNECT_S: Final = 3
# To find out whether a commit whose answer was lost took place.
DECIDE_S: Final = 5.0
# A statement without an end after this time, which includes the server's own limit, has none: the connection is cut.
SILENT_S: Final = 5.0
_SESSION: Final = {
    "statement_timeout": 4_000,
    "lock_timeout": 4_000,
    # Frees the lock of a host that is frozen or cut off.
    "idle_in_transaction_session_timeout": 2_000,
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
CHECK_DATABASE_STEP: Final = (
    "see whether PostgreSQL runs and this machine reaches it; the host connects again by itself"
)


class PostgresConnection:
    """A store.database.Connection, and its Sql. Only a connection that writes takes the lock."""

    errors = (psycopg.Error,)

    def __init__(self, url: str, host: str, *, writes: bool) -> None:
        self._url = url
        self._host = host
        self._writes = writes
        self._connection: psycopg.Connection | None = None
        self._changed: set[str] = set()
        self._mark = ""
        self._waiting: list[DeferredStatement] = []
        self._asked_at: float | None = None
        self._version = VERSION

    @property
    def is_too_old(self) -> bool:
        return self._version > VERSION

    @property
    def is_in_transaction(self) -> bool:
        connection = self._connection
        if connection is None or connection.closed:
            return False
        return bool(self._waiting) or connection.info.transaction_status != TransactionStatus.IDLE

    @property
    def is_lost(self) -> bool:
        return self._connection is None or self._connection.closed

    def _open(self) -> psycopg.Connection:
        """Return the connection; connect again if it was lost."""
        if self._connection is None or self._connection.closed:
            self._connection = connect(self._url, f"microclaw {self._host}")
        return self._connection

    def begin(self) -> None:
        """Begin together with the first statement, which finds out whether the connection is lost."""
        self._open()
        self._changed = set()
        self._mark = secrets.token_hex(8)
        self._waiting = []
        if self._writes:
            self._wait(*_LOCKED, _VERSION)
        else:
            self._wait("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")

    def commit(self) -> None:
        if not self._changed and any(statement.table for statement in self._waiting):
            self._send()
        if self._connection is not None and self._connection.info.transaction_status == TransactionStatus.IDLE:
            self._waiting = []
            return
        if self._writes and self.is_too_old:
            raise newer_version_error(self._version)
        self._changed |= {statement.table for statement in self._waiting if statement.table is not None}
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
        """Return True if the commit whose answer was lost took place. Raises CommitUnknown after DECIDE_S."""
        give_up = time.monotonic() + DECIDE_S
        while time.monotonic() < give_up:
            with contextlib.suppress(StoreError, psycopg.Error):
                connection = self._open()
                self._waiting = []
                mark = f"SELECT mark FROM last_commits WHERE host = '{self._host}'"  # noqa: S608 - an id
                row = self._send(*_LOCKED, mark).fetchone()
                self._send("COMMIT")
                if row == (self._mark,):
                    return True
                # The caller does the transaction again on a new connection.
                connection.close()
                return False
            time.sleep(0.1)
        raise CommitUnknown(
            "the database was lost while it wrote: whether it has the change is unknown", next_step=CHECK_DATABASE_STEP
        )

    def rollback(self) -> None:
        self._waiting = []
        if self.is_in_transaction:
            # If the connection is lost, the server undoes the transaction itself.
            with contextlib.suppress(psycopg.Error, StoreError):
                self._send("ROLLBACK")
                if self._writes:
                    # A statement may have failed because a newer host upgraded the tables.
                    self._send(_VERSION)

    def rewrite(self) -> None:
        connection = self._open()
        connection.execute("SET statement_timeout = 0")
        connection.execute("VACUUM")
        # The next connection has the time limit again.
        connection.close()

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()

    def cut_if_silent(self) -> None:
        """Cut the connection if the server has not answered for SILENT_S. Called from another thread."""
        asked_at = self._asked_at
        if self._connection is not None and asked_at is not None and time.monotonic() - asked_at > SILENT_S:
            cut(self._connection)

    def store_error(self, exc: Exception) -> StoreError:
        text = str(exc).strip().partition("\n")[0]
        error = StoreError(f"the store failed: {text}", next_step="see the log of PostgreSQL")
        if self.is_lost:
            error = StoreUnreachable(f"the database cannot be reached: {text}", next_step=CHECK_DATABASE_STEP)
        elif isinstance(exc, _UNWRITABLE):
            error = StoreUnwritable(f"the database takes no writes: {text}", next_step="see PostgreSQL's disk and role")
        error.__cause__ = exc
        return error

    def execute(self, sql: str, values: Values = (), /) -> Rows:
        if sql in _SAVEPOINTS:
            return self._savepoint(sql)
        statement = self._statement(sql, values)
        if statement.table is None or "RETURNING" in sql:
            return self._send()
        return statement

    def executemany(self, sql: str, values: Iterable[Values], /) -> Rows:
        rows = [self._statement(sql, row) for row in values]
        return DeferredStatement(self, "", count=sum(row.rowcount for row in rows))

    def _statement(self, sql: str, values: Values) -> DeferredStatement:
        """Append a statement with its values to the waiting statements."""
        assert self._connection is not None
        text, is_numbered = translate_placeholders(sql)
        if is_numbered:
            values = {f"p{number}": value for number, value in enumerate(values, 1)}
        self._wait(psycopg.ClientCursor(self._connection).mogrify(text, values), table=changed_table(sql))
        return self._waiting[-1]

    def _savepoint(self, sql: str) -> Rows:
        """Begin, end or undo a job. Its changes are sent before its end, so that a failure counts for this job."""
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
        self._waiting += [DeferredStatement(self, text, table) for text in texts]

    def _send(self, *texts: str) -> psycopg.Cursor:
        """Send the waiting statements, and these; return a cursor at the last of their answers."""
        assert self._connection is not None
        self._wait(*texts)
        waiting = self._waiting
        self._waiting = []
        cursor = psycopg.ClientCursor(self._connection)
        self._asked_at = time.monotonic()
        try:
            cursor.execute("; ".join(statement.text for statement in waiting))
        finally:
            self._asked_at = None
        for statement in waiting:
            statement.count = cursor.rowcount
            if self._writes and statement.count and statement.table is not None:
                self._changed.add(statement.table)
            # Write nothing into a database that a newer microclaw upgraded.
            if statement.text == _VERSION:
                (self._version,) = cursor.fetchone() or (VERSION,)
                if self.is_too_old:
                    raise newer_version_error(self._version)
            cursor.nextset()
        return cursor


class DeferredStatement(Struct):
    """A statement that is sent with the next one, unless the caller asks how many rows it changes."""

    connection: PostgresConnection
    text: str
    table: str | None = None
    """The table that it changes."""
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
    """Shut a connection down, which wakes the thread that waits for it. A stopped server or a cut line wakes none."""
    with (
        contextlib.suppress(OSError, psycopg.Error),
        socket.socket(fileno=os.dup(connection.fileno())) as connection_socket,
    ):
        connection_socket.shutdown(socket.SHUT_RDWR)


def newer_version_error(version: int) -> StoreUnwritable:
    """Build the error for a database that a newer microclaw upgraded."""
    return StoreUnwritable(
        f"the database has version {version}, this microclaw knows {VERSION}: it writes nothing",
        next_step="upgrade this host: use the newer microclaw here too",
    )


def connection_parameters(url: str, application: str) -> str:
    """Return libpq's parameters of a connection.

    Certificates of other machines are verified unless the URL says otherwise.
    """
    host = urlsplit(url).hostname
    tls: dict[str, Any] = {}
    if host is not None and not is_loopback(host) and "sslmode" not in parse_qs(urlsplit(url).query):
        tls = {"sslmode": "verify-full", "sslrootcert": "system"}
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
        **tls,
    )


def connect(url: str, application: str) -> psycopg.Connection:
    """Open a connection that commits each statement. Raises StoreUnreachable."""
    try:
        connection = psycopg.connect(connection_parameters(url, application), autocommit=True)
    except psycopg.Error as exc:
        text = str(exc).strip().partition("\n")[0]
        raise StoreUnreachable(f"the database cannot be reached: {text}", next_step=CHECK_DATABASE_STEP) from exc
    # This cursor puts the values into the text, so that they take the types of their columns.
    connection.cursor_factory = psycopg.ClientCursor
    adapt(connection)
    return connection
