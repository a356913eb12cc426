"""The store of a cluster: made from a first host's, fetched by the others, kept short by snapshots.

A snapshot is a host's whole copy (SQLite, zlib) in the object store; the bucket META says which one is the newest and
the place in the log where it was taken. What the log has up to there is purged. A host that was away for long, or is
new, starts from the snapshot.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import random
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec
from nats.js.api import KeyValueConfig, ObjectStoreConfig
from nats.js.errors import APIError, KeyWrongLastSequenceError, NotFoundError

from microclaw.cluster.connection import OUTAGES, Cluster, check_cancelled, unreachable
from microclaw.cluster.entry_messages import MAKE_ANEW
from microclaw.cluster.large_entries import LargeEntries, delete_object, object_names, read_object
from microclaw.cluster.left_behind import follow_in_most, live_others
from microclaw.cluster.nats_log import NatsLog, log_subject, make_stream
from microclaw.cluster.snapshot_file import copy_store, owners_alone, pack_store, write_copy
from microclaw.cluster.store_meta import META_KEY, MetaUnreadable, StoreMeta, decode_meta, read_meta
from microclaw.cluster.stream_check import entry_id_at, stream_gone
from microclaw.durable import make_folders
from microclaw.errors import ConfigError, StoreError
from microclaw.store.replica import Place, Replica, placed
from microclaw.store.replica_writer import ANEW
from microclaw.store.sqlite_file import create_store, set_aside, take_lock

if TYPE_CHECKING:
    from nats.js.kv import KeyValue

SNAPSHOT_EVERY: Final = 20_000  # entries of the log: a new host applies some thousand a second
CHECK_S: Final = 30.0
KEPT_ENTRIES: Final = 20_000  # behind a snapshot, for hosts that are some minutes behind
MOVE_S: Final = 600.0  # to put or fetch a snapshot
_TRIES: Final = 3
_LEFT_BEHIND: Final = "most hosts follow the log, and it is another than this copy"
_SNAPSHOT: Final = "store"
_TOO_FEW_SERVERS: Final = (10005, 10074)  # no suitable peers; not a cluster

_log = logging.getLogger(__name__)


@asynccontextmanager
async def shared_store(cluster: Cluster, path: Path, *, host: str) -> AsyncIterator[tuple[Replica, NatsLog]]:
    """This host's copy of the cluster's store at `path`, up to date; made empty where the cluster is new.

    Raises StoreError, ConfigError: see `bring_copy`, Replica.open_copy.
    """
    cluster_id = await bring_copy(cluster, path, host=host)
    async with NatsLog.opened(cluster, cluster_id) as log, Replica.open_copy(path, log, host=host) as replica:
        shortening = asyncio.create_task(_keep_short(cluster, replica, path), name="cluster: snapshots")
        try:
            yield replica, log
        finally:
            shortening.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await shortening
    if replica.is_given_up:
        await asyncio.to_thread(_give_way, path, _LEFT_BEHIND)


async def bring_copy(cluster: Cluster, path: Path, *, host: str) -> str:
    """See to a copy at `path` that can follow the log; the cluster's id.

    ConfigError where the copy there is of another cluster of this name; StoreError where it has what the log has not,
    and not most other hosts follow the log (left_behind.py).
    """
    await asyncio.to_thread(make_folders, path.parent)
    meta = await read_meta(cluster)
    if meta is None:
        meta = await _make_empty(cluster, path)
    if not meta.sealed:
        raise StoreError(
            f"the log of the cluster {cluster.name} is of an older microclaw: its entries have no seal",
            next_step=MAKE_ANEW,
        )
    there = await asyncio.to_thread(placed, path)
    if there is not None and there.cluster in meta.predecessors:
        await asyncio.to_thread(_give_way, path, "the cluster was made anew")
        there = None
    if there is not None and there.cluster != meta.cluster:
        raise ConfigError(
            f"{path} is a copy of another cluster, which was called {cluster.name} too",
            next_step=f"give this one another name (cluster.name); or, where that cluster is given up, move "
            f"{path.name} away: this host fetches the store anew",
        )
    first, last, made = await log_range(cluster)
    if made != meta.log_made:
        raise StoreError(
            f"the stream {cluster.stream('LOG')} is not the one of this cluster: it was deleted, and made again",
            next_step="make the cluster anew from the copy that has most: microclaw migrate --to nats://... --replace",
        )
    try:
        if there is not None:
            await _check_in_log(cluster, there, first, last)
    except CopyDiffers as exc:
        if not follow_in_most(await live_others(cluster, host), last):
            raise
        await asyncio.to_thread(_give_way, path, f"{exc.message}; {_LEFT_BEHIND}")
        there = None
    if there is None or there.seq + 1 < first:
        await _fetch(cluster, meta, path)
    return meta.cluster


def _give_way(path: Path, why: str) -> None:
    """This copy is kept aside, so that the store is fetched."""
    lock = take_lock(path)
    try:
        kept = set_aside(path)
    finally:
        os.close(lock)
    _log.warning("%s: this host's copy of the store until now is kept as %s", why, kept.name)


class CopyDiffers(StoreError):
    """This host's copy has what the log has not."""


