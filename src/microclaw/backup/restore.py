"""A backup becomes a home: unpacked beside it, checked whole, then put in its place in one step. It starts no host.

Who has a public key can make a file that its owner opens, so that an archive is a stranger's until it is read: it has
plain files below `home/` and nothing else. A power cut at any moment leaves the old home or the new one, whole.
"""

from __future__ import annotations

import ctypes
import errno
import itertools
import os
import secrets
import shutil
import sqlite3
import sys
import tarfile
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final, TypeAlias

import msgspec

from microclaw.audit import AuditEvent, AuditKind
from microclaw.audit.files import append_events, locked
from microclaw.auth.authority import AUTHORITY_FILE
from microclaw.authority_pem import pem_fingerprint
from microclaw.backup.archive import (
    BLOCK,
    FORMAT,
    HOME,
    IDENTITY,
    MAX_FILE_BYTES,
    NAME,
    STORE,
    Contents,
    StoreCounts,
    is_kept,
    is_odd,
)
from microclaw.durable import make_folders, make_private_folder, read_private, sync_folder
from microclaw.errors import BackupDamaged, BackupError, BackupNewer, ConfigError, NotABackup, StoreError
from microclaw.store.codes import end_codes
from microclaw.store.inbox import end_unanswered
from microclaw.store.links import renew_all
from microclaw.store.schema import BASE, VERSION
from microclaw.store.sign_ins import end_sessions
from microclaw.store.sqlite_file import connect, open_store, take_lock

MAX_PAX_BYTES: Final = 4096
MAX_CONTENTS_BYTES: Final = 64 * 1024
READ_BYTES: Final = 1 << 16
_OF_A_HOME: Final = (STORE, IDENTITY, "config.toml", "secrets.toml", "microclaw.log")
_AT_FDCWD: Final = -100  # <fcntl.h>
_EXCHANGE: Final = 2  # RENAME_EXCHANGE of <linux/fs.h>, RENAME_SWAP of macOS

Member: TypeAlias = tuple[tarfile.TarInfo, Iterator[bytes]]
"""A file of the home, with its name relative to it. Its bytes must be read before the next member is taken."""


@dataclass(frozen=True, slots=True)
class Restored:
    """`old_home`: where the home that was there is now. `unanswered`: messages that were just being answered."""

    contents: Contents
    home: Path
    old_home: Path | None
    unanswered: int


def whole_archive(chunks: Iterable[bytes]) -> tuple[Contents, Iterator[bytes]]:
    """The contents at the beginning of an archive, and the archive with them. As `members`."""
    stream, head = iter(chunks), b""
    while len(head) < BLOCK + MAX_CONTENTS_BYTES and (data := next(stream, b"")):
        head += data
    return members([head])[0], itertools.chain([head], stream)


def members(chunks: Iterable[bytes]) -> tuple[Contents, Iterator[Member]]:
    """What the backup says of itself, and its files. NotABackup, BackupNewer; BackupDamaged, also from the iterator.

    Only when the iterator has ended is the whole archive read.
    """
    tar, info = _Tar(iter(chunks)), None
    with suppress(BackupDamaged):
        info = tar.next_header()
    if not info or (info.name, info.type) != (NAME, tarfile.REGTYPE) or not 0 < info.size <= MAX_CONTENTS_BYTES:
        raise NotABackup("the file is encrypted, and what is in it is no backup of microclaw")
    contents = contents_of(b"".join(tar.data(info.size)))
    return contents, _files(contents, tar)


def contents_of(data: bytes) -> Contents:
    """BackupNewer, BackupDamaged; BackupError for one of a store that is not opened any more."""
    try:
        version = msgspec.json.decode(data, type=dict[str, object]).get("format")
        if isinstance(version, int) and version > FORMAT:
            raise BackupNewer(f"the backup has format {version}, this microclaw knows {FORMAT}")
        contents = msgspec.json.decode(data, type=Contents)
    except (msgspec.DecodeError, ValueError, RecursionError) as exc:
        raise BackupDamaged(f"its list of contents cannot be read: {exc}") from exc
    if contents.format != FORMAT:
        raise BackupDamaged("its list of contents is wrong")
    if contents.store_version > VERSION:
        known = f"its store has version {contents.store_version}, this microclaw knows {VERSION}"
        raise BackupNewer(f"the backup was made by microclaw {contents.microclaw[:20]}: {known}")
    if contents.store_version < BASE:
        known = f"its store has version {contents.store_version}, this microclaw opens {BASE} and later"
        step = "restore a newer backup: microclaw backup --help"
        raise BackupError(f"the backup is too old: {known}", next_step=step)
    return contents


