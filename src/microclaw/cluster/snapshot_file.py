"""A snapshot as a file: a host's whole copy of the store, packed and unpacked. It asks no server."""

from __future__ import annotations

import hashlib
import os
import sqlite3
import zlib
from pathlib import Path
from typing import Final

from microclaw.durable import sync_folder
from microclaw.errors import StoreError
from microclaw.store.replica import Place, place, placed
from microclaw.store.sqlite_file import connect

_PIECE: Final = 1 << 20


def owners_alone(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def pack_store(store: Path, packed: Path) -> str:
    """Pack the file `store`; the SHA-256 of `packed`."""
    digest, packer = hashlib.sha256(), zlib.compressobj(1)
    with store.open("rb") as source, open(packed, "wb", opener=owners_alone) as into:
        while piece := source.read(_PIECE):
            data = packer.compress(piece)
            digest.update(data)
            into.write(data)
        data = packer.flush()
        digest.update(data)
        into.write(data)
    return digest.hexdigest()


def write_copy(path: Path, packed: Path, sha256: str, at: Place) -> None:
    """The store in `packed` becomes the copy at `path`, at this place of the log; StoreError for a damaged one."""
    building = path.with_name(path.name + ".new")
    digest, unpacker = hashlib.sha256(), zlib.decompressobj()
    try:
        with packed.open("rb") as source, open(building, "wb", opener=owners_alone) as into:
            while piece := source.read(_PIECE):
                digest.update(piece)
                into.write(unpacker.decompress(piece))
            into.write(unpacker.flush())
    except zlib.error:
        digest = hashlib.sha256()
    if digest.hexdigest() != sha256:
        raise StoreError(
            "the snapshot of the cluster's store is damaged",
            next_step="take another at a host that runs: microclaw cluster snapshot",
        )
    taken = placed(building)  # where the host was that took it; nowhere in the first one of a cluster
    place(building, Place(at.cluster, at.seq, "" if taken is None or taken.seq != at.seq else taken.entry_id))
    for suffix in ("-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)
        building.with_name(building.name + suffix).unlink(missing_ok=True)
    building.replace(path)
    sync_folder(path.parent)


def copy_store(path: Path, copy: Path) -> int:
    """A consistent copy of a store that may be open, as one file; the place in the log that it is at, 0 for none."""
    copy.unlink(missing_ok=True)
    os.close(os.open(copy, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
    reader = connect(path, read_only=True)
    try:
        target = sqlite3.connect(copy)
        try:
            reader.backup(target)
            target.execute("PRAGMA journal_mode = DELETE")
            there = target.execute("SELECT 1 FROM sqlite_master WHERE name = 'log_position'").fetchone()
            row = None if there is None else target.execute("SELECT seq FROM log_position").fetchone()
        finally:
            target.close()
    finally:
        reader.close()
    return 0 if row is None else int(row[0])
