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
import tarfile
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, closing, suppress
from datetime import datetime
from pathlib import Path
from typing import IO, Any, Final

import msgspec
from msgspec import Struct

from microclaw.audit.event import AuditEvent, AuditKind
from microclaw.audit.log_files import append_events, locked
from microclaw.auth.authority import AUTHORITY_FILE
from microclaw.authority_pem import pem_fingerprint
from microclaw.backup.archive import FORMAT, HOME, IDENTITY, NAME, STORE, Contents, is_kept, is_odd
from microclaw.durable import make_folders, make_private_folder, read_private, sync_folder
from microclaw.errors import BackupDamaged, BackupError, BackupNewer, ConfigError, NotABackup, StoreError
from microclaw.store.codes import end_codes
from microclaw.store.identity import pinned_authority
from microclaw.store.inbox import end_unanswered
from microclaw.store.links import renew_all
from microclaw.store.schema import BASE, VERSION
from microclaw.store.sqlite_file import ERRORS, open_store, take_lock

MAX_HEADERS_BYTES: Final = 64 * 1024  # that are read for one file of the archive, or for the list of contents
_OF_A_HOME: Final = (STORE, IDENTITY, "config.toml", "secrets.toml", "microclaw.log")
_AT_FDCWD: Final = -100  # <fcntl.h>
_EXCHANGE: Final = 2  # RENAME_EXCHANGE of <linux/fs.h>


class Restored(Struct, frozen=True):
    """`old_home`: where the home that was there is now. `unanswered`: messages that were just being answered."""

    contents: Contents
    home: Path
    old_home: Path | None
    unanswered: int


def whole_archive(chunks: Iterable[bytes]) -> tuple[Contents, Iterator[bytes]]:
    """The contents at the beginning of an archive, and the archive with them. As `read_archive`."""
    stream = iter(chunks)
    head = b""
    while len(head) < 2 * MAX_HEADERS_BYTES and (data := next(stream, b"")):
        head += data
    return _begun(_Plain(iter([head])))[1], itertools.chain([head], stream)


def read_archive(chunks: Iterable[bytes], folder: Path | None = None) -> tuple[Contents, list[tuple[str, int]]]:
    """All of an archive: what it says of itself, and its files' names and sizes. They are written into `folder`, empty,
    for its owner alone, and are on the disk when this returns. NotABackup, BackupNewer, BackupDamaged, OSError.
    """
    plain = _Plain(iter(chunks))
    found = list[tuple[str, int]]()
    tar, contents = _begun(plain)
    if folder is not None and contents.bytes > shutil.disk_usage(folder).free:
        raise OSError(errno.ENOSPC, f"it needs {contents.bytes / 1e6:,.1f} MB")
    left = contents.bytes
    try:
        while (info := tar.next()) is not None:
            name = _checked(info)
            left -= info.size
            found.append((name, info.size))
            if left < 0 or len(found) > contents.files:
                raise BackupDamaged(f"it holds more than it says: {contents.text()}")
            source = tar.extractfile(info)
            assert source is not None  # of a plain file
            plain.allowed += info.size
            _write(None if folder is None else folder / name, source, info)
            plain.allowed = MAX_HEADERS_BYTES
    except (tarfile.TarError, ValueError) as exc:
        raise BackupDamaged("its archive is broken or ends too early") from exc
    for _ in plain.chunks:  # only then is the file known to be whole
        pass
    if left or len(found) != contents.files or STORE not in dict(found):
        raise BackupDamaged(f"it holds less than it says, or a file twice: {contents.text()}")
    if folder is not None:
        for place in (*filter(Path.is_dir, folder.rglob("*")), folder):
            sync_folder(place)
    return contents, found


def restore_home(chunks: Iterable[bytes], home: Path, *, replace: bool) -> Restored:
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
        is_there = _has_files(home)
        if is_there:
            stack.enter_context(take_lock(home / STORE))
        ready = folder / "ready"
        if ready.is_dir():  # of an earlier restore: a whole home, the old one or a backup's, is not thrown away
            _keep(ready, home)
        contents, unanswered = _unpacked(chunks, ready)
        old = None
        try:
            if not is_there or not _exchange(ready, home):
                if is_there:
                    old = _keep(home, home)
                else:
                    old = None
                ready.rename(home)  # nothing is there, or an empty folder; one that is not empty any more stays
        except OSError as exc:
            text = f"{home} cannot be replaced: {exc.strerror}; what was restored is in {ready}"
            step = "does something use it, or did a host start in it? Then do it again"
            raise StoreError(text, next_step=step) from exc
        sync_folder(home.parent)
        if ready.is_dir():  # exchanged
            old = _keep(ready, home)
        return Restored(contents, home, old, unanswered)


def check_home(home: Path, *, replace: bool) -> None:
    """ConfigError where nothing may be restored to. To be asked before a password is."""
    if (home.exists() and not home.is_dir()) or os.path.ismount(home):
        raise ConfigError(
            f"{home} is no folder that can be replaced", next_step="give --home a folder in it, or another"
        )
    if _has_files(home) and not any((home / name).exists() for name in _OF_A_HOME):
        text = f"{home} is not empty, and is no home of microclaw"
        raise ConfigError(text, next_step="give --home an empty folder, or one that does not exist")
    if _has_files(home) and not replace:
        text = f"{home} is not empty"
        raise ConfigError(text, next_step="give --home an empty one, or --replace: the old one is kept beside it")