def restore_home(
    chunks: Iterable[bytes], home: Path, *, replace: bool, now: Callable[[], datetime] = datetime.now
) -> Restored:
    """Blocking. ConfigError for a home that is not empty, unless `replace`; StoreOwned while its host runs; BackupError
    and StoreError. All of them leave the home as it was.
    """
    home = home.resolve()  # a link to it stays, and points at the new one
    check_home(home, replace=replace)
    folder = home.with_name(f".{home.name}.restoring")
    make_private_folder(folder)
    with ExitStack() as stack:
        stack.callback(_remove_empty, folder)
        stack.enter_context(locked(folder))
        check_home(home, replace=replace)  # another restore may just have ended
        if is_there := _has_files(home):
            stack.callback(os.close, take_lock(home / STORE))
        ready = folder / "ready"
        if ready.is_dir():  # of an earlier restore: a whole home, the old one or a backup's, is not thrown away
            _keep(ready, home, now())
        contents, unanswered = _unpacked(chunks, ready)
        old = None
        try:
            if not is_there or not _exchange(ready, home):
                old = _keep(home, home, now()) if is_there else None
                ready.rename(home)  # nothing is there, or an empty folder; one that is not empty any more stays
        except OSError as exc:
            text = f"{home} cannot be replaced: {exc.strerror}; what was restored is in {ready}"
            step = "does something use it, or did a host start in it? Then do it again"
            raise StoreError(text, next_step=step) from exc
        sync_folder(home.parent)
        if ready.is_dir():  # exchanged
            old = _keep(ready, home, now())
        return Restored(contents, home, old, unanswered)


def check_home(home: Path, *, replace: bool) -> None:
    """ConfigError where nothing may be restored to. To be asked before a password is."""
    if home.exists() and not home.is_dir():
        raise ConfigError(f"{home} is no folder", next_step="give --home another one")
    if os.path.ismount(home):
        text = f"{home} is a disk of its own, which cannot be replaced in one step"
        raise ConfigError(text, next_step=f"restore into a folder on it: --home {home / 'home'}")
    if _has_files(home) and not any((home / name).exists() for name in _OF_A_HOME):
        text = f"{home} is not empty, and is no home of microclaw"
        raise ConfigError(text, next_step="give --home an empty folder, or one that does not exist")
    if _has_files(home) and not replace:
        text = f"{home} is not empty"
        raise ConfigError(text, next_step="give --home an empty one, or --replace: the old one is kept beside it")


def unpack(files: Iterable[Member], folder: Path) -> None:
    """Write them into an empty folder, for its owner alone and on the disk when this returns. OSError, BackupError."""
    for info, data in files:
        path = folder / info.name
        try:
            make_folders(path.parent)
            fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        except FileExistsError as exc:
            raise BackupDamaged(f"it holds {info.name[:80]!r} twice") from exc
        with os.fdopen(fd, "wb") as file:
            file.writelines(data)
            file.flush()
            os.fchmod(fd, info.mode)
            os.utime(fd, (info.mtime, info.mtime))
            os.fsync(fd)
    for place in (*filter(Path.is_dir, folder.rglob("*")), folder):
        sync_folder(place)


class _Tar:
    """Reads the few forms that a backup has. tarfile's own reader takes sparse files and chains of headers, which may
    fill the memory; its parser of one header is used.
    """

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks
        self._buffer = bytearray()

    def take(self, size_bytes: int) -> bytes:
        """So many bytes, or what is left at the end."""
        while len(self._buffer) < size_bytes and (data := next(self._chunks, None)) is not None:
            self._buffer += data
        taken = bytes(self._buffer[:size_bytes])
        del self._buffer[:size_bytes]
        return taken

    def next_header(self) -> tarfile.TarInfo | None:
        """The next file's, with the long name that may stand before it; None at the end. BackupDamaged."""
        try:
            block = self.take(BLOCK)
            if block == bytes(BLOCK):
                return None
            info = tarfile.TarInfo.frombuf(block, "utf-8", "strict")
            if info.type == tarfile.XHDTYPE and 0 < info.size <= MAX_PAX_BYTES:
                _, name = b"".join(self.data(info.size)).split(b" path=", 1)  # LENGTH path=NAME\n, and nothing else
                info = tarfile.TarInfo.frombuf(self.take(BLOCK), "utf-8", "strict")
                info.name = name.decode().removesuffix("\n")
        except (tarfile.TarError, ValueError) as exc:
            raise BackupDamaged("its archive is broken or ends too early") from exc
        return info

    def data(self, size_bytes: int) -> Iterator[bytes]:
        """A file's bytes, up to the next header. BackupDamaged."""
        left = size_bytes
        while left and (data := self.take(min(left, READ_BYTES))):
            left -= len(data)
            yield data
        padding = -size_bytes % BLOCK
        if left or len(self.take(padding)) != padding:
            raise BackupDamaged("it ends within a file")


