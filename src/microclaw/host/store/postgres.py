"""The store in a PostgreSQL database (15 or later) that several hosts share; only this part imports psycopg.

Every group of writes takes one lock of the database first, so each sees all earlier writes of all hosts, as in one
store. With its commit the other hosts are notified of what a group changed (NOTIFY: the host and the tables' names).
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

import psycopg

from microclaw.errors import ConfigError, StoreError, StoreUnreachable
from microclaw.host.store.database import Database, Refresh
from microclaw.host.store.postgres_connection import (
    CHANNEL,
    CHECK_DATABASE_STEP,
    LOCK,
    PostgresConnection,
    connect,
    connection_parameters,
    cut,
)
from microclaw.host.store.postgres_dialect import translate_schema
from microclaw.host.store.schema import BASE, STEPS, VERSION, schema

# For a database that is starting, or has no free connection.
START_S: Final = 60.0
# Between two checks that the listening connection still works.
HEAR_S: Final = 2.0
FRESH_S: Final = 5.0
ASK_S: Final = 2.0
# At least this between two refreshes, to gather the changes that come meanwhile.
GATHER_S: Final = 0.05
# After a refresh that failed.
AGAIN_S: Final = 1.0
_NOW_MS: Final = "CAST(extract(epoch FROM clock_timestamp()) * 1000 AS BIGINT)"

_REFUSED: Final = re.compile(
    r"authentication failed|does not exist|no pg_hba\.conf|permission denied|no password supplied|certificate verify",
    re.I,
)

_log = logging.getLogger(__name__)


def make_tables(url: str, host: str) -> None:
    """Make the tables of this version in an empty database, or upgrade the tables of an older microclaw.

    The tables of a newer version are left as they are. Tries to connect for START_S. Raises ConfigError if the
    database refuses this host, StoreUnreachable if it does not answer, StoreError if a statement fails.
    """
    connection = _connect_patiently(url, host)
    with contextlib.closing(connection), connection.transaction():
        try:
            connection.execute("SELECT pg_advisory_xact_lock(%s, 0)", (LOCK,))
            _check_encoding(connection)
            _make_or_upgrade(connection)
        except psycopg.Error as exc:
            raise StoreError(
                f"the database cannot be prepared: {str(exc).strip()}",
                next_step="docs/cluster.md: Many hosts, one fleet",
            ) from exc


def _connect_patiently(url: str, host: str) -> psycopg.Connection:
    give_up = time.monotonic() + START_S
    while True:
        try:
            return connect(url, f"microclaw {host}")
        except StoreUnreachable as exc:
            if _REFUSED.search(exc.message):
                raise ConfigError(exc.message, next_step="check cluster.database: docs/cluster.md") from exc
            if time.monotonic() > give_up:
                raise
            time.sleep(0.5)


def _check_encoding(connection: psycopg.Connection) -> None:
    (encoding,) = connection.execute("SHOW server_encoding").fetchone() or ("",)
    if encoding != "UTF8":
        raise ConfigError(f"the database has the encoding {encoding}", next_step="createdb --encoding UTF8 NAME")


def _make_or_upgrade(connection: psycopg.Connection) -> None:
    if not _has_table(connection, "store_version"):
        connection.execute("; ".join(translate_schema(schema())))
        connection.execute("CREATE TABLE store_version (version BIGINT NOT NULL)")
        connection.execute("INSERT INTO store_version VALUES (%s)", (BASE,))
    # Not CREATE IF NOT EXISTS: a role that may not make tables must still be able to start a host.
    if not _has_table(connection, "last_commits"):
        connection.execute("CREATE TABLE last_commits (host TEXT PRIMARY KEY, mark TEXT NOT NULL)")
    (version,) = connection.execute("SELECT version FROM store_version").fetchone() or (VERSION,)
    for number in range(version, VERSION):
        for statement in STEPS[number - BASE]:
            connection.execute("".join(translate_schema(statement)))
        connection.execute("UPDATE store_version SET version = %s", (number + 1,))


def _has_table(connection: psycopg.Connection, name: str) -> bool:
    (table,) = connection.execute("SELECT to_regclass(%s)", (name,)).fetchone() or (None,)
    return table is not None


class Follower:
    """A task that runs `refresh` after each change of its tables: never twice at once, and again after a failure.

    A change that comes during a refresh causes another one. `done` is set if everything that changed so far is read.
    """

    def __init__(self, tables: frozenset[str], refresh: Refresh) -> None:
        self.tables = tables
        self.done = asyncio.Event()
        self.done.set()
        self._news = asyncio.Event()
        self.task = asyncio.create_task(self._run(refresh), name=f"store: follow {', '.join(sorted(tables))}")

    def changed(self, tables: frozenset[str]) -> None:
        if self.tables & tables:
            self._news.set()
            self.done.clear()

    async def _run(self, refresh: Refresh) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await self._news.wait()
            self._news.clear()
            began_s = loop.time()
            try:
                await refresh()
                if not self._news.is_set():
                    self.done.set()
                # A slow refresh takes half of the time at most.
                pause_s = max(GATHER_S, loop.time() - began_s)
            # The task must continue: the rows in memory are old until the next refresh.
            except Exception:
                _log.exception("what another host changed in %s could not be read", ", ".join(sorted(self.tables)))
                self._news.set()
                pause_s = AGAIN_S
            await asyncio.sleep(pause_s)


class SharedDatabase(Database):
    """The store of several hosts, made by `SharedDatabase.opened`."""

    def __init__(self, url: str, host: str) -> None:
        self.host = host
        self.url = url
        self._writing = PostgresConnection(url, host, writes=True)
        self._reads = PostgresConnection(url, host, writes=False)
        super().__init__(self._writing, self._reads)
        self._listeners: list[Callable[[frozenset[str]], None]] = []
        self._followers: list[Follower] = []
        self._asked: dict[str, asyncio.Event] = {}
        self._listens = asyncio.Event()
        self.is_listening = False
        """True while this host is notified of what other hosts change."""
        self._aside: psycopg.AsyncConnection | None = None
        self._asking = asyncio.Lock()

    @classmethod
    @asynccontextmanager
    async def opened(cls, url: str, host: str) -> AsyncIterator[SharedDatabase]:
        """Open the database. `host` is this host's id: letters, digits, - and _.

        Raises StoreError or ConfigError if the database cannot be used.
        """
        await asyncio.to_thread(make_tables, url, host)
        database = cls(url, host)
        hearing = asyncio.create_task(database._hear(), name="store: hear the other hosts")
        watching = asyncio.create_task(database._watch(), name="store: watch for silence")
        try:
            await database._listens.wait()
            yield database
        finally:
            tasks = [hearing, watching, *(follower.task for follower in database._followers)]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await database.stop()
            if database._aside is not None:
                await database._aside.close()

    def listen(self, changed: Callable[[frozenset[str]], None]) -> None:
        self._listeners.append(changed)

    def follow(self, tables: Iterable[str], refresh: Refresh) -> None:
        self._followers.append(Follower(frozenset(tables), refresh))
        self.listen(self._followers[-1].changed)

    async def catch_up_with(self, tables: frozenset[str]) -> None:
        """Wait until the rows of these tables in memory are as new as any host's last write.

        Notifications come in the order of the commits: a host that receives its own has received all before it. Raises
        StoreUnreachable after FRESH_S.
        """
        mark = secrets.token_hex(8)
        is_received = self._asked[mark] = asyncio.Event()
        try:
            async with asyncio.timeout(FRESH_S):
                await self.write(lambda sql: sql.execute("SELECT pg_notify(?, ?)", (CHANNEL, f"{self.host} ={mark}")))
                await is_received.wait()
                for follower in self._followers:
                    if follower.tables & tables:
                        await follower.done.wait()
        except TimeoutError as exc:
            raise StoreUnreachable("nothing is heard of the other hosts", next_step=CHECK_DATABASE_STEP) from exc
        finally:
            del self._asked[mark]

    @property
    def is_too_old(self) -> bool:
        """True if a newer host upgraded the tables: this host writes nothing any more."""
        return self._writing.is_too_old

    @property
    def own_address(self) -> str:
        """The address of this machine on its way to the database."""
        if self._aside is None or self._aside.closed:
            return "127.0.0.1"
        with socket.socket(fileno=os.dup(self._aside.fileno())) as connection:
            if connection.family != socket.AF_UNIX:
                return str(connection.getsockname()[0])
            return "127.0.0.1"

    async def execute_aside(self, sql: str, *values: object) -> list[tuple[Any, ...]]:
        """Run one PostgreSQL statement beside the writes, without their lock and sync, for short-lived data.

        `{now_ms}` in it is the time by the database's clock. Raises StoreUnreachable if there is no answer within
        ASK_S.
        """
        async with self._asking:
            query = asyncio.create_task(self._ask_aside(sql.replace("{now_ms}", _NOW_MS), values))
            try:
                await asyncio.wait([query], timeout=ASK_S)
            except asyncio.CancelledError:
                if self._aside is None:
                    # Without this it would connect after the database was closed.
                    query.cancel()
                raise
            if not query.done() and self._aside is not None:
                # A query that is only cancelled would still wait for the server.
                cut(self._aside)
            try:
                return await query
            except psycopg.Error as exc:
                text = f"the database does not answer: {str(exc).strip()}"
                self._last_failure = StoreUnreachable(text, next_step=CHECK_DATABASE_STEP)
                raise self._last_failure from exc

    async def _ask_aside(self, sql: str, values: tuple[object, ...]) -> list[tuple[Any, ...]]:
        if self._aside is None or self._aside.closed:
            self._aside = await self._connected()
            await self._aside.execute("SET synchronous_commit = off")
        cursor = await self._aside.execute(sql.replace("?", "%s"), values)
        if cursor.description:
            return await cursor.fetchall()
        return []

    async def _connected(self) -> psycopg.AsyncConnection:
        place = connection_parameters(self.url, f"microclaw {self.host}")
        return await psycopg.AsyncConnection.connect(place, autocommit=True)

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(0.5)
            for connection in (self._writing, self._reads):
                connection.cut_if_silent()

    async def _hear(self) -> None:
        while True:
            try:
                async with await self._connected() as connection:
                    await connection.execute(f"LISTEN {CHANNEL}")
                    self.is_listening = True
                    if self._listens.is_set():
                        await self._tell_all(connection)
                    self._listens.set()
                    while True:
                        async for news in connection.notifies(timeout=HEAR_S):
                            self._heard(news.payload)
                        # This fails if the network is silent.
                        await connection.execute("SELECT 1")
            except psycopg.Error as exc:
                level = logging.WARNING if self.is_listening else logging.INFO
                _log.log(level, "the database is away: %s", exc)
                self._last_failure = StoreUnreachable(f"the database is away: {exc}", next_step=CHECK_DATABASE_STEP)
            self.is_listening = False
            await asyncio.sleep(0.3)

    async def _tell_all(self, connection: psycopg.AsyncConnection) -> None:
        """Treat all tables as changed, because notifications were lost while the connection was away."""
        tables = await connection.execute("SELECT tablename FROM pg_tables")
        self._tell(frozenset(name for (name,) in await tables.fetchall()))
        # The notifications that these calls wait for may be among the lost ones.
        for is_received in self._asked.values():
            is_received.set()

    def _heard(self, payload: str) -> None:
        host, *tables = payload.split(" ")
        if host != self.host:
            self._tell(frozenset(tables))
            return
        if not tables:
            return
        is_received = self._asked.get(tables[0].removeprefix("="))
        if is_received is not None:
            is_received.set()

    def _tell(self, tables: frozenset[str]) -> None:
        for changed in self._listeners:
            try:
                changed(tables)
            # The other listeners must still be called.
            except Exception:
                _log.exception("a listener of the store failed")
