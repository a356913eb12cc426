"""Copies one host's store into an empty shared database, and a shared database back into a host's own store.

The texts of memory and persona, which are files of a single host, are copied too. No host may run on the home, or on
the database, meanwhile. Other files and keys stay in their place.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from itertools import islice
from pathlib import Path
from typing import Final

from msgspec import Struct

from microclaw.addresses import is_of_one_machine
from microclaw.durable import sync_folder
from microclaw.errors import ConfigError, StoreError
from microclaw.host.store.codes import end_codes
from microclaw.host.store.postgres import make_tables
from microclaw.host.store.postgres_connection import PostgresConnection
from microclaw.host.store.rows import insert, scalar
from microclaw.host.store.sql import Sql
from microclaw.host.store.sqlite_file import connect, create_store, keep_aside, kept_as, open_store, take_lock

# In a home.
STORE: Final = "microclaw.db"
# In one insert: PostgreSQL gets all of them as one text.
ROWS: Final = 20
# Tables whose rows name their host.
_OF_HOSTS: Final = ("inbox", "effects", "outbox", "schedule_runs")
# Tables of running hosts, which are not copied.
_LEFT: Final = frozenset({"hosts", "duties", "link_holders", "store_version", "last_commits"})
# The index of notes is each host's own.
_HIDDEN: Final = ("sqlite_", "note")
# Tables that have rows from the beginning.
_SEEDED: Final = ("telemetry_state", "mqtt_sizes")


class Migration(Struct, frozen=True):
    """The rows moved, or to be moved, by table. `replaced` says what was there before, None for nothing."""

    source: str
    target: str
    rows: dict[str, int]
    replaced: str | None = None


def migrate_to(
    url: str, home: Path, host: str, *, texts: Sequence[Struct], replacing: bool, dry_run: bool
) -> Migration:
    """Copy the home's store into the database at `url`; its device ports become ports of `host`.

    `texts` are the rows of the home's memory and persona. Raises StoreError, and ConfigError if rows would be replaced
    without `replacing`.
    """
    own = home / STORE
    with take_lock(own):
        if not own.exists():
            raise StoreError(f"{own} is not there: this home has no store", next_step="name the home with --home")
        with closing(open_store(own)) as source, _shared(url) as target:
            existing = _count_rows(target, [name for name in _tables(source) if name not in _SEEDED])
            replaced = f"{sum(existing.values()):,} rows in the database" if existing else None
            _check_replacing(replaced, replacing=replacing)
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
    """Copy the database into the store in `home`; the database stays as it is.

    `put_text` gets the name of each text of memory and persona, and its content. Raises StoreError, and ConfigError if
    a store would be replaced without `replacing`.
    """
    own = home / STORE
    with take_lock(own), _shared(url) as source:
        replaced = None
        if own.exists():
            replaced = f"{own}, which is kept as {kept_as(own).name}"
        _check_replacing(replaced, replacing=replacing)
        building = own.with_name(own.name + ".back")
        _remove(building)
        try:
            create_store(building)
            rows, texts = _fill(building, source)
            source.rollback()
            if not dry_run:
                for name, text in texts:
                    put_text(name, text)
                if own.exists():
                    keep_aside(own)
                building.replace(own)
                sync_folder(own.parent)
        finally:
            _remove(building)
        return Migration("the database", str(own), rows, replaced)


def _check_replacing(replaced: str | None, *, replacing: bool) -> None:
    if replaced is not None and not replacing:
        raise ConfigError(f"this replaces {replaced}", next_step="if that is intended: the same with --replace")


def _fill(path: Path, source: PostgresConnection) -> tuple[dict[str, int], list[tuple[str, str]]]:
    """Copy the rows of the database into a new store of one host; return their counts, and the texts beside them."""
    with closing(connect(path)) as file:
        file.begin()
        rows = _copy(source, file)
        for table in _OF_HOSTS:
            file.execute(f"UPDATE {table} SET host = NULL WHERE host IS NOT NULL")  # noqa: S608 - ours
        end_codes(file)
        texts = file.execute("SELECT name, text FROM texts ORDER BY name").fetchall()
        file.execute("DELETE FROM texts")
        file.commit()
        # This leaves one file, without a log of writes.
        file.execute("PRAGMA journal_mode = DELETE")
    return rows, texts


@contextmanager
def _shared(url: str) -> Iterator[PostgresConnection]:
    """Open the database in a transaction that blocks every write. Raises ConfigError if a host of it runs."""
    make_tables(url, "migrate")
    with closing(PostgresConnection(url, "migrate", writes=True)) as shared:
        shared.begin()
        shared.execute("SET CONSTRAINTS ALL DEFERRED")
        # The transaction waits for the other store, so it needs no time limits.
        for limit in ("idle_in_transaction_session_timeout", "statement_timeout"):
            shared.execute(f"SET LOCAL {limit} = 0")
        hosts = shared.execute("SELECT name FROM hosts WHERE ended IS NULL ORDER BY name").fetchall()
        if hosts:
            running = ", ".join(name for (name,) in hosts)
            raise ConfigError(f"hosts of this database run: {running}", next_step="stop them first")
        yield shared


def _copy(source: Sql, target: Sql) -> dict[str, int]:
    """Copy every row of every table; return how many there were, by table. `target` has the same tables."""
    file = target if isinstance(source, PostgresConnection) else source
    file.execute("PRAGMA defer_foreign_keys = ON")
    tables = _tables(file)
    for name in tables:
        target.execute(f"DELETE FROM {name}")  # noqa: S608 - its own names
    for name in tables:
        columns = [row[1] for row in file.execute(f"PRAGMA table_info({name})")]
        column_list = ", ".join(columns)
        rows = iter(source.execute(f"SELECT {column_list} FROM {name}"))  # noqa: S608 - its own names
        query = f"INSERT INTO {name} ({column_list}) VALUES ({', '.join('?' * len(columns))})"  # noqa: S608
        while batch := list(islice(rows, ROWS)):
            target.executemany(query, batch)
    if isinstance(target, PostgresConnection):
        _advance_identities(target)
    return _count_rows(target, tables)


def _advance_identities(target: PostgresConnection) -> None:
    """Make the database give its next numbers after the copied ones."""
    query = "SELECT table_name, column_name FROM information_schema.columns WHERE is_identity = 'YES'"
    for table, column in target.execute(query).fetchall():
        target.execute(
            f"SELECT setval(pg_get_serial_sequence('{table}', '{column}'), "  # noqa: S608 - its own names
            f"coalesce(max({column}), 0) + 1, false) FROM {table}"
        )


def _tables(file: Sql) -> list[str]:
    """Return the names of the tables that are copied, in the order of their making."""
    query = "SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY rowid"
    tables = []
    for (name,) in file.execute(query):
        if not name.startswith(_HIDDEN) and name not in _LEFT:
            tables.append(str(name))
    return tables


def _count_rows(sql: Sql, tables: list[str]) -> dict[str, int]:
    """Return the number of rows of each table that has any."""
    counts = {}
    for name in tables:
        count = scalar(sql, f"SELECT count(*) FROM {name}")  # noqa: S608 - its own names
        if count:
            counts[name] = int(count)
    return counts


def _remove(path: Path) -> None:
    for suffix in ("", "-wal", "-shm", ".lock"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)