class _Plain:
    """An archive's bytes for tarfile, which reads no more of them than is `allowed`: a long header, or a chain of them,
    or a map of a sparse file would fill the memory.
    """

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self.chunks = chunks
        self.allowed = MAX_HEADERS_BYTES
        self._buffer = b""

    def read(self, size_bytes: int) -> bytes:
        while len(self._buffer) < size_bytes and (data := next(self.chunks, None)) is not None:
            self._buffer += data
        taken = self._buffer[:size_bytes]
        self._buffer = self._buffer[size_bytes:]
        self.allowed -= len(taken)
        if self.allowed < 0:
            raise tarfile.ReadError("it has a header that is too long")
        return taken


def _begun(plain: _Plain) -> tuple[tarfile.TarFile, Contents]:
    """The archive behind its first file, and what that says."""
    try:
        stream: Any = plain
        tar = tarfile.open(fileobj=stream, mode="r|", encoding="utf-8", errors="strict")  # noqa: SIM115 - no file
        info = tar.next()
        source = info and info.name == NAME and info.size < MAX_HEADERS_BYTES and tar.extractfile(info)
        plain.allowed = 2 * MAX_HEADERS_BYTES
        if source:
            data = source.read()
        else:
            data = b""
    except (tarfile.TarError, ValueError):
        data = b""
    if not data:
        raise NotABackup("the file is encrypted, and what is in it is no backup of microclaw")
    try:
        found = msgspec.json.decode(data, type=dict[str, Any])
        if found.get("format") != FORMAT:
            raise BackupNewer(f"the backup has format {found.get('format')!s:.20}, this microclaw knows {FORMAT}")
        contents = msgspec.convert(found, Contents)
    except (msgspec.MsgspecError, ValueError, RecursionError) as exc:
        raise BackupDamaged(f"its list of contents cannot be read: {exc}") from exc
    if contents.store_version > VERSION:
        known = f"its store has version {contents.store_version}, this microclaw knows {VERSION}"
        raise BackupNewer(f"the backup was made by microclaw {contents.microclaw[:20]}: {known}")
    if contents.store_version < BASE:
        known = f"its store has version {contents.store_version}, this microclaw opens {BASE} and later"
        step = "restore a newer backup: microclaw backup --help"
        raise BackupError(f"the backup is too old: {known}", next_step=step)
    return tar, contents


def _checked(info: tarfile.TarInfo) -> str:
    """The name in the home of a file that a backup may hold."""
    name = info.name.removeprefix(f"{HOME}/")
    is_ours = name != info.name and not is_odd(name) and (name == STORE or is_kept(name))
    if not is_ours or info.type != tarfile.REGTYPE or info.size < 0 or not info.pax_headers.keys() <= {"path"}:
        raise BackupDamaged(f"it holds {info.name[:80]!r} of a name or kind that no backup has")
    return name


def _write(path: Path | None, source: IO[bytes], info: tarfile.TarInfo) -> None:
    """None reads it only."""
    if path is None:
        while source.read(1 << 16):
            pass
        return
    mode = 0o700 if info.mode & 0o100 else 0o600
    mtime = max(0, min(int(info.mtime), 1 << 33))
    try:
        make_folders(path.parent)
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    except (FileExistsError, NotADirectoryError) as exc:
        raise BackupDamaged(f"it holds {info.name[:80]!r} twice") from exc
    with os.fdopen(fd, "wb") as file:
        shutil.copyfileobj(source, file)
        file.flush()
        os.utime(fd, (mtime, mtime))
        os.fsync(fd)


def _unpacked(chunks: Iterable[bytes], ready: Path) -> tuple[Contents, int]:
    """Put a whole, checked home at `ready`, and count the messages that get no answer."""
    folder = ready.with_name("unpacking")
    try:
        shutil.rmtree(folder, ignore_errors=True)  # of a restore that a power cut ended
        folder.mkdir(mode=0o700)
        contents, _ = read_archive(chunks, folder)
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
        with closing(open_store(folder / STORE)) as store:
            host = pinned_authority(store)
            store.execute("BEGIN IMMEDIATE")
            renew_all(store, secrets.token_bytes)
            store.execute("DELETE FROM sign_ins")  # one that ended since must not be alive again
            end_codes(store)
            unanswered = end_unanswered(store)
            store.execute("COMMIT")
    except (StoreError, *ERRORS, OSError) as exc:
        raise BackupDamaged(f"its store cannot be used: {getattr(exc, 'message', exc)}") from exc
    if host and pem_fingerprint(read_private(folder / IDENTITY / AUTHORITY_FILE) or b"") != host:
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


def _keep(old: Path, home: Path) -> Path:
    """Give an old home a name of its own beside the new one."""
    place = home.with_name(f"{home.name}.before-{datetime.now():%Y%m%d-%H%M%S-%f}")
    old.rename(place)
    sync_folder(home.parent)
    return place


def _exchange(one: Path, other: Path) -> bool:
    """Swap two folders in one step; False where this system cannot."""
    with suppress(AttributeError):  # another system than Linux, or an old C library
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.renameat2(_AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(other), _EXCHANGE) == 0:
            return True
        number = ctypes.get_errno()
        if number not in (errno.ENOSYS, errno.EINVAL, errno.ENOTSUP):
            raise OSError(number, os.strerror(number), str(other))
    return False
