"""The store in a PostgreSQL database (15 or later) that several hosts share; psycopg is imported with it alone.

Every group of writes takes one lock of the database first, so each sees all before it, over all hosts, as in one
store. What a group changed is told to the other hosts with its commit (NOTIFY: the host and the tables' names).
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
from microclaw.store.database import Database, Refresh
from microclaw.store.postgres_connection import CHANNEL, IS_IT_WELL, LOCK, PostgresConnection, connect, cut, parameters
from microclaw.store.postgres_dialect import tables_in_its_words
from microclaw.store.schema import BASE, STEPS, VERSION, schema

START_S: Final = 60.0  # for a database that is starting, or has no connection free
HEAR_S: Final = 2.0  # between looks whether the connection that hears is there
FRESH_S: Final = 5.0
ASK_S: Final = 2.0
GATHER_S: Final = 0.05  # between two refreshes, at least: for the changes that come meanwhile
AGAIN_S: Final = 1.0  # after a refresh that failed
_NOW_MS: Final = "CAST(extract(epoch FROM clock_timestamp()) * 1000 AS BIGINT)"

_REFUSED: Final = re.compile(
    r"authentication failed|does not exist|no pg_hba\.conf|permission denied|no password supplied|certificate verify",
    re.I,
)

_log = logging.getLogger(__name__)


def make_tables(url: str, host: str) -> None:
    """See to the tables of this version: made in an empty database, upgraded in one of an older microclaw.

    One of a newer version is left as it is. Tries for START_S.
    """
    give_up = time.monotonic() + START_S
    while True:
        try:
            connection = connect(url, f"microclaw {host}")
            break
        except StoreUnreachable as exc:
            if _REFUSED.search(exc.message):
                raise ConfigError(exc.message, next_step="check cluster.database: docs/cluster.md") from exc
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
            (there,) = connection.execute("SELECT to_regclass('last_commits')").fetchone() or (None,)
            if there is None:  # asked first: a role that may make no tables starts a host all the same
                connection.execute("CREATE TABLE last_commits (host TEXT PRIMARY KEY, mark TEXT NOT NULL)")
            (version,) = connection.execute("SELECT version FROM store_version").fetchone() or (VERSION,)
            for number in range(version, VERSION):
                for statement in STEPS[number - BASE]:
                    connection.execute("".join(tables_in_its_words(statement)))
                connection.execute("UPDATE store_version SET version = %s", (number + 1,))
        except psycopg.Error as exc:
            raise StoreError(
                f"the database cannot be prepared: {str(exc).strip()}", next_step="see docs/cluster.md, Start one"
            ) from exc


class Follower:
    """Runs `refresh` after each change of one of its tables: never twice at once, again after a change that came
    meanwhile, and after it failed. `done`: what changed so far is read."""

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
                pause_s = max(GATHER_S, loop.time() - began_s)  # where there is much to read, half of the time at most
            except Exception:  # what is in memory is old until the next time
                _log.exception("what another host changed in %s could not be read", ", ".join(sorted(self.tables)))
                self._news.set()
                pause_s = AGAIN_S
            await asyncio.sleep(pause_s)


class SharedDatabase(Database):
    """Made by `SharedDatabase.opened`."""

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
        """News come in the order of the commits: who hears his own has heard all before it."""
        asked = secrets.token_hex(8)
        heard = self._asked[asked] = asyncio.Event()
        try:
            async with asyncio.timeout(FRESH_S):
                await self.write(lambda sql: sql.execute("SELECT pg_notify(?, ?)", (CHANNEL, f"{self.host} ={asked}")))
                await heard.wait()
                for follower in self._followers:
                    if follower.tables & tables:
                        await follower.done.wait()
        except TimeoutError as exc:
            raise StoreUnreachable("nothing is heard of the other hosts", next_step=IS_IT_WELL) from exc
        finally:
            del self._asked[asked]

    @property
    def is_too_old(self) -> bool:
        """True if a newer host upgraded the tables: nothing is written here any more."""
        return self._writing.is_too_old

    @property
    def own_address(self) -> str:
        """This machine's, on its way to the database."""
        if self._aside is None or self._aside.closed:
            return "127.0.0.1"
        with socket.socket(fileno=os.dup(self._aside.fileno())) as end:
            if end.family != socket.AF_UNIX:
                return str(end.getsockname()[0])
            return "127.0.0.1"

    async def aside(self, sql: str, *values: object) -> list[tuple[Any, ...]]:
        """One statement of PostgreSQL's beside the writes, which waits for no lock and no disk: for what is of seconds.

        `{now_ms}` is the time by its clock. StoreUnreachable when it does not answer within ASK_S.
        """
        async with self._asking:
            asking = asyncio.create_task(self._ask_aside(sql.replace("{now_ms}", _NOW_MS), values))
            try:
                await asyncio.wait([asking], timeout=ASK_S)
            except asyncio.CancelledError:
                if self._aside is None:
                    asking.cancel()  # else it would be connected after this was closed
                raise
            if not asking.done() and self._aside is not None:
                cut(self._aside)  # a cancelled one would wait for the server
            try:
                return await asking
            except psycopg.Error as exc:
                text = f"the database does not answer: {str(exc).strip()}"
                self._last_failure = StoreUnreachable(text, next_step=IS_IT_WELL)
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
        place = parameters(self.url, f"microclaw {self.host}")
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
                    self.is_heard = True
                    if self._listens.is_set():  # what changed meanwhile was not told
                        tables = await connection.execute("SELECT tablename FROM pg_tables")
                        self._tell(frozenset(name for (name,) in await tables.fetchall()))
                        for heard in self._asked.values():  # their news may have gone before this
                            heard.set()
                    self._listens.set()
                    while True:
                        async for news in connection.notifies(timeout=HEAR_S):
                            self._heard(news.payload)
                        await connection.execute("SELECT 1")  # a silent network is found out
            except psycopg.Error as exc:
                _log.log(logging.INFO if not self.is_heard else logging.WARNING, "the database is away: %s", exc)
                self._last_failure = StoreUnreachable(f"the database is away: {exc}", next_step=IS_IT_WELL)
            self.is_heard = False
            await asyncio.sleep(0.3)

    def _heard(self, payload: str) -> None:
        host, *tables = payload.split(" ")
        if host != self.host:
            self._tell(frozenset(tables))
        elif tables and (heard := self._asked.get(tables[0].removeprefix("="))) is not None:
            heard.set()

    def _tell(self, tables: frozenset[str]) -> None:
        for changed in self._listeners:
            try:
                changed(tables)
            except Exception:  # the others are told all the same
                _log.exception("a listener of the store failed")
