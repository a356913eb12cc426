"""Moves one host's store into a new cluster, and a cluster's newest content back.

No host may run on the home meanwhile. Files and keys stay where they are.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import sqlite3
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager, closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from nats.js.errors import BucketNotFoundError, NoKeysError

from microclaw.addresses import is_of_one_machine
from microclaw.cluster.connection import OUTAGES, Cluster, connected, unreachable
from microclaw.cluster.nats_log import NatsLog
from microclaw.cluster.shared_store import (
    bring_copy,
    delete_cluster,
    log_range,
    make_cluster,
    new_cluster_id,
    take_snapshot,
)
from microclaw.cluster.snapshot_file import copy_store
from microclaw.cluster.store_meta import MetaUnreadable, StoreMeta, read_meta
from microclaw.config.cluster_settings import ClusterSettings
from microclaw.durable import read_private, sync_folder, write_private
from microclaw.errors import ConfigError, StoreError
from microclaw.store.codes import end_codes
from microclaw.store.replica import Place, Replica, place, placed
from microclaw.store.schema import VERSION
from microclaw.store.sqlite_file import connect, kept_as, open_whole, set_aside, take_lock, upgrade

_OF_HOSTS: Final = ("inbox", "effects", "outbox", "schedule_runs")  # whose rows say which host of a cluster has them
MAX_PREDECESSORS: Final = 32
_HIDDEN: Final = ("sqlite_", "note", "log_position")  # the index of notes is each host's own


@dataclass(frozen=True, slots=True)
class Migration:
    """What was moved, or would be. `source` and `target` are files, or the cluster's name; `replaced` says what was
    there before, None for nothing; `rows` are by table."""

    source: str
    target: str
    rows: dict[str, int]
    replaced: str | None = None


async def migrate_to(settings: ClusterSettings, home: Path, *, replacing: bool, dry_run: bool) -> Migration:
    """Make a cluster from the store in `home`, or anew from the home's copy of it. StoreError, ConfigError."""
    with locked_stores(home) as (own, copy):
        there = await asyncio.to_thread(placed, copy)
        source = own if there is None else copy
        rows = await asyncio.to_thread(_checked, source)
        async with connected(settings, name="microclaw migrate") as cluster:
            meta = await read_meta(cluster)
            told = meta is not None and there is not None and there.cluster == meta.cluster
            if meta is not None and not told and meta.cluster == _begun(copy):  # broken off before the copy was told
                if not dry_run:
                    await asyncio.to_thread(_belongs, copy, meta)
                return Migration(str(source), settings.name, rows)
            replaced = await _replaced(cluster, copy, there, meta)
            if replaced is not None and not replacing:
                raise ConfigError(f"this replaces {replaced}", next_step="if it is to be: the same with --replace")
            if not dry_run:
                host = settings.host_name if there is None else None
                before = None if replaced is None or there is None else there.cluster
                new = StoreMeta(new_cluster_id(), "", 0, "", "", predecessors=_predecessors(meta, before))
                await _make(cluster, source, copy, new, host=host)
    return Migration(str(source), settings.name, rows, replaced)


async def migrate_back(settings: ClusterSettings, home: Path, *, replacing: bool, dry_run: bool) -> Migration:
    """Write the newest content of the cluster into the store in `home`. StoreError, ConfigError."""
    with locked_stores(home) as (own, _):
        replaced = f"{own}, which is kept as {kept_as(own).name}" if own.exists() else None
        if replaced is not None and not replacing:
            raise ConfigError(f"this replaces {replaced}", next_step="if it is to be: the same with --replace")
        building = own.with_name(own.name + ".back")
        _remove(building)
        try:
            async with connected(settings, name="microclaw migrate") as cluster:
                if await read_meta(cluster) is None:
                    raise ConfigError(
                        f"this NATS has no cluster {cluster.name}",
                        next_step="check cluster.nats and cluster.name: microclaw config get cluster.name",
                    )
                async with _newest(cluster, building):
                    pass
            rows = await asyncio.to_thread(_made_own, building)
            if not dry_run:
                await asyncio.to_thread(_put_in_place, building, own)
        finally:
            _remove(building)
    return Migration(settings.name, str(own), rows, replaced)


