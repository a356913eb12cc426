"""A host's home as a plain tar, streamed in constant memory: what it says of itself, then `home/...`. No encryption.

It writes nothing but a copy of the store and second names of the files, in a folder of the home.
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
from microclaw.audit.log_files import FOLDER as AUDIT
from microclaw.audit.log_files import locked
from microclaw.backup.age import CHUNK_BYTES
from microclaw.durable import make_private_folder, open_regular
from microclaw.errors import ConfigError, StoreError
from microclaw.store.identity import pinned_authority
from microclaw.store.rows import scalar
from microclaw.store.sqlite_file import ERRORS, connect
from microclaw.text import count_text

FORMAT: Final = 1
NAME: Final = "microclaw-backup.json"  # the first member
HOME: Final = "home"  # the folder of the archive that everything else is in
STORE: Final = "microclaw.db"
IDENTITY: Final = "identity"
WORK: Final = "backup.new"  # in the home
BLOCK: Final = tarfile.BLOCKSIZE
MAX_FILES: Final = 100_000
MAX_DEPTH: Final = 32
MAX_NAME_BYTES: Final = 255
MAX_PATH_BYTES: Final = 1024
MAX_FILE_BYTES: Final = 8 << 30  # what a tar header holds without extensions
READ_BYTES: Final = 1 << 20
NAMED_LEFT_OUT: Final = 20
# Of a running host or its past: made again, or of no use elsewhere. Whisper's models can be fetched again.
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
    """`host` is the SHA-256 of the authority's certificate that devices trust, None where there never was one.

    `changing_tokens`: devices with a token, which the host changes after a day. `files` and `bytes` are those that
    follow. `left_out`: files of the home that a backup cannot hold.
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
    """`name` in the archive, with / between its parts; `path` is where it is read."""

    name: str
    path: Path
    size_bytes: int


@contextmanager
def home_archive(home: Path, *, now_ms: int, without: Path | None = None) -> Iterator[tuple[Contents, Iterator[bytes]]]:
    """The contents of the home, and the archive's bytes. `without` is a folder to leave out where it is in the home.

    One at a time: the caller holds the store's lock, or is its host. Blocking. StoreError; ConfigError without a store.
    """
    store = home / STORE
    if not store.is_file():
        step = "start a host in it once (microclaw up), or give --home DIR"
        raise ConfigError(f"there is nothing to back up: {home} has no store", next_step=step)
    folder = home / WORK
    audit = home / AUDIT
    try:
        shutil.rmtree(folder, ignore_errors=True)  # of a backup that a power cut ended
        make_private_folder(folder)
        copy = folder / STORE
        counts = _copy_store(store, copy)
        with _reading(home), locked(audit) if audit.is_dir() else nullcontext():  # lines and head as of one moment
            held, left_out = _hold(home, folder, without)
        files = [HomeFile(STORE, copy, copy.stat().st_size), *held]
        contents = Contents(
            **counts,
            made_ms=now_ms,
            files=len(files),
            bytes=sum(file.size_bytes for file in files),
            left_out=left_out,
        )
        yield contents, archive_of(contents, files)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _copy_store(store: Path, copy: Path) -> dict[str, Any]:
    """A whole copy, also while a host writes, and checked: a damaged store must not take the place of good backups.
    What the list of contents says of it."""
    try:
        with closing(sqlite3.connect(copy)) as target:
            with closing(connect(store, read_only=True)) as source:
                source.backup(target)
            (verdict,) = target.execute("PRAGMA quick_check(1)").fetchone()
            if verdict == "ok":
                version = scalar(target, "PRAGMA user_version")
                counts = {name: scalar(target, f"SELECT count(*) FROM {of}") for name, of in _COUNTED.items()}  # noqa: S608
                return {"store_version": version, "host": pinned_authority(target), **counts}
    except (*ERRORS, OSError) as exc:
        step = "free some space on the disk of the home, then do it again; else see: microclaw doctor"
        raise StoreError(f"the store {store} cannot be copied: {exc}", next_step=step) from exc
    text = f"the store {store} is damaged: {verdict}"
    raise StoreError(text, next_step="restore an earlier backup: microclaw backup restore FILE --replace")