def _files(contents: Contents, tar: _Tar) -> Iterator[Member]:
    names, left = set[str](), contents.bytes
    while (info := tar.next_header()) is not None:
        shown, name = info.name, info.name.removeprefix(f"{HOME}/")
        is_ours = name != shown and not is_odd(name) and (name == STORE or is_kept(name))
        is_plain = info.type == tarfile.REGTYPE and info.mode in (0o600, 0o700)
        is_bounded = 0 <= info.size < MAX_FILE_BYTES and 0 <= info.mtime < 1 << 40
        if not (is_ours and is_plain and is_bounded) or info.uid or info.gid or info.uname or info.gname:
            raise BackupDamaged(f"it holds {shown[:80]!r} of a name, kind, owner, mode or size that no backup has")
        info.name = name
        left -= info.size
        names.add(name)
        if left < 0 or len(names) > contents.files:
            raise BackupDamaged(f"it holds more than it says: {contents.text()}")
        data = tar.data(info.size)
        yield info, data
        deque(data, maxlen=0)  # what was not read
    if left or len(names) != contents.files or STORE not in names:
        raise BackupDamaged(f"it holds less than it says, or a file twice: {contents.text()}")
    while rest := tar.take(READ_BYTES):
        if rest.strip(b"\0"):
            raise BackupDamaged("something follows its end")


def _unpacked(chunks: Iterable[bytes], ready: Path) -> tuple[Contents, int]:
    """Put a whole, checked home at `ready`, and count the messages that get no answer."""
    folder = ready.with_name("unpacking")
    try:
        shutil.rmtree(folder, ignore_errors=True)  # of a restore that a power cut ended
        folder.mkdir(mode=0o700)
        contents, files = members(chunks)
        if contents.bytes > shutil.disk_usage(folder).free:
            raise OSError(errno.ENOSPC, f"it needs {contents.bytes / 1e6:,.1f} MB")
        unpack(files, folder)
        unanswered = _settle(folder, contents)
        folder.rename(ready)
        sync_folder(ready.parent)
        return contents, unanswered
    except OSError as exc:
        text = f"the backup cannot be unpacked beside the home, in {ready.parent.parent}: {exc.strerror or exc}"
        raise StoreError(text, next_step="check that folder's owner and free space") from exc
    finally:
        shutil.rmtree(folder, ignore_errors=True)  # it is not there any more when all went well


def _settle(folder: Path, contents: Contents) -> int:
    """Check the store and the identity, and end what a store from a backup does not know: links, sessions, codes and
    open turns since. How many messages get no answer."""
    try:
        with closing(connect(folder / STORE, read_only=True)) as store:
            counts = StoreCounts.of(store)  # before its tables are those of this version
        with closing(open_store(folder / STORE)) as store:
            store.execute("BEGIN IMMEDIATE")
            renew_all(store, secrets.token_bytes)
            end_sessions(store)
            end_codes(store)
            unanswered = end_unanswered(store)
            store.execute("COMMIT")
    except (StoreError, sqlite3.Error, OSError) as exc:
        raise BackupDamaged(f"its store cannot be used: {getattr(exc, 'message', exc)}") from exc
    for name in StoreCounts.__struct_fields__:
        if (held := getattr(counts, name)) != (said := getattr(contents, name)):
            raise BackupDamaged(f"its store has {name.replace('_', ' ')} {held}, and it says {said}")
    if counts.host and pem_fingerprint(read_private(folder / IDENTITY / AUTHORITY_FILE) or b"") != counts.host:
        raise BackupDamaged("its identity is not the one that its devices trust")
    made = datetime.fromtimestamp(contents.made_ms / 1000).astimezone()
    text = f"this home is the backup of {made:%Y-%m-%d %H:%M:%S %z}: {contents.text()}"
    append_events(folder, [AuditEvent(AuditKind.BACKUP_RESTORED, text)])
    sync_folder(folder)
    return unanswered


def _has_files(home: Path) -> bool:
    return home.is_dir() and any(home.iterdir())


def _remove_empty(folder: Path) -> None:
    with suppress(OSError):  # something is left in it
        folder.rmdir()


def _keep(old: Path, home: Path, now: datetime) -> Path:
    """Give an old home a name of its own beside the new one."""
    name = f"{home.name}.before-{now:%Y%m%d-%H%M%S}"
    names = itertools.chain([name], (f"{name}-{count}" for count in itertools.count(2)))
    place = next(path for path in map(home.with_name, names) if not path.exists())
    old.rename(place)
    sync_folder(home.parent)
    return place


def _exchange(one: Path, other: Path) -> bool:
    """Swap two folders in one step; False where this system cannot."""
    libc = ctypes.CDLL(None, use_errno=True)
    names = os.fsencode(one), os.fsencode(other)
    with suppress(AttributeError):  # an old C library
        if sys.platform == "darwin":
            done = libc.renamex_np(*names, _EXCHANGE)
        else:
            done = libc.renameat2(_AT_FDCWD, names[0], _AT_FDCWD, names[1], _EXCHANGE)
        if done == 0:
            return True
        number = ctypes.get_errno()
        if number not in (errno.ENOSYS, errno.EINVAL, errno.ENOTSUP):
            raise OSError(number, os.strerror(number), str(other))
    return False
