"""A host's home as a tar archive, streamed in constant memory. It encrypts nothing and writes nothing but a copy of
the store, which is consistent also while the host writes (SQLite's online backup), and second names of the files.

The archive is plain tar (POSIX pax), so that `age -d FILE | tar x` reads it: the list of contents, then `home/...`.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import sqlite3
import stat
import tarfile
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, nullcontext, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

import msgspec

from microclaw.audit.files import FOLDER as AUDIT
from microclaw.audit.files import locked
from microclaw.backup.age_file import CHUNK_BYTES
from microclaw.backup.contents import BLOCK, HOME, NAME, Contents, count_store
from microclaw.durable import open_regular
from microclaw.errors import ConfigError, Overloaded, StoreError
from microclaw.store.sqlite_file import connect

MAX_FILES: Final = 100_000
MAX_DEPTH: Final = 32
MAX_NAME_BYTES: Final = 255
MAX_PATH_BYTES: Final = 1024
MAX_FILE_BYTES: Final = 8 << 30  # what a tar header holds without extensions
READ_BYTES: Final = 1 << 20
NAMED_LEFT_OUT: Final = 20
STORE: Final = "microclaw.db"
IDENTITY: Final = "identity"
WORK: Final = "backup.new"  # in the home: where the store is copied to
# Of a running host or its past: made again, or of no use elsewhere. Models of speech
# can be fetched again.
_NOT_KEPT: Final = re.compile(r"microclaw\.db.*|control\.sock|backup\.new|.*\.lock|.*\.log(\.[0-9]+)?")
_FETCHED: Final = "voice/whisper"
_BEING_WRITTEN: Final = re.compile(r"\..+\.[0-9a-f]{8}\.new")
_ODD: Final = re.compile(r"[\x00-\x1f\x7f\\]")


@dataclass(frozen=True, slots=True)
class HomeFile:
    """`name` in the archive, with / between its parts."""

    name: str
    path: Path
    size_bytes: int


@contextmanager
def home_archive(home: Path, *, now_ms: int, without: Path | None = None) -> Iterator[tuple[Contents, Iterator[bytes]]]:
    """What is in the home, and the archive's bytes. `without` is a folder that is left out where it is in the home.

    The caller holds the store's lock, or is its host. Blocking. StoreError, OSError; ConfigError without a store.
    """
    store = home / STORE
    if not store.is_file():
        step = "start a host in it once (microclaw up), or give --home DIR"
        raise ConfigError(f"there is nothing to back up: {home} has no store", next_step=step)
    with work_folder(home / WORK, busy="a backup of this home is being made already") as folder:
        _empty(folder)
        try:
            copy = folder / STORE
            _copy_store(store, copy)
            with closing(connect(copy, read_only=True)) as connection:
                counts = count_store(connection)
            audit = home / AUDIT
            with locked(audit) if audit.is_dir() else nullcontext():  # its lines and their kept head as of one moment
                files, left_out = list_files(home, without)
                files = [HomeFile(STORE, copy, copy.stat().st_size), *_held(files, folder / HOME)]
            contents = Contents(
                made_ms=now_ms,
                host=counts.host,
                store_version=counts.version,
                devices=counts.devices,
                programs=counts.programs,
                schedules=counts.schedules,
                people=counts.people,
                changing_tokens=counts.changing_tokens,
                conversations=counts.conversations + sum(_is_conversation(file.name) for file in files),
                files=len(files),
                bytes=sum(file.size_bytes for file in files),
                left_out=left_out,
            )
            yield contents, archive_of(contents, files)
        finally:
            _empty(folder)


def archive_of(contents: Contents, files: Sequence[HomeFile]) -> Iterator[bytes]:
    """The archive, padded so that it fills the last chunk of its encryption: a shorter one is cut off."""
    size = 0
    for data in _members(contents, files):
        size += len(data)
        yield data
    yield bytes(2 * BLOCK + -(size + 2 * BLOCK) % CHUNK_BYTES)


def list_files(home: Path, without: Path | None = None) -> tuple[list[HomeFile], tuple[str, ...]]:
    """The files of a home that a backup keeps, besides the store, and the names of those that it cannot hold."""
    files: list[HomeFile] = []
    odd: list[str] = []
    waiting = [("", home)]
    while waiting:
        before, folder = waiting.pop()
        for entry in _entries(folder):
            name = f"{before}{entry.name}"
            if not is_kept(name) or (without is not None and Path(entry.path) == without):
                continue
            size_bytes = _size_of(entry)
            if is_odd(name) or entry.is_symlink() or size_bytes >= MAX_FILE_BYTES:
                odd.append(name)
            elif entry.is_dir(follow_symlinks=False):
                waiting.append((f"{name}/", Path(entry.path)))
            elif entry.is_file(follow_symlinks=False):
                files.append(HomeFile(name, Path(entry.path), size_bytes))
        if len(files) > MAX_FILES:
            text = f"{home} has more than {MAX_FILES:,} files"
            raise StoreError(text, next_step="move what is not the host's out of it")
    shown = [ascii(name)[1:-1] for name in odd[:NAMED_LEFT_OUT]]
    if len(odd) > NAMED_LEFT_OUT:
        shown.append(f"and {len(odd) - NAMED_LEFT_OUT} more")
    return files, tuple(shown)


@contextmanager
def work_folder(path: Path, *, busy: str) -> Iterator[Path]:
    """A folder (0700) that one process at a time works in; removed at the end when it is empty. Overloaded: `busy`."""
    try:
        with suppress(FileExistsError):
            path.mkdir(mode=0o700)
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError as exc:
        text = f"no folder {path.name} can be made in {path.parent}: {exc.strerror or exc}"
        raise StoreError(text, next_step=f"check the owner, mode and free space of {path.parent}") from exc
    try:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            is_there = os.path.samestat(os.fstat(fd), path.lstat())  # the one before may have removed it just now
        except (BlockingIOError, FileNotFoundError):
            is_there = False
        if not is_there:
            raise Overloaded(busy, next_step="wait until it is done")
        if os.fstat(fd).st_uid != os.getuid():
            raise StoreError(f"{path} belongs to another user", next_step="move it away")
        path.chmod(0o700)
        try:
            yield path
        finally:
            with suppress(OSError):  # something is left in it
                path.rmdir()
    finally:
        os.close(fd)


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return sorted(entries, key=lambda entry: entry.name)
    except FileNotFoundError:  # removed since it was listed
        return []
    except OSError as exc:
        raise _unreadable(folder, exc) from exc


def _size_of(entry: os.DirEntry[str]) -> int:
    try:
        return entry.stat(follow_symlinks=False).st_size
    except FileNotFoundError:
        return 0
    except OSError as exc:
        raise _unreadable(Path(entry.path), exc) from exc


def _unreadable(path: Path, exc: OSError) -> StoreError:
    text = f"{path} cannot be read: {exc.strerror or exc}"
    return StoreError(text, next_step="check its owner and mode, or move it out of the home")


def _empty(folder: Path) -> None:
    for path in folder.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()


def _copy_store(store: Path, copy: Path) -> None:
    """A whole copy as of one moment, checked: a damaged store must not take the place of good backups."""
    try:
        os.close(os.open(copy, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
        with closing(connect(store, read_only=True)) as source, closing(sqlite3.connect(copy)) as target:
            source.backup(target)
            (verdict,) = target.execute("PRAGMA quick_check(1)").fetchone()
    except (sqlite3.Error, OSError) as exc:
        step = "free some space on the disk of the home, then do it again; else see: microclaw doctor"
        raise StoreError(f"the store {store} cannot be copied: {exc}", next_step=step) from exc
    if verdict != "ok":
        text = f"the store {store} is damaged: {verdict}"
        raise StoreError(text, next_step="restore an earlier backup: microclaw restore FILE --replace")


def _held(files: Sequence[HomeFile], folder: Path) -> Iterator[HomeFile]:
    """A second name for each file (a copy, where the disk has no hard links), and its size: the list of contents comes
    first in the archive, so that what a running host replaces, removes or makes longer from now on must not change it.
    """
    folder.mkdir(mode=0o700)
    for number, file in enumerate(files):
        path = folder / str(number)
        try:
            _link_or_copy(file.path, path)
            size_bytes = path.lstat().st_size
        except FileNotFoundError:  # removed since it was listed
            continue
        except OSError as exc:
            raise _unreadable(file.path, exc) from exc
        yield HomeFile(file.name, path, min(size_bytes, MAX_FILE_BYTES - 1))


def _link_or_copy(source: Path, target: Path) -> None:
    try:
        os.link(source, target, follow_symlinks=False)
    except FileNotFoundError:
        raise
    except OSError:
        shutil.copy2(source, target, follow_symlinks=False)


def _members(contents: Contents, files: Sequence[HomeFile]) -> Iterator[bytes]:
    text = msgspec.json.encode(asdict(contents))
    yield from _member(NAME, text, mtime=contents.made_ms // 1000, mode=0o600)
    for file in files:
        try:
            yield from _file_member(file)
        except OSError as exc:
            raise _unreadable(Path(file.name), exc) from exc


def _file_member(file: HomeFile) -> Iterator[bytes]:
    with os.fdopen(open_regular(file.path, os.O_RDONLY), "rb") as opened:
        found = os.fstat(opened.fileno())
        mode = 0o700 if found.st_mode & stat.S_IXUSR else 0o600
        yield _header(f"{HOME}/{file.name}", file.size_bytes, mtime=max(0, int(found.st_mtime)), mode=mode)
        left = file.size_bytes  # what was added since it was listed is not in it
        while left:
            data = opened.read(min(left, READ_BYTES))
            if not data:
                raise StoreError(f"{file.name} of the home became shorter while it was read", next_step="do it again")
            left -= len(data)
            yield data
        yield bytes(-file.size_bytes % BLOCK)


def _member(name: str, data: bytes, *, mtime: int, mode: int) -> Iterator[bytes]:
    yield _header(name, len(data), mtime=mtime, mode=mode)
    yield data + bytes(-len(data) % BLOCK)


def _header(name: str, size_bytes: int, *, mtime: int, mode: int) -> bytes:
    info = tarfile.TarInfo(name)
    info.size, info.mtime, info.mode = size_bytes, mtime, mode
    return info.tobuf(tarfile.PAX_FORMAT, "utf-8", "strict")


def is_kept(name: str) -> bool:
    """Whether a backup keeps a path of the home, the store left aside."""
    last = name.rpartition("/")[2]
    fetched = name == _FETCHED or name.startswith(f"{_FETCHED}/")
    return not (fetched or _NOT_KEPT.fullmatch(name.partition("/")[0]) or _BEING_WRITTEN.fullmatch(last))


def is_odd(name: str) -> bool:
    """Whether a relative path is not one that every machine can have, or leads out of its folder."""
    parts = name.split("/")
    try:
        sizes = [len(part.encode()) for part in parts]
    except UnicodeEncodeError:
        return True
    too_long = max(sizes) > MAX_NAME_BYTES or sum(sizes) + len(parts) > MAX_PATH_BYTES or len(parts) > MAX_DEPTH
    return too_long or _ODD.search(name) is not None or any(part in ("", ".", "..") for part in parts)


def _is_conversation(name: str) -> bool:
    """Of microclaw 0.1.0, before it is moved into the store."""
    return name.startswith("sessions/") and name.endswith(".jsonl")
