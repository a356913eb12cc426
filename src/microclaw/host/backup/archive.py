"""A host's home as a plain tar, streamed in constant memory: its list of contents, then `home/...`. No encryption.

It writes only a copy of the store and second names of the files, in a folder of the home.
"""

from __future__ import annotations

import os
import re
import shutil
import sqlite3
import stat
import tarfile
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Annotated, Any, Final, NamedTuple

import msgspec

from microclaw import __version__
from microclaw.durable import make_private_folder, open_regular
from microclaw.errors import ConfigError, StoreError
from microclaw.host.audit.log_files import FOLDER as AUDIT
from microclaw.host.audit.log_files import locked
from microclaw.host.store.identity import pinned_authority
from microclaw.host.store.rows import scalar
from microclaw.host.store.sqlite_file import ERRORS, connect
from microclaw.text import count_text

FORMAT: Final = 1
# The first member of the archive; all others are in the folder HOME.
NAME: Final = "microclaw-backup.json"
HOME: Final = "home"
STORE: Final = "microclaw.db"
IDENTITY: Final = "identity"
# A folder in the home.
WORK: Final = "backup.new"
BLOCK: Final = tarfile.BLOCKSIZE
MAX_FILES: Final = 100_000
MAX_DEPTH: Final = 32
MAX_NAME_BYTES: Final = 255
MAX_PATH_BYTES: Final = 1024
# The most that a tar header can hold without extensions.
MAX_FILE_BYTES: Final = 8 << 30
READ_BYTES: Final = 1 << 20
NAMED_LEFT_OUT: Final = 20
# Files of a running host or its past, which it makes again or which are useless elsewhere. Whisper's models can be
# fetched again.
_NOT_KEPT: Final = re.compile(
    r"(microclaw\.db.*|control\.(sock|mcp)|backup\.new|[^/]*\.lock|[^/]*\.log(\.[0-9]+)?|voice/whisper)(/.*)?"
    r"|(.*/)?\.[^/]+\.[0-9a-f]{8}\.new",
    re.DOTALL,
)
_ODD: Final = re.compile(r"[\x00-\x1f\x7f\\]")


Count = Annotated[int, msgspec.Meta(ge=0, lt=1 << 45)]
_COUNTED: Final = {
    "devices": "devices",
    "programs": "desired_apps",
    "schedules": "schedules WHERE state != 'over'",
    "people": "people",
    "changing_tokens": "tokens WHERE state = 'current'",
    "conversations": "sessions",
}


class Contents(msgspec.Struct, frozen=True, kw_only=True):
    """The list of contents of a backup.

    `host` is the SHA-256 of the authority's certificate that devices trust, None if there never was one.
    `changing_tokens` counts devices with a token, which the host changes after a day. `files` and `bytes` count the
    files that follow; `left_out` are files of the home that a backup cannot hold.
    """

    format: int = FORMAT
    microclaw: str = __version__
    made_ms: Count
    host: str | None
    store_version: Count
    devices: Count
    programs: Count
    schedules: Count
    people: Count
    changing_tokens: Count = 0
    conversations: Count = 0
    files: Annotated[int, msgspec.Meta(ge=0, le=MAX_FILES + 1)]
    bytes: Count
    left_out: tuple[str, ...] = ()

    def text(self) -> str:
        kinds = ("device", "program", "schedule", "conversation", "file")
        counts = ", ".join(count_text(getattr(self, f"{kind}s"), kind) for kind in kinds)
        return f"{counts} of {self.bytes / 1e6:,.1f} MB"


class HomeFile(NamedTuple):
    """A file of the home: its `name` in the archive, with / between its parts, and the `path` from which it is read."""

    name: str
    path: Path
    size_bytes: int


@contextmanager
def open_home_archive(
    home: Path, *, now_ms: int, without: Path | None = None
) -> Iterator[tuple[Contents, Iterator[bytes]]]:
    """Give the list of contents of the home, and the archive's bytes. `without` is a folder in the home to leave out.

    One at a time: the caller holds the store's lock, or is its host. Blocking. Raises StoreError; ConfigError without a
    store.
    """
    store = home / STORE
    if not store.is_file():
        step = "start a host in it once (microclaw up), or give --home DIR"
        raise ConfigError(f"there is nothing to back up: {home} has no store", next_step=step)
    folder = home / WORK
    audit = home / AUDIT
    try:
        # A power cut may have ended another backup.
        shutil.rmtree(folder, ignore_errors=True)
        make_private_folder(folder)
        copy = folder / STORE
        counts = _copy_store(store, copy)
        # The lines and the heads of the security log must be of the same moment.
        with _reading(home), locked(audit) if audit.is_dir() else nullcontext():
            held, left_out = _hold(home, folder, without)
        files = [HomeFile(STORE, copy, copy.stat().st_size), *held]
        contents = Contents(
            **counts,
            made_ms=now_ms,
            files=len(files),
            bytes=sum(file.size_bytes for file in files),
            left_out=left_out,
        )
        yield contents, stream_archive(contents, files)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _copy_store(store: Path, copy: Path) -> dict[str, Any]:
    """Copy the whole store, also while a host writes, and check it. Return its part of the list of contents.

    Raises StoreError for a damaged store, which must not take the place of good backups.
    """
    try:
        with closing(sqlite3.connect(copy)) as target:
            with closing(connect(store, read_only=True)) as source:
                source.backup(target)
            (verdict,) = target.execute("PRAGMA quick_check(1)").fetchone()
            if verdict == "ok":
                version = scalar(target, "PRAGMA user_version")
                counts = {name: scalar(target, f"SELECT count(*) FROM {rows}") for name, rows in _COUNTED.items()}  # noqa: S608
                return {"store_version": version, "host": pinned_authority(target), **counts}
    except (*ERRORS, OSError) as exc:
        step = "free some space on the disk of the home, then do it again; else see: microclaw doctor"
        raise StoreError(f"the store {store} cannot be copied: {exc}", next_step=step) from exc
    text = f"the store {store} is damaged: {verdict}"
    raise StoreError(text, next_step="restore an earlier backup: microclaw backup restore FILE --replace")