async def put_snapshot(settings: ClusterSettings, copy: Path) -> StoreMeta:
    """Take a snapshot of the copy of a host, which may run."""
    async with connected(settings, name="microclaw snapshot") as cluster:
        if await asyncio.to_thread(placed, copy) is None or not await _is_made(cluster):
            raise ConfigError(
                f"{copy} is no copy of the cluster {cluster.name}", next_step="run it at a host of the cluster"
            )
        try:
            return await take_snapshot(cluster, copy)
        except OUTAGES as exc:
            raise unreachable("no snapshot was taken", exc) from exc


async def _is_made(cluster: Cluster) -> bool:
    try:
        return await read_meta(cluster) is not None
    except MetaUnreadable:  # a snapshot puts it right
        return True


@contextmanager
def locked_stores(home: Path) -> Iterator[tuple[Path, Path]]:
    """The host's own store and its copy of a cluster's, with the locks of both: StoreOwned when a host runs."""
    own, copy = home / "microclaw.db", home / "cluster.db"
    with ExitStack() as stack:
        for path in (own, copy):
            stack.callback(os.close, take_lock(path))
        yield own, copy


async def _replaced(cluster: Cluster, copy: Path, there: Place | None, meta: StoreMeta | None) -> str | None:
    """What of the cluster is there already and may be replaced; ConfigError where it may not."""
    if meta is not None and (there is None or there.cluster != meta.cluster):
        raise ConfigError(
            f"the cluster {cluster.name} has a store already",
            next_step="join it: microclaw up --nats nats://...; or make another: --name NAME",
        )
    hosts = await _hosts(cluster)
    if hosts:
        raise ConfigError(f"hosts of the cluster {cluster.name} run: {', '.join(hosts)}", next_step="stop them first")
    if there is None:
        return None
    if meta is None:
        return f"what is left of the cluster {cluster.name}, by this host's copy {copy} (up to entry {there.seq})"
    try:
        last = str((await log_range(cluster))[1])
    except StoreError:  # the log is gone
        last = "none"
    return (
        f"the store of the cluster {cluster.name} (last entry: {last}) by this host's copy {copy} (up to entry "
        f"{there.seq}); what only another host's copy has is not in it"
    )


async def _hosts(cluster: Cluster) -> list[str]:
    """The ids of those that have a lease."""
    try:
        bucket = await cluster.jetstream.key_value(cluster.stream("HOSTS"))
        return sorted(await bucket.keys())
    except (BucketNotFoundError, NoKeysError):
        return []
    except OUTAGES as exc:
        raise unreachable("the cluster's hosts cannot be seen", exc) from exc


def _predecessors(meta: StoreMeta | None, before: str | None) -> tuple[str, ...]:
    """The clusters that the one that is made of the copy of `before` takes the place of; `meta` is what is there."""
    older = () if meta is None else meta.predecessors
    return () if before is None else (*older, before)[-MAX_PREDECESSORS:]


async def _make(cluster: Cluster, source: Path, copy: Path, new: StoreMeta, *, host: str | None) -> None:
    """With predecessors it takes the place of what is there."""
    frozen = source.with_name(source.name + ".migrating")
    try:
        await asyncio.to_thread(copy_store, source, frozen)
        if host is not None:
            await asyncio.to_thread(_begin_sharing, frozen, host)
        if new.predecessors:
            await asyncio.to_thread(write_private, _mark(copy), new.cluster.encode())
            await delete_cluster(cluster)
        made = await make_cluster(cluster, frozen, new)
        if new.predecessors:
            await asyncio.to_thread(_belongs, copy, made)
    finally:
        _remove(frozen)