async def _check_in_log(cluster: Cluster, there: Place, first: int, last: int) -> None:
    if there.seq > last:
        raise CopyDiffers(
            f"the cluster's log ends at entry {last}, this host has {there.seq}: it was deleted, or NATS lost its disk",
            next_step="make the cluster anew from the copy that has most: microclaw migrate --to nats://... --replace",
        )
    if there.seq >= max(first, 1):
        await _check_last(cluster, there)


async def _check_last(cluster: Cluster, there: Place) -> None:
    """CopyDiffers where the log has another entry at this copy's place: NATS was set back, and hosts wrote since."""
    try:
        found = await entry_id_at(cluster, there.seq)
    except OUTAGES as exc:
        raise unreachable("the cluster's log cannot be read", exc) from exc
    if found != there.entry_id:
        raise CopyDiffers(
            f"the cluster's log has another entry {there.seq} than this host: NATS was set back to a backup",
            next_step=f"what only this host has is lost to the cluster; to go on without it: {ANEW}",
        )


async def make_cluster(cluster: Cluster, store: Path, new: StoreMeta | None = None) -> StoreMeta:
    """Make the cluster's log, buckets and first snapshot from the store at `store`; the first host to do so counts.

    `new` says which cluster it is, and which were before; a new one when it is left out.
    ConfigError where the log is there without a store: the cluster was deleted in part.
    """
    js = cluster.jetstream
    try:
        bucket = await js.create_key_value(
            KeyValueConfig(bucket=cluster.stream("META"), history=2, replicas=cluster.replicas)
        )
        await js.create_object_store(
            cluster.stream("FILES"), config=ObjectStoreConfig(replicas=cluster.replicas, max_bytes=-1)
        )
        await make_stream(cluster)
        _, last, made = await log_range(cluster)
        if last:
            if (meta := await read_meta(cluster)) is not None:  # another host was first, and has written
                return meta
            raise ConfigError(
                f"the cluster {cluster.name} has a log of {last} entries, and no store: it was deleted in part",
                next_step="make it anew from a host's copy: microclaw migrate --to nats://... --replace",
            )
        new = msgspec.structs.replace(new or StoreMeta(new_cluster_id(), "", 0, "", ""), log_made=made, sealed=True)
        meta = await _put_snapshot(cluster, store, new)
        try:
            await bucket.create(META_KEY, msgspec.json.encode(meta))
        except KeyWrongLastSequenceError:  # another host was first
            await delete_object(cluster, meta.snapshot)
            meta = await _meta_of(bucket)
    except OUTAGES as exc:
        if isinstance(exc, APIError) and exc.err_code in _TOO_FEW_SERVERS:
            raise ConfigError(
                f"NATS cannot keep each thing on {cluster.replicas} servers: {exc.description}",
                next_step="start three servers with JetStream that are one NATS cluster, or: "
                "microclaw config set cluster.replicas 1",
            ) from exc
        raise unreachable("the cluster cannot be made", exc) from exc
    return meta


def new_cluster_id() -> str:
    return secrets.token_hex(8)


async def delete_cluster(cluster: Cluster) -> None:
    """Delete its log, snapshots and what says where they are, as far as they are there."""
    for stream in (f"KV_{cluster.stream('META')}", cluster.stream("LOG"), f"OBJ_{cluster.stream('FILES')}"):
        try:
            await cluster.jetstream.delete_stream(stream)
        except NotFoundError:
            continue
        except OUTAGES as exc:
            raise unreachable(f"the stream {stream} cannot be deleted", exc) from exc


async def take_snapshot(cluster: Cluster, path: Path, *, kept: int = KEPT_ENTRIES) -> StoreMeta:
    """Put this host's copy into the object store as the newest snapshot, and purge the log behind it but `kept`.

    StoreError, OSError, or one of OUTAGES.
    """
    bucket = await cluster.jetstream.key_value(cluster.stream("META"))
    entry = await bucket.get(META_KEY)
    try:
        before = decode_meta(entry.value)
    except MetaUnreadable:
        before = await _meta_by(cluster, path)
    copy = path.with_name(path.name + ".snapshot")
    try:
        seq = await asyncio.to_thread(copy_store, path, copy)
        at = await asyncio.to_thread(placed, copy)
        if at is None or at.cluster != before.cluster or seq < before.seq:
            raise StoreError(
                f"{path} is behind the snapshot that the cluster has, or of another cluster",
                next_step="take it at a host that runs",
            )
        meta = await _put_snapshot(cluster, copy, msgspec.structs.replace(before, seq=seq))
    finally:
        copy.unlink(missing_ok=True)
    try:
        await bucket.update(META_KEY, msgspec.json.encode(meta), last=entry.revision)
    except KeyWrongLastSequenceError:  # another host took one meanwhile
        await delete_object(cluster, meta.snapshot)
        return await _meta_of(bucket)
    await _drop_older(cluster, before, meta)
    if (purged := seq - kept) > 0:
        await cluster.jetstream.purge_stream(cluster.stream("LOG"), seq=purged + 1, subject=log_subject(cluster))
        await LargeEntries(cluster).drop_until(purged)
    return meta


