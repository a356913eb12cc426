"""What a backup says of itself: the first member of its archive, as JSON. It counts in a store and reads no home."""

from __future__ import annotations

import sqlite3
import tarfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

import msgspec

from microclaw import __version__
from microclaw.backup.errors import BackupDamaged, BackupError, BackupNewer, NotABackup
from microclaw.store.schema import BASE, VERSION
from microclaw.text import count_text

NAME: Final = "microclaw-backup.json"
HOME: Final = "home"  # the folder of the archive that everything else is in
FORMAT: Final = 1
MAX_BYTES: Final = 64 * 1024
MAX_NUMBER: Final = 1 << 45  # milliseconds until the year 3084
BLOCK: Final = tarfile.BLOCKSIZE


@dataclass(frozen=True, slots=True, kw_only=True)
class Contents:
    """`host` is the SHA-256 of the authority's certificate that devices trust, None where there never was one.

    `files` and `bytes` are those that follow, all of them. `left_out`: files of the home that a backup cannot hold.
    `changing_tokens`: devices with a token, which the host changes after a day; later ones are not in the backup.
    """

    format: int = FORMAT
    microclaw: str = __version__
    made_ms: int
    host: str | None
    store_version: int
    devices: int
    programs: int
    schedules: int
    people: int
    changing_tokens: int = 0
    conversations: int
    files: int
    bytes: int
    left_out: tuple[str, ...] = ()

    def text(self) -> str:
        counts = (
            count_text(self.devices, "device"),
            count_text(self.programs, "program"),
            count_text(self.schedules, "schedule"),
            count_text(self.conversations, "conversation"),
            f"{count_text(self.files, 'file')} of {self.bytes / 1e6:,.1f} MB",
        )
        return ", ".join(counts)


@dataclass(frozen=True, slots=True)
class StoreCounts:
    host: str | None
    version: int
    devices: int
    programs: int
    schedules: int
    people: int
    changing_tokens: int
    conversations: int


def count_store(connection: sqlite3.Connection) -> StoreCounts:
    """The number of rows of each kind in a store."""

    def count(table: str, where: str = "1") -> int:
        query = f"SELECT count(*) FROM {table} WHERE {where}"  # noqa: S608 - names of this file
        return int(connection.execute(query).fetchone()[0])

    (version,) = connection.execute("PRAGMA user_version").fetchone()
    host = connection.execute("SELECT fingerprint FROM authority").fetchone()
    return StoreCounts(
        host=None if host is None else str(host[0]),
        version=int(version),
        devices=count("devices"),
        programs=count("desired_apps"),
        schedules=count("schedules", "state != 'over'"),
        people=count("people"),
        changing_tokens=count("tokens", "state = 'current'"),
        conversations=count("sessions"),
    )


def contents_of(data: bytes) -> Contents:
    """NotABackup, BackupNewer, BackupDamaged."""
    try:
        version = msgspec.json.decode(data, type=dict[str, object]).get("format")
        if isinstance(version, int) and version > FORMAT:
            raise BackupNewer(f"the backup has format {version}, this microclaw knows {FORMAT}")
        contents = msgspec.json.decode(data, type=Contents)
    except (msgspec.DecodeError, ValueError, RecursionError) as exc:
        raise BackupDamaged(f"its list of contents cannot be read: {exc}") from exc
    numbers = (contents.files, contents.bytes, contents.store_version, contents.made_ms)
    if contents.format != FORMAT or not all(0 <= number < MAX_NUMBER for number in numbers):
        raise BackupDamaged("its list of contents is wrong")
    if contents.store_version > VERSION:
        known = f"its store has version {contents.store_version}, this microclaw knows {VERSION}"
        raise BackupNewer(f"the backup was made by microclaw {contents.microclaw[:20]}: {known}")
    if contents.store_version < BASE:
        known = f"its store has version {contents.store_version}, this microclaw opens {BASE} and later"
        raise BackupError(
            f"the backup is too old: {known}", next_step="restore a newer backup: microclaw backup --help"
        )
    return contents


def first_member(chunks: Iterable[bytes]) -> tuple[Contents, Iterator[bytes]]:
    """The contents at the beginning of an archive, and the whole archive."""
    stream, head = iter(chunks), b""
    while len(head) < BLOCK + MAX_BYTES and (data := next(stream, None)) is not None:
        head += data
        if len(head) >= BLOCK + (size := _size_of(head)):
            return contents_of(head[BLOCK : BLOCK + size]), _joined(head, stream)
    raise NotABackup("the file is encrypted, and what is in it is no backup of microclaw")


def _joined(head: bytes, rest: Iterator[bytes]) -> Iterator[bytes]:
    yield head
    yield from rest


def _size_of(head: bytes) -> int:
    """Of the first member; 0 while its header is not whole. NotABackup."""
    if len(head) < BLOCK:
        return 0
    try:
        info = tarfile.TarInfo.frombuf(head[:BLOCK], "utf-8", "strict")
    except (tarfile.TarError, ValueError):
        info = tarfile.TarInfo()
    if info.name != NAME or not info.isreg() or not 0 < info.size <= MAX_BYTES:
        raise NotABackup("the file is encrypted, and what is in it is no backup of microclaw")
    return info.size
