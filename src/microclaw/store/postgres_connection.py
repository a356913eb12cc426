"""One connection to a PostgreSQL database, as store/database.py uses it: made anew where it was lost.

Statements go down psycopg's pipeline: a change is waited for with the next answer, a round trip less. A commit whose
answer was lost is looked up by the mark that it left, not by its transaction's number: a server that was killed may
give that to another.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import socket
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

import psycopg
from psycopg import conninfo
from psycopg.pq import TransactionStatus
from psycopg.rows import TupleRow

from microclaw.addresses import is_loopback
from microclaw.errors import StoreError, StoreUnreachable, StoreUnwritable
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
_LOCKED: Final = ("BEGIN", f"SELECT pg_advisory_xact_lock({LOCK}, 0)")
_VERSION: Final = "SELECT version FROM store_version"
IS_IT_WELL: Final = "see whether PostgreSQL runs and this machine reaches it; the host connects again by itself"


class PostgresConnection:
    """A store.database.Connection, and its Sql. Only one that writes takes the lock."""

    errors = psycopg.Error

    def __init__(self, url: str, host: str, *, writes: bool) -> None:
        self._url = url
        self._host = host
        self._writes = writes
        self._stack = ExitStack()
        self._connection: psycopg.Connection | None = None
        self._pipeline: psycopg.Pipeline | None = None
        self._sent: list[tuple[str, Cursor]] = []  # changes that are not waited for yet: the table, and the answer
        self._changed: set[str] = set()
        self._mark = ""
        self._asked_at: float | None = None
        self._version = VERSION
        self._version_asked: Cursor | None = None

    @property
    def is_too_old(self) -> bool:
        return self._version > VERSION

    @property
    def is_in_transaction(self) -> bool:
        one = self._connection
        return one is not None and not one.closed and one.info.transaction_status != TransactionStatus.IDLE

    @property
    def is_lost(self) -> bool:
        return self._connection is None or self._connection.closed

    def begin(self) -> None:
        """With the first statement: a lost connection is found out there."""
        self._open()
        self._changed, self._mark = set(), secrets.token_hex(8)
        for text in _LOCKED if self._writes else ("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",):
            self._send(text)
        self._version_asked = self._send(_VERSION) if self._writes else None

    def _open(self) -> None:
        """Connect, where the connection was lost."""
        if self.is_lost:
            self.close()
            self._sent, self._version_asked = [], None
            self._connection = connect(self._url, f"microclaw {self._host}")
            self._stack.callback(self._connection.close)  # as a context it would commit
            self._pipeline = self._stack.enter_context(self._connection.pipeline())

    def commit(self) -> None:
        if self._sent and not self._changed:
            self.wait()
        if self.is_too_old and self._writes:
            raise newer(self._version)
        self._changed |= {table for table, _ in self._sent}
        if self._changed:
            query = """INSERT INTO last_commits VALUES (%s, %s)
                ON CONFLICT (host) DO UPDATE SET mark = excluded.mark"""
            self._send(query, (self._host, self._mark))
            self._send("SELECT pg_notify(%s, %s)", (CHANNEL, f"{self._host} {' '.join(sorted(self._changed))}"))
        try:
            self._send("COMMIT")
            self.wait()
        except psycopg.OperationalError:
            if not (self._changed and self.is_lost and self._is_committed()):
                raise

    def _is_committed(self) -> bool:
        give_up = time.monotonic() + DECIDE_S
        while time.monotonic() < give_up:
            with contextlib.suppress(StoreError, psycopg.Error):
                self._open()
                for text in _LOCKED:
                    self._send(text)
                found = self.execute("SELECT mark FROM last_commits WHERE host = ?", (self._host,)).fetchone()
                self.execute("COMMIT")
                if found != (self._mark,):
                    self.close()  # lost: it is done again
                return bool(found == (self._mark,))
            time.sleep(0.1)
        raise StoreUnreachable(
            "the database was lost while it wrote: whether the last change is in it is not known", next_step=IS_IT_WELL
        )

    def rollback(self) -> None:
        if self.is_lost:
            return  # it is undone
        with contextlib.suppress(psycopg.Error, StoreError):  # what failed is known
            self.wait()
        if self.is_in_transaction:
            with contextlib.suppress(psycopg.Error, StoreError):  # lost: it is undone
                self._send("ROLLBACK")
                self._version_asked = self._send(_VERSION) if self._writes else None  # a statement may fail for it
                self.wait()

    def rewrite(self) -> None:
        with connect(self._url, f"microclaw {self._host}") as connection:
            connection.execute("SET statement_timeout = 0")
            connection.execute("VACUUM")

    def close(self) -> None:
        with contextlib.suppress(psycopg.Error):
            self._stack.close()

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
        elif isinstance(exc, psycopg.errors.DiskFull | psycopg.errors.ReadOnlySqlTransaction):
            error = StoreUnwritable(f"the database takes no writes: {text}", next_step="see PostgreSQL's disk and role")
        error.__cause__ = exc
        return error

    def execute(self, sql: str, values: Values = (), /) -> Rows:
        """A job's changes are waited for at its end, so that a failure is this job's."""
        assert self._connection is not None
        if sql == "ROLLBACK TO job":
            with contextlib.suppress(psycopg.Error):
                self.wait()
        elif sql == "RELEASE job" and self._connection.info.transaction_status == TransactionStatus.INERROR:
            raise StoreError("a statement failed, and the job went on")
        text, is_numbered = in_its_words(sql)
        given = {f"p{at}": value for at, value in enumerate(values, 1)} if is_numbered else values
        table, is_behind = changed_table(sql), bool(self._sent)
        cursor = self._send(text, given)
        if table is not None:
            self._sent.append((table, cursor))
        is_mark = sql == "SAVEPOINT job" or (sql == "RELEASE job" and not is_behind)
        if not is_mark and (table is None or "RETURNING" in sql):
            self.wait()
        return cursor

    def executemany(self, sql: str, values: Iterable[Values], /) -> Rows:
        assert self._connection is not None
        text, is_numbered = in_its_words(sql)
        rows = [{f"p{at}": value for at, value in enumerate(row, 1)} if is_numbered else row for row in values]
        cursor = Cursor(self._connection, self)
        with self._asking():
            cursor.executemany(text, rows)
        if (table := changed_table(sql)) is not None:
            self._sent.append((table, cursor))
        self.wait()
        return cursor

    def _send(self, text: str, values: Any = None) -> Cursor:
        assert self._connection is not None
        cursor = Cursor(self._connection, self)
        with self._asking():
            return cursor.execute(text, values)

    def wait(self) -> None:
        """Wait for the answers to all that was sent. Nothing is written into a database that a newer one upgraded."""
        assert self._pipeline is not None
        sent, self._sent = self._sent, []
        version, self._version_asked = self._version_asked, None
        with self._asking():
            self._pipeline.sync()
        self._changed |= {table for table, cursor in sent if self._writes and cursor.rowcount > 0}
        if version is not None:
            (self._version,) = version.fetchone() or (VERSION,)
            if self.is_too_old:
                raise newer(self._version)

    @contextmanager
    def _asking(self) -> Iterator[None]:
        self._asked_at = time.monotonic()
        try:
            yield
        finally:
            self._asked_at = None


class Cursor(psycopg.ClientCursor[TupleRow]):
    """An answer that is waited for when somebody wants to know how many rows were changed."""

    def __init__(self, connection: psycopg.Connection, owner: PostgresConnection) -> None:
        super().__init__(connection)
        self._owner = owner

    @property
    def rowcount(self) -> int:
        if super().rowcount < 0:
            self._owner.wait()
        return super().rowcount


def cut(connection: psycopg.Connection | psycopg.AsyncConnection) -> None:
    """A server that is stopped, or a way that is cut, wakes nobody who waits for it: this does."""
    with contextlib.suppress(OSError, psycopg.Error), socket.socket(fileno=os.dup(connection.fileno())) as end:
        end.shutdown(socket.SHUT_RDWR)


def newer(version: int) -> StoreError:
    return StoreError(
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