def stream_archive(contents: Contents, files: Sequence[HomeFile]) -> Iterator[bytes]:
    """Yield the archive's bytes.

    Raises StoreError if a file cannot be read or becomes shorter; bytes added since it was listed are left out.
    """
    text = msgspec.json.encode(contents)
    yield _header(NAME, len(text), mtime=contents.made_ms // 1000) + text + bytes(-len(text) % BLOCK)
    for name, path, size_bytes in files:
        with _reading(path), os.fdopen(open_regular(path, os.O_RDONLY), "rb") as file:
            status = os.fstat(file.fileno())
            remaining_bytes = size_bytes
            mode = 0o700 if status.st_mode & stat.S_IXUSR else 0o600
            yield _header(f"{HOME}/{name}", size_bytes, mtime=max(0, int(status.st_mtime)), mode=mode)
            while data := file.read(min(remaining_bytes, READ_BYTES)):
                remaining_bytes -= len(data)
                yield data
        if remaining_bytes:
            raise StoreError(f"{name} of the home became shorter while it was read", next_step="do it again")
        yield bytes(-size_bytes % BLOCK)
    yield bytes(2 * BLOCK)


def is_kept(name: str) -> bool:
    """Return True if a backup keeps a path of the home; the store is a case of its own."""
    return not _NOT_KEPT.fullmatch(name)


def is_odd(name: str) -> bool:
    """Return True for a relative path that not every machine can have, or that leads out of its folder."""
    parts = name.split("/")
    try:
        sizes = [len(part.encode()) for part in parts]
    except UnicodeEncodeError:
        return True
    if max(sizes) > MAX_NAME_BYTES or len(parts) > MAX_DEPTH:
        return True
    if sum(sizes) + len(parts) > MAX_PATH_BYTES:
        return True
    return _ODD.search(name) is not None or not {"", ".", ".."}.isdisjoint(parts)


def _hold(home: Path, folder: Path, without: Path | None) -> tuple[list[HomeFile], tuple[str, ...]]:
    """Return the files that a backup keeps, besides the store, and the names of files that it cannot hold.

    Each gets a second name in `folder` (or a copy, if the disk has no hard links): the list of contents comes first in
    the archive, so it must not change if a running host replaces, removes or extends a file later. Raises OSError.
    """
    files = list[HomeFile]()
    odd_names = list[str]()
    folders = [home]
    while folders and len(files) <= MAX_FILES:
        current = folders.pop()
        for path in current.iterdir() if current.is_dir() else ():
            name = path.relative_to(home).as_posix()
            if not is_kept(name) or path == without:
                continue
            # A file may have been removed since it was listed.
            with suppress(FileNotFoundError):
                status = path.lstat()
                if is_odd(name) or stat.S_ISLNK(status.st_mode) or status.st_size >= MAX_FILE_BYTES:
                    odd_names.append(name)
                elif stat.S_ISDIR(status.st_mode):
                    folders.append(path)
                elif stat.S_ISREG(status.st_mode):
                    files.append(_hold_file(name, path, folder / str(len(files))))
    if len(files) > MAX_FILES:
        text = f"{home} has more than {MAX_FILES:,} files"
        raise StoreError(text, next_step="move files that are not the host's out of it")
    shown = [ascii(name)[1:-1] for name in sorted(odd_names)[:NAMED_LEFT_OUT]]
    if len(odd_names) > NAMED_LEFT_OUT:
        shown.append(f"and {len(odd_names) - NAMED_LEFT_OUT} more")
    return files, tuple(shown)


def _hold_file(name: str, path: Path, held: Path) -> HomeFile:
    """Give a file the second name `held`, or copy it."""
    try:
        os.link(path, held, follow_symlinks=False)
    except OSError:
        shutil.copy2(path, held, follow_symlinks=False)
    return HomeFile(name, held, min(held.lstat().st_size, MAX_FILE_BYTES - 1))


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    """Raise StoreError for an OSError in the block."""
    try:
        yield
    except OSError as exc:
        text = f"{exc.filename or path} cannot be read: {exc.strerror or exc}"
        raise StoreError(text, next_step="check its owner and mode, or move it out of the home") from exc


def _header(name: str, size_bytes: int, *, mtime: int, mode: int = 0o600) -> bytes:
    info = tarfile.TarInfo(name)
    info.size = size_bytes
    info.mtime = mtime
    info.mode = mode
    return info.tobuf(tarfile.PAX_FORMAT, "utf-8", "strict")