def _begin_sharing(path: Path, host: str) -> None:
    """What is on a port is on a port of this host's machine, where no other is named; the index of notes is each
    host's own."""
    with closing(connect(path)) as connection:
        upgrade(connection, path)
        faces = connection.execute("SELECT face_id FROM faces WHERE host = ''").fetchall()
        ports = [(host, face) for (face,) in faces if is_of_one_machine(face)]
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("INSERT INTO notes_words (notes_words) VALUES ('delete-all')")
        for table in ("notes", "note_files", "note_people"):
            connection.execute(f"DELETE FROM {table}")  # noqa: S608 - names of ours
        connection.executemany("UPDATE faces SET host = ? WHERE face_id = ? AND host = ''", ports)
        connection.execute("COMMIT")
        connection.execute("PRAGMA journal_mode = DELETE")  # one file


def _mark(copy: Path) -> Path:
    """Has the id of the cluster that is made of this copy, until the copy has it."""
    return copy.with_name(copy.name + ".anew")


def _begun(copy: Path) -> str | None:
    return None if (mark := read_private(_mark(copy))) is None else mark.decode(errors="replace")


def _belongs(copy: Path, meta: StoreMeta) -> None:
    """This copy is what the cluster begins with."""
    place(copy, Place(meta.cluster, meta.seq))
    _mark(copy).unlink(missing_ok=True)


@asynccontextmanager
async def _newest(cluster: Cluster, path: Path) -> AsyncIterator[None]:
    """A copy at `path` with all that the log has; nothing is written to the cluster."""
    host = f"migrate-{secrets.token_hex(2)}"
    cluster_id = await bring_copy(cluster, path, host=host)
    async with (
        NatsLog.opened(cluster, cluster_id) as log,
        Replica.open_copy(path, log, host=host, upgrades=False),
    ):
        yield


def _checked(path: Path) -> dict[str, int]:
    """How many rows each table has; StoreError for no store, a damaged one or one of a newer microclaw."""
    if not path.exists():
        raise StoreError(f"{path} is not there: this home has no store", next_step="name the home with --home")
    with closing(open_whole(path, sqlite3.Connection)) as connection:
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        if version > VERSION:
            raise StoreError(
                f"the store {path} has version {version}, this microclaw knows {VERSION}",
                next_step="use the newer microclaw that wrote it",
            )
        return _counted(connection)


def _counted(connection: sqlite3.Connection) -> dict[str, int]:
    names = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY 1")]
    counts = {
        name: int(connection.execute(f'SELECT count(*) FROM "{name}"').fetchone()[0])  # noqa: S608 - its own names
        for name in names
        if not name.startswith(_HIDDEN)
    }
    return {name: count for name, count in counts.items() if count}


def _made_own(path: Path) -> dict[str, int]:
    """Make a host's own store of a copy: it has no place in a log, and no row is another host's."""
    with closing(connect(path)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("DROP TABLE log_position")
        for table in _OF_HOSTS:
            connection.execute(f"UPDATE {table} SET host = NULL WHERE host IS NOT NULL")  # noqa: S608 - ours
        connection.execute("DELETE FROM link_holders")
        end_codes(connection)
        counts = _counted(connection)
        connection.execute("COMMIT")
        connection.execute("PRAGMA journal_mode = DELETE")  # one file
    return counts


def _put_in_place(building: Path, own: Path) -> None:
    if own.exists():
        set_aside(own)
    building.replace(own)
    sync_folder(own.parent)


def _remove(path: Path) -> None:
    for suffix in ("", "-wal", "-shm", ".lock"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)


def settings_for(settings: ClusterSettings, *, nats: str | None, name: str | None) -> ClusterSettings:
    """The configured cluster with what the command line says."""
    chosen = replace(settings, nats=nats or settings.nats, name=name or settings.name)
    if chosen.nats is None:
        raise ConfigError(
            "no NATS server is named", next_step="microclaw config set cluster.nats nats://HOST:4222, or --nats"
        )
    return chosen
