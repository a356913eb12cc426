"""The store in a PostgreSQL database (15 or later) that several hosts share; psycopg is imported with it alone.

Every group of writes takes one lock of the database first, so each sees all before it, over all hosts, as in one
store. What a group changed is told to the other hosts with its commit (NOTIFY: the host and the tables' names).
A commit whose answer was lost is looked up by its transaction's number.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import re
import secrets
import socket
import time
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

import psycopg
from psycopg import conninfo
from psycopg.pq import TransactionStatus

from microclaw.addresses import is_loopback
from microclaw.errors import ConfigError, StoreError, StoreUnreachable
from microclaw.store.database import Database
from microclaw.store.following import Followers, Refresh
from microclaw.store.postgres_dialect import adapt, changed_table, in_its_words, tables_in_its_words
from microclaw.store.schema import BASE, STEPS, VERSION, schema
from microclaw.store.sql import Rows, Values

CHANNEL: Final = "microclaw"
LOCK: Final = 34  # advisory: of all writes; its second number is free for others
CONNECT_S: Final = 3
START_S: Final = 60.0  # for a database that is starting, or has no connection free
DECIDE_S: Final = 5.0  # to learn whether a commit whose answer was lost took place
HEAR_S: Final = 2.0  # between looks whether the connection that hears is there
FRESH_S: Final = 5.0
ASK_S: Final = 2.0
_NOW_MS: Final = "CAST(extract(epoch FROM clock_timestamp()) * 1000 AS BIGINT)"
_SESSION: Final = {
    "statement_timeout": 10_000,
    "lock_timeout": 6_000,
    "idle_in_transaction_session_timeout": 2_000,  # of a host that is frozen, or cut off: its lock is given back
    "synchronous_commit": "on",
    "timezone": "UTC",
}
_REFUSED: Final = re.compile(
    r"authentication failed|does not exist|no pg_hba\.conf|permission denied|no password supplied|certificate|SSL", re.I
)
_IS_IT_WELL: Final = "see whether PostgreSQL runs and this machine reaches it; the host connects again by itself"

_log = logging.getLogger(__name__)


class PostgresConnection:
    """A store.database.Connection, and its Sql. Only one that writes takes the lock."""

    errors = psycopg.Error

    def __init__(self, url: str, host: str, *, writes: bool) -> None:
        self._url = url
        self._host = host
        self._writes = writes
        self._connection: psycopg.Connection | None = None
        self._changed: set[str] = set()
        self._transaction = ""
        self.is_too_old = False

    @property
    def sql(self) -> PostgresConnection:
        return self

    @property
    def is_in_transaction(self) -> bool:
        one = self._connection
        return one is not None and not one.closed and one.info.transaction_status != TransactionStatus.IDLE

    @property
    def is_lost(self) -> bool:
        return self._connection is None or self._connection.closed

    def begin(self) -> None:
        is_fresh = self.is_lost
        if self._connection is None or is_fresh:
            self._connection = connect(self._url, f"microclaw {self._host}")
        self._changed, self._transaction = set(), ""
        try:
            if not self._writes:
                self._connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
                return
            told = self._connection.execute(
                f"BEGIN; SELECT pg_advisory_xact_lock({LOCK}, 0); "  # noqa: S608 - a number of ours
                "SELECT pg_current_xact_id()::text, version FROM store_version"
            )
            while told.nextset():
                pass
            self._transaction, version = told.fetchone() or ("", VERSION)
        except psycopg.OperationalError:
            if is_fresh or not self.is_lost:
                raise
            self.begin()
            return
        self.is_too_old = version > VERSION
        if self.is_too_old:
            raise newer(version)

    def commit(self) -> None:
        assert self._connection is not None
        if not self._changed:
            self._connection.execute("COMMIT")
            return
        news = f"{self._host} {' '.join(sorted(self._changed))}"
        try:
            self._connection.execute(f"SELECT pg_notify('{CHANNEL}', '{news}'); COMMIT")
        except psycopg.OperationalError:
            if not self.is_lost or not self._is_committed():
                raise

    def _is_committed(self) -> bool:
        give_up = time.monotonic() + DECIDE_S
        while time.monotonic() < give_up:
            with contextlib.suppress(StoreError, psycopg.Error):
                self._connection = connect(self._url, f"microclaw {self._host}")
                found = self._connection.execute("SELECT pg_xact_status(%s::xid8)", (self._transaction,)).fetchone()
                if found is not None and found[0] in ("committed", "aborted"):
                    if found[0] == "aborted":
                        self._connection.close()  # lost: it is done again
                    return bool(found[0] == "committed")
            time.sleep(0.1)
        raise StoreUnreachable(
            "the database was lost while it wrote: whether the last change is in it is not known", next_step=_IS_IT_WELL
        )

    def rollback(self) -> None:
        if self.is_in_transaction:
            with contextlib.suppress(psycopg.OperationalError):  # lost: it is undone
                self.execute("ROLLBACK")

    def rewrite(self) -> None:
        if self._connection is None or self.is_lost:
            self._connection = connect(self._url, f"microclaw {self._host}")
        self._connection.execute("VACUUM")

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()

    def store_error(self, exc: Exception) -> StoreError:
        text = str(exc).strip().partition("\n")[0]
        error = (
            StoreUnreachable(f"the database cannot be reached: {text}", next_step=_IS_IT_WELL)
            if self.is_lost
            else StoreError(f"the store failed: {text}", next_step="see the log of PostgreSQL")
        )
        error.__cause__ = exc
        return error

    def execute(self, sql: str, values: Values = (), /) -> Rows:
        assert self._connection is not None
        text, is_numbered = in_its_words(sql)
        given = {f"p{at}": value for at, value in enumerate(values, 1)} if is_numbered else values
        cursor = self._connection.execute(text, given)
        self._note(sql, cursor.rowcount)
        return cursor

    def executemany(self, sql: str, values: Iterable[Values], /) -> Rows:
        assert self._connection is not None
        text, is_numbered = in_its_words(sql)
        rows = [{f"p{at}": value for at, value in enumerate(row, 1)} if is_numbered else row for row in values]
        cursor = self._connection.cursor()
        cursor.executemany(text, rows)
        self._note(sql, cursor.rowcount)
        return cursor

    def _note(self, sql: str, count: int) -> None:
        if self._writes and count and (table := changed_table(sql)) is not None:
            self._changed.add(table)


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
    """One that commits by itself; StoreUnreachable, or ConfigError where it would be refused again."""
    try:
        connection = psycopg.connect(parameters(url, application), autocommit=True)
    except psycopg.Error as exc:
        raise refused(exc) from exc
    connection.cursor_factory = psycopg.ClientCursor  # values in the text: so their types are the columns'
    adapt(connection)
    return connection


def refused(exc: psycopg.Error) -> StoreUnreachable | ConfigError:
    text = str(exc).strip().rpartition("\n")[2]
    if _REFUSED.search(text):
        return ConfigError(
            f"the database refuses this host: {text}", next_step="check database.url, and docs/cluster.md"
        )
    return StoreUnreachable(f"the database cannot be reached: {text}", next_step=_IS_IT_WELL)


def make_tables(url: str, host: str) -> None:
    """See to the tables of this version: made in an empty database, upgraded in one of an older microclaw.

    One of a newer version is left as it is. Tries for START_S.
    """
    give_up = time.monotonic() + START_S
    while True:
        try:
            connection = connect(url, f"microclaw {host}")
            break
        except StoreUnreachable:
            if time.monotonic() > give_up:
                raise
            time.sleep(0.5)
    with contextlib.closing(connection), connection.transaction():
        try:
            connection.execute("SELECT pg_advisory_xact_lock(%s, 0)", (LOCK,))
            (encoding,) = connection.execute("SHOW server_encoding").fetchone() or ("",)
            if encoding != "UTF8":
                raise ConfigError(
                    f"the database has the encoding {encoding}", next_step="createdb --encoding UTF8 NAME"
                )
            (there,) = connection.execute("SELECT to_regclass('store_version')").fetchone() or (None,)
            if there is None:
                connection.execute("; ".join(tables_in_its_words(schema())))
                connection.execute("CREATE TABLE store_version (version BIGINT NOT NULL)")
                connection.execute("INSERT INTO store_version VALUES (%s)", (BASE,))
            (version,) = connection.execute("SELECT version FROM store_version").fetchone() or (VERSION,)
            for number in range(version, VERSION):
                for statement in STEPS[number - BASE]:
                    connection.execute("".join(tables_in_its_words(statement)))
                connection.execute("UPDATE store_version SET version = %s", (number + 1,))
        except psycopg.Error as exc:
            raise StoreError(
                f"the database cannot be prepared: {str(exc).strip()}", next_step="see docs/cluster.md, Database"
            ) from exc


class SharedDatabase(Database):
    """Made by `SharedDatabase.opened`."""

    def __init__(self, url: str, host: str) -> None:
        self.host = host
        self.url = url
        self._writing = PostgresConnection(url, host, writes=True)
        super().__init__(
            self._writing,
            PostgresConnection(url, host, writes=False),
        )
        self._listeners: list[Callable[[frozenset[str]], None]] = []
        self._followers = Followers()
        self.listen(self._followers.changed)
        self._asked: dict[str, asyncio.Future[None]] = {}
        self._followed: set[str] = set()
        self.is_heard = False  # whether what other hosts change is told here
        self._aside: psycopg.AsyncConnection | None = None
        self._asking = asyncio.Lock()

    @classmethod
    @asynccontextmanager
    async def opened(cls, url: str, host: str) -> AsyncIterator[SharedDatabase]:
        """StoreError, ConfigError when it cannot be used. `host` is this host's id: letters, digits, - and _."""
        await asyncio.to_thread(make_tables, url, host)
        database = cls(url, host)
        hearing = asyncio.create_task(database._hear(), name="store: hear the other hosts")
        try:
            yield database
        finally:
            hearing.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await hearing
            await database._followers.close()
            await database.stop()
            if database._aside is not None:
                await database._aside.close()

    def listen(self, changed: Callable[[frozenset[str]], None]) -> None:
        self._listeners.append(changed)

    def follow(self, tables: Iterable[str], refresh: Refresh) -> None:
        self._followed |= set(tables)
        self._followers.add(tables, refresh)

    async def catch_up_with(self, tables: frozenset[str]) -> None:
        """News come in the order of the commits: who hears his own has heard all before it."""
        asked = secrets.token_hex(8)
        heard = self._asked[asked] = asyncio.get_running_loop().create_future()
        try:
            async with asyncio.timeout(FRESH_S):
                await self.write(lambda sql: sql.execute("SELECT pg_notify(?, ?)", (CHANNEL, f"{self.host} ={asked}")))
                await heard
                await self._followers.until_done(tables)
        except TimeoutError as exc:
            raise StoreUnreachable("nothing is heard of the other hosts", next_step=_IS_IT_WELL) from exc
        finally:
            del self._asked[asked]

    @property
    def is_too_old(self) -> bool:
        """Whether a newer host upgraded the tables: nothing is written here any more."""
        return self._writing.is_too_old

    @property
    def own_address(self) -> str:
        """This machine's, on its way to the database."""
        if self._aside is None or self._aside.closed:
            return "127.0.0.1"
        with socket.socket(fileno=os.dup(self._aside.fileno())) as end:
            return str(end.getsockname()[0]) if end.family != socket.AF_UNIX else "127.0.0.1"

    async def aside(self, sql: str, *values: object) -> list[tuple[Any, ...]]:
        """One statement of PostgreSQL's beside the writes, which waits for no lock and no disk: for what is of seconds.

        `{now_ms}` is the time by its clock. StoreUnreachable when it does not answer within ASK_S.
        """
        async with self._asking:
            try:
                async with asyncio.timeout(ASK_S):
                    if self._aside is None or self._aside.closed:
                        self._aside = await psycopg.AsyncConnection.connect(
                            parameters(self.url, f"microclaw {self.host}"), autocommit=True
                        )
                        await self._aside.execute("SET synchronous_commit = off")
                    cursor = await self._aside.execute(sql.replace("?", "%s").replace("{now_ms}", _NOW_MS), values)
                    return await cursor.fetchall() if cursor.description else []
            except (TimeoutError, psycopg.Error) as exc:
                if self._aside is not None and not isinstance(exc, psycopg.errors.IntegrityError):
                    one, self._aside = self._aside, None
                    await one.close()
                raise StoreUnreachable(
                    f"the database does not answer: {str(exc).strip() or 'nothing came in time'}",
                    next_step=_IS_IT_WELL,
                ) from exc

    async def _hear(self) -> None:
        while True:
            try:
                connection = await psycopg.AsyncConnection.connect(
                    parameters(self.url, f"microclaw {self.host}"), autocommit=True
                )
                async with connection:
                    await connection.execute(f"LISTEN {CHANNEL}")
                    self.is_heard = True
                    self._tell(frozenset(self._followed))  # what changed meanwhile was not told
                    while True:
                        async for news in connection.notifies(timeout=HEAR_S):
                            self._heard(news.payload)
                        await connection.execute("SELECT 1")  # a silent network is found out
            except psycopg.Error as exc:
                _log.log(logging.INFO if not self.is_heard else logging.WARNING, "the database is away: %s", exc)
            self.is_heard = False
            await asyncio.sleep(0.3)

    def _heard(self, payload: str) -> None:
        host, *tables = payload.split(" ")
        if host != self.host:
            self._tell(frozenset(tables))
        elif tables and (asked := self._asked.get(tables[0].removeprefix("="))) is not None and not asked.done():
            asked.set_result(None)

    def _tell(self, tables: frozenset[str]) -> None:
        for changed in self._listeners:
            try:
                changed(tables)
            except Exception:  # the others are told all the same
                _log.exception("a listener of the store failed")
