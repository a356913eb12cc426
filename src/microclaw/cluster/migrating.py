"""Copies one host's store into an empty shared database, and a shared database back into a host's own store.

The texts of memory and persona, which are files of a single host, go with it. No host may run on the home, or on the
database, meanwhile. Other files and keys stay where they are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Final

from msgspec import Struct

from microclaw.addresses import is_of_one_machine
from microclaw.durable import sync_folder
from microclaw.errors import ConfigError, StoreError
from microclaw.store.codes import end_codes
from microclaw.store.postgres import make_tables
from microclaw.store.postgres_connection import PostgresConnection
from microclaw.store.rows import insert
from microclaw.store.sql import Sql
from microclaw.store.sqlite_file import connect, create_store, kept_as, open_store, set_aside, take_lock

STORE: Final = "microclaw.db"  # in a home
ROWS: Final = 20  # an insert: PostgreSQL gets all of them as one text
_OF_HOSTS: Final = ("inbox", "effects", "outbox", "schedule_runs")  # whose rows say which host has them
_LEFT: Final = frozenset({"hosts", "duties", "link_holders", "store_version", "last_commits"})  # of hosts that run
_HIDDEN: Final = ("sqlite_", "note")  # the index of notes is each host's own
_SEEDED: Final = ("telemetry_state", "mqtt_sizes")  # tables that have rows from the beginning


class Migration(Struct, frozen=True):
    """The rows moved, or to be moved. `replaced` says what was there before, None for nothing; `rows` by table."""

    source: str
    target: str
    rows: dict[str, int]
    replaced: str | None = None


def migrate_to(
    url: str, home: Path, host: str, *, texts: Sequence[Struct], replacing: bool, dry_run: bool
) -> Migration:
    """Copy into the database at `url`; what is on a port is on a port of `host`. StoreError, ConfigError.

    `texts` are the rows of the home's memory and persona.
    """
    own = home / STORE
    with take_lock(own):
        if not own.exists():
            raise StoreError(f"{own} is not there: this home has no store", next_step="name the home with --home")
        with closing(open_store(own)) as source, _shared(url) as target:
            there = _counted(target, [name for name in _tables(source) if name not in _SEEDED])
            if there:
                replaced = f"{sum(there.values()):,} rows in the database"
            else:
                replaced = None
            if replaced is not None and not replacing:
                raise ConfigError(f"this replaces {replaced}", next_step="if it is to be: the same with --replace")
            rows = _copy(source, target)
            target.execute("DELETE FROM texts")
            for text in texts:
                insert(target, "texts", text, over=())
            if texts:
                rows["texts"] = len(texts)
            faces = target.execute("SELECT face_id FROM faces WHERE host = ''").fetchall()
            ports = [(host, face) for (face,) in faces if is_of_one_machine(face)]
            target.executemany("UPDATE faces SET host = ? WHERE face_id = ? AND host = ''", ports)
            if not dry_run:
                target.commit()
            return Migration(str(own), "the database", rows, replaced)


def migrate_back(
    url: str, home: Path, *, put_text: Callable[[str, str], None], replacing: bool, dry_run: bool
) -> Migration:
    """Copy into the store in `home`; the database stays as it is. StoreError, ConfigError.

    `put_text` gets the name of each text of memory and persona, and its content.
    """
    own = home / STORE
    with take_lock(own), _shared(url) as source:
        if own.exists():
            replaced = f"{own}, which is kept as {kept_as(own).name}"
        else:
            replaced = None
        if replaced is not None and not replacing:
            raise ConfigError(f"this replaces {replaced}", next_step="if it is to be: the same with --replace")
        building = own.with_name(own.name + ".back")
        _remove(building)
        try:
            create_store(building)
            with closing(connect(building)) as file:
                file.begin()
                rows = _copy(source, file)
                for table in _OF_HOSTS:
                    file.execute(f"UPDATE {table} SET host = NULL WHERE host IS NOT NULL")  # noqa: S608 - ours
                end_codes(file)
                texts = file.execute("SELECT name, text FROM texts ORDER BY name").fetchall()
                file.execute("DELETE FROM texts")
                file.commit()
                file.execute("PRAGMA journal_mode = DELETE")  # one file
            source.rollback()
            if not dry_run:
                for name, text in texts:
                    put_text(name, text)
                if own.exists():
                    set_aside(own)
                building.replace(own)
                sync_folder(own.parent)
        finally:
            _remove(building)
        return Migration("the database", str(own), rows, replaced)


@contextmanager
def _shared(url: str) -> Iterator[PostgresConnection]:
    """The database in a transaction that holds up every write. ConfigError where a host of it runs."""
    make_tables(url, "migrate")
    with closing(PostgresConnection(url, "migrate", writes=True)) as shared:
        shared.begin()
        shared.execute("SET CONSTRAINTS ALL DEFERRED")
        for limit in ("idle_in_transaction_session_timeout", "statement_timeout"):  # it waits for the other store
            shared.execute(f"SET LOCAL {limit} = 0")
        hosts = shared.execute("SELECT name FROM hosts WHERE ended IS NULL ORDER BY name").fetchall()
        if hosts:
            running = ", ".join(name for (name,) in hosts)
            raise ConfigError(f"hosts of this database run: {running}", next_step="stop them first")
        yield shared


def _copy(source: Sql, target: Sql) -> dict[str, int]:
    """Every row of every table; `target` has the same tables. How many there were, by table."""
    file = source if not isinstance(source, PostgresConnection) else target
    file.execute("PRAGMA defer_foreign_keys = ON")
    tables = _tables(file)
    for name in tables:
        target.execute(f"DELETE FROM {name}")  # noqa: S608 - its own names
    for name in tables:
        columns = [row[1] for row in file.execute(f"PRAGMA table_info({name})")]
        given = ", ".join(columns)
        rows = iter(source.execute(f"SELECT {given} FROM {name}"))  # noqa: S608 - its own names
        query = f"INSERT INTO {name} ({given}) VALUES ({', '.join('?' * len(columns))})"  # noqa: S608
        while some := [row for _, row in zip(range(ROWS), rows, strict=False)]:
            target.executemany(query, some)
    if isinstance(target, PostgresConnection):  # numbers that the database gives begin behind those that were copied
        query = "SELECT table_name, column_name FROM information_schema.columns WHERE is_identity = 'YES'"
        for table, column in target.execute(query).fetchall():
            target.execute(
                f"SELECT setval(pg_get_serial_sequence('{table}', '{column}'), "  # noqa: S608 - its own names
                f"coalesce(max({column}), 0) + 1, false) FROM {table}"
            )
    return _counted(target, tables)


def _tables(file: Sql) -> list[str]:
    query = "SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY rowid"
    names = [str(name) for (name,) in file.execute(query)]
    return [name for name in names if not name.startswith(_HIDDEN) and name not in _LEFT]


def _counted(sql: Sql, tables: list[str]) -> dict[str, int]:
    counts: dict[str, Any] = {name: sql.execute(f"SELECT count(*) FROM {name}").fetchone()[0] for name in tables}  # noqa: S608
    return {name: int(count) for name, count in counts.items() if count}


def _remove(path: Path) -> None:
    for suffix in ("", "-wal", "-shm", ".lock"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)
