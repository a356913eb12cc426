"""One connection to a PostgreSQL database, as store/database.py uses it: made anew where it was lost.

A commit whose answer was lost is looked up by the mark that it left, not by its transaction's number: a server that was
killed may give that to another.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import socket
import time
from collections.abc import Iterable
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

import psycopg
from psycopg import conninfo
from psycopg.pq import TransactionStatus

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
_LOCKED: Final = f"BEGIN; SELECT pg_advisory_xact_lock({LOCK}, 0)"
_VERSION: Final = "SELECT version FROM store_version"
IS_IT_WELL: Final = "see whether PostgreSQL runs and this machine reaches it; the host connects again by itself"


class PostgresConnection:
    """A store.database.Connection, and its Sql. Only one that writes takes the lock."""

    errors = psycopg.Error

    def __init__(self, url: str, host: str, *, writes: bool) -> None:
        self._url = url
        self._host = host
        self._writes = writes
        self._connection: psycopg.Connection | None = None
        self._changed: set[str] = set()
        self._mark = ""
        self._before = ""  # goes with the next statement: a round trip less
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
        return bool(self._before) or one.info.transaction_status != TransactionStatus.IDLE

    @property
    def is_lost(self) -> bool:
        return self._connection is None or self._connection.closed

    def _open(self) -> psycopg.Connection:
        """The connection, made anew where it was lost."""
        if self._connection is None or self._connection.closed:
            self._connection = connect(self._url, f"microclaw {self._host}")
        return self._connection

    def begin(self) -> None:
        """Nothing is written into a database that a newer microclaw upgraded."""
        self._open()
        self._changed, self._mark, self._before = set(), secrets.token_hex(8), ""
        if not self._writes:
            self._before = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY;"
            return
        (self._version,) = self._ask(f"{_LOCKED}; {_VERSION}").fetchone() or (VERSION,)
        if self.is_too_old:
            raise newer(self._version)

    def commit(self) -> None:
        if not self._changed:
            self._ask("COMMIT")
            return
        news = f"{self._host} {' '.join(sorted(self._changed))}"
        try:
            self._ask(
                f"INSERT INTO last_commits VALUES ('{self._host}', '{self._mark}') "  # noqa: S608 - an id and hex digits
                "ON CONFLICT (host) DO UPDATE SET mark = excluded.mark; "
                f"SELECT pg_notify('{CHANNEL}', '{news}'); COMMIT"
            )
        except psycopg.OperationalError:
            if not self.is_lost or not self._is_committed():
                raise

    def _is_committed(self) -> bool:
        give_up = time.monotonic() + DECIDE_S
        while time.monotonic() < give_up:
            with contextlib.suppress(StoreError, psycopg.Error):
                connection = self._open()
                self._ask(_LOCKED)
                found = self._ask("SELECT mark FROM last_commits WHERE host = %s", (self._host,)).fetchone()
                self._ask("COMMIT")
                if found == (self._mark,):
                    return True
                connection.close()  # lost: it is done again
                return False
            time.sleep(0.1)
        raise StoreUnreachable(
            "the database was lost while it wrote: whether the last change is in it is not known", next_step=IS_IT_WELL
        )

    def rollback(self) -> None:
        self._before = ""
        if self.is_in_transaction:
            with contextlib.suppress(psycopg.Error):  # lost: it is undone
                self._ask("ROLLBACK")

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
        elif isinstance(exc, psycopg.errors.DiskFull | psycopg.errors.ReadOnlySqlTransaction):
            error = StoreUnwritable(f"the database takes no writes: {text}", next_step="see PostgreSQL's disk and role")
        error.__cause__ = exc
        return error

    def execute(self, sql: str, values: Values = (), /) -> Rows:
        assert self._connection is not None
        if sql in ("SAVEPOINT job", "RELEASE job"):
            if self._connection.info.transaction_status == TransactionStatus.INERROR:
                raise StoreError("a statement failed, and the job went on")
            self._before += f"{sql};"
            return self._connection.cursor()
        text, is_numbered = in_its_words(sql)
        given = {f"p{at}": value for at, value in enumerate(values, 1)} if is_numbered else values
        cursor = self._ask(text, given)
        self._note(changed_table(sql), cursor.rowcount)
        return cursor

    def _ask(self, text: str, values: Any = None) -> psycopg.Cursor:
        """The cursor is at the last of its answers."""
        assert self._connection is not None
        cursor = psycopg.ClientCursor(self._connection)
        text = self._before + (text if values is None else cursor.mogrify(text, values))
        self._before, self._asked_at = "", time.monotonic()
        try:
            cursor.execute(text)
        finally:
            self._asked_at = None
        while cursor.nextset():
            pass
        return cursor

    def executemany(self, sql: str, values: Iterable[Values], /) -> Rows:
        assert self._connection is not None
        text, is_numbered = in_its_words(sql)
        if self._before:
            self._ask("")
        rows = [{f"p{at}": value for at, value in enumerate(row, 1)} if is_numbered else row for row in values]
        cursor = self._connection.cursor()
        self._asked_at = time.monotonic()
        try:
            cursor.executemany(text, rows)
        finally:
            self._asked_at = None
        self._note(changed_table(sql), cursor.rowcount)
        return cursor

    def _note(self, table: str | None, count: int) -> None:
        if self._writes and count and table is not None:
            self._changed.add(table)


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