async def _meta_by(cluster: Cluster, path: Path) -> StoreMeta:
    """What the cluster said of its store, by a host's copy; StoreError where that does not follow the log."""
    at = await asyncio.to_thread(placed, path)
    first, last, made = await log_range(cluster)
    if at is None or not first - 1 <= at.seq <= last:
        raise StoreError(f"{path} does not say what the cluster's store is", next_step="take the copy of another host")
    if at.seq >= max(first, 1):
        await _check_last(cluster, at)
    return StoreMeta(at.cluster, "", 0, "", made, sealed=True)


async def _drop_older(cluster: Cluster, before: StoreMeta, newest: StoreMeta) -> None:
    """Delete what no host can make the newest any more: also what hosts left that were killed while they took one."""
    if before.snapshot:
        await delete_object(cluster, before.snapshot)
    for name in await object_names(cluster):
        kind, _, rest = name.partition("-")
        seq = rest.partition("-")[0]
        if kind == _SNAPSHOT and seq.isdecimal() and int(seq) < newest.seq:
            await delete_object(cluster, name)


async def _meta_of(bucket: KeyValue) -> StoreMeta:
    return decode_meta((await bucket.get(META_KEY)).value)


async def _keep_short(cluster: Cluster, replica: Replica, path: Path) -> None:
    while True:
        check_cancelled()
        await asyncio.sleep(CHECK_S * random.uniform(0.5, 1.5))  # noqa: S311 - hosts take turns
        try:
            try:
                meta = await read_meta(cluster)
            except MetaUnreadable as exc:
                _log.warning("%s", exc.message)
                meta = await take_snapshot(cluster, path)
            if replica.is_rewritten:  # nobody keeps what was deleted
                await take_snapshot(cluster, path, kept=0)
                replica.is_rewritten = False
            elif meta is not None and replica.last_entry - meta.seq >= SNAPSHOT_EVERY:
                await take_snapshot(cluster, path)
        except (StoreError, OSError, *OUTAGES) as exc:
            _log.info("no snapshot of the cluster's store was taken: %s", exc)


async def _make_empty(cluster: Cluster, path: Path) -> StoreMeta:
    if await asyncio.to_thread(path.exists):
        raise ConfigError(
            f"{path} is a copy of a cluster's store, and this NATS has no cluster {cluster.name}",
            next_step="make it anew from the copy that has most: microclaw migrate --to nats://... --replace; "
            "or move that file away",
        )
    fresh = path.with_name(path.name + ".fresh")
    fresh.unlink(missing_ok=True)
    try:
        await asyncio.to_thread(create_store, fresh)
        return await make_cluster(cluster, fresh)
    finally:
        fresh.unlink(missing_ok=True)


async def log_range(cluster: Cluster) -> tuple[int, int, str]:
    """The first and the last entry of the log, and when it was made."""
    try:
        info = await cluster.jetstream.stream_info(cluster.stream("LOG"))
    except NotFoundError as exc:
        raise stream_gone(cluster) from exc
    except OUTAGES as exc:
        raise unreachable("the cluster's log cannot be read", exc) from exc
    return info.state.first_seq, info.state.last_seq, "" if info.created is None else info.created.isoformat()


async def _put_snapshot(cluster: Cluster, store: Path, meta: StoreMeta) -> StoreMeta:
    """`meta` with the snapshot of the store at `store`, a file that nobody writes."""
    name = f"{_SNAPSHOT}-{meta.seq}-{secrets.token_hex(4)}"
    packed = store.with_name(store.name + ".z")
    try:
        digest = await asyncio.to_thread(pack_store, store, packed)
        files = await cluster.jetstream.object_store(cluster.stream("FILES"))
        with await asyncio.to_thread(packed.open, "rb") as data:
            async with asyncio.timeout(MOVE_S):
                await files.put(name, data)
    finally:
        packed.unlink(missing_ok=True)
    return msgspec.structs.replace(meta, snapshot=name, sha256=digest)


async def _fetch(cluster: Cluster, meta: StoreMeta, path: Path) -> None:
    """The newest snapshot becomes the copy at `path`."""
    packed = path.with_name(path.name + ".z")
    try:
        for left in reversed(range(_TRIES)):
            try:
                await _download(cluster, meta.snapshot, packed)
                break
            except OUTAGES as exc:
                newest = await read_meta(cluster)
                if newest is None or (newest == meta and not left):
                    raise unreachable("the cluster's store cannot be fetched", exc) from exc
                meta = newest  # another host took a newer one, and deleted this
        await asyncio.to_thread(write_copy, path, packed, meta.sha256, Place(meta.cluster, meta.seq))
    finally:
        packed.unlink(missing_ok=True)


async def _download(cluster: Cluster, name: str, packed: Path) -> None:
    with await asyncio.to_thread(open, packed, "wb", opener=owners_alone) as into:
        async with asyncio.timeout(MOVE_S):
            await read_object(cluster, name, into)