def archive_of(contents: Contents, files: Sequence[HomeFile]) -> Iterator[bytes]:
    """The archive, padded so that it fills the last chunk of its encryption: a shorter one is cut off."""
    text = msgspec.json.encode(contents)
    head = _header(NAME, len(text), mtime=contents.made_ms // 1000) + text + bytes(-len(text) % BLOCK)
    yield head
    written = len(head)
    for name, path, size_bytes in files:
        with _reading(path), os.fdopen(open_regular(path, os.O_RDONLY), "rb") as opened:
            # what was added since it was listed is not in it
            found = os.fstat(opened.fileno())
            left = size_bytes
            mode = 0o700 if found.st_mode & stat.S_IXUSR else 0o600
            head = _header(f"{HOME}/{name}", size_bytes, mtime=max(0, int(found.st_mtime)), mode=mode)
            yield head
            while data := opened.read(min(left, READ_BYTES)):
                left -= len(data)
                yield data
        if left:
            raise StoreError(f"{name} of the home became shorter while it was read", next_step="do it again")
        yield (padding := bytes(-size_bytes % BLOCK))
        written += len(head) + size_bytes + len(padding)
    yield bytes(2 * BLOCK + -(written + 2 * BLOCK) % CHUNK_BYTES)


def is_kept(name: str) -> bool:
    """True if a backup keeps a path of the home, the store left aside."""
    return not _NOT_KEPT.fullmatch(name)


def is_odd(name: str) -> bool:
    """True if a relative path is not one that every machine can have, or leads out of its folder."""
    parts = name.split("/")
    try:
        sizes = [len(part.encode()) for part in parts]
    except UnicodeEncodeError:
        return True
    too_long = max(sizes) > MAX_NAME_BYTES or sum(sizes) + len(parts) > MAX_PATH_BYTES or len(parts) > MAX_DEPTH
    return too_long or _ODD.search(name) is not None or not {"", ".", ".."}.isdisjoint(parts)


def _hold(home: Path, folder: Path, without: Path | None) -> tuple[list[HomeFile], tuple[str, ...]]:
    """The files that a backup keeps, besides the store, and the names of those that it cannot hold. OSError.

    Each gets a second name in `folder` (a copy, where the disk has no hard links): the list of contents comes first in
    the archive, so that what a running host replaces, removes or makes longer from now on must not change it.
    """
    files = list[HomeFile]()
    odd = list[str]()
    waiting = [home]
    while waiting and len(files) <= MAX_FILES:
        at = waiting.pop()
        for path in at.iterdir() if at.is_dir() else ():
            name = path.relative_to(home).as_posix()
            if not is_kept(name) or path == without:
                continue
            with suppress(FileNotFoundError):  # removed since it was listed
                found = path.lstat()
                if is_odd(name) or stat.S_ISLNK(found.st_mode) or found.st_size >= MAX_FILE_BYTES:
                    odd.append(name)
                elif stat.S_ISDIR(found.st_mode):
                    waiting.append(path)
                elif stat.S_ISREG(found.st_mode):
                    held = folder / str(len(files))
                    try:
                        os.link(path, held, follow_symlinks=False)
                    except OSError:
                        shutil.copy2(path, held, follow_symlinks=False)
                    files.append(HomeFile(name, held, min(held.lstat().st_size, MAX_FILE_BYTES - 1)))
    if len(files) > MAX_FILES:
        text = f"{home} has more than {MAX_FILES:,} files"
        raise StoreError(text, next_step="move what is not the host's out of it")
    shown = [ascii(name)[1:-1] for name in sorted(odd)[:NAMED_LEFT_OUT]]
    if len(odd) > NAMED_LEFT_OUT:
        more = [f"and {len(odd) - NAMED_LEFT_OUT} more"]
    else:
        more = []
    return files, (*shown, *more)


@contextmanager
def _reading(path: Path) -> Iterator[None]:
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
