"""Restores a backup: unpacks it beside the home, checks all of it, and puts it in place in one step. Starts no host.

Anybody with a public key can make a file that its owner opens, so an archive is not trusted: it may have only plain
files below `home/`. A power cut at any moment leaves the complete old home or the complete new one.
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

from microclaw.authority_pem import pem_fingerprint
from microclaw.conversion import convert, decode_json
from microclaw.durable import make_folders, make_private_folder, read_private, sync_folder
from microclaw.errors import BackupDamaged, BackupError, BackupNewer, ConfigError, NotABackup, StoreError
from microclaw.host.audit.event import AuditEvent, AuditKind
from microclaw.host.audit.log_files import append_events, locked
from microclaw.host.auth.authority import AUTHORITY_FILE
from microclaw.host.backup.archive import FORMAT, HOME, IDENTITY, NAME, STORE, Contents, is_kept, is_odd
from microclaw.host.store.codes import end_codes
from microclaw.host.store.identity import pinned_authority
from microclaw.host.store.inbox import end_unanswered
from microclaw.host.store.links import renew_all
from microclaw.host.store.schema import BASE, VERSION
from microclaw.host.store.sqlite_file import ERRORS, open_store, take_lock

# For the headers of one file of the archive, or for its list of contents.
MAX_HEADERS_BYTES: Final = 64 * 1024
_HOME_FILES: Final = (STORE, IDENTITY, "config.toml", "secrets.toml", "microclaw.log")
# From <fcntl.h>.
_AT_FDCWD: Final = -100
# RENAME_EXCHANGE of <linux/fs.h>.
_EXCHANGE: Final = 2


class Restored(Struct, frozen=True):
    """A restored home. `old_home` is the new path of the old home; `unanswered` counts messages without an answer."""

    contents: Contents
    home: Path
    old_home: Path | None
    unanswered: int


def peek_archive(chunks: Iterable[bytes]) -> tuple[Contents, Iterator[bytes]]:
    """Return the list of contents of an archive, and the bytes of all of the archive. Raises as `read_archive`."""
    stream = iter(chunks)
    head = b""
    for data in stream:
        head += data
        if not data or len(head) >= 2 * MAX_HEADERS_BYTES:
            break
    _, contents = _read_contents(_LimitedStream(iter([head])))
    return contents, itertools.chain([head], stream)


def read_archive(chunks: Iterable[bytes], folder: Path | None = None) -> tuple[Contents, list[tuple[str, int]]]:
    """Read all of an archive. Return its list of contents, and the names and sizes (bytes) of its files.

    The files are written into `folder`, which is empty, readable by the owner only, and are on the disk when this
    returns. Raises NotABackup, BackupNewer, BackupDamaged, OSError.
    """
    stream = _LimitedStream(iter(chunks))
    files = list[tuple[str, int]]()
    tar, contents = _read_contents(stream)
    if folder is not None and contents.bytes > shutil.disk_usage(folder).free:
        raise OSError(errno.ENOSPC, f"it needs {contents.bytes / 1e6:,.1f} MB")
    remaining_bytes = contents.bytes
    try:
        while (info := tar.next()) is not None:
            name = _check_name(info)
            remaining_bytes -= info.size
            files.append((name, info.size))
            if remaining_bytes < 0 or len(files) > contents.files:
                raise BackupDamaged(f"it holds more than it says: {contents.text()}")
            source = tar.extractfile(info)
            # Only a file of another kind has none, and `_check_name` refuses it.
            assert source is not None
            stream.allowed += info.size
            if folder is None:
                _skip(source)
            else:
                _write(folder / name, source, info)
            stream.allowed = MAX_HEADERS_BYTES
    except (tarfile.TarError, ValueError) as exc:
        raise BackupDamaged("its archive is broken or ends too early") from exc
    # Only the last chunk proves that the file is whole.
    for _ in stream.chunks:
        pass
    if remaining_bytes or len(files) != contents.files or STORE not in dict(files):
        raise BackupDamaged(f"it holds less than it says, or a file twice: {contents.text()}")
    if folder is not None:
        for path in (*filter(Path.is_dir, folder.rglob("*")), folder):
            sync_folder(path)
    return contents, files


def restore_home(chunks: Iterable[bytes], home: Path, *, replace: bool) -> Restored:
    """Restore a home from an archive's bytes. Blocking. Every error leaves the home as it was.

    Raises ConfigError for a home that is not empty, unless `replace`; StoreOwned while its host runs; BackupError and
    StoreError.
    """
    # A symbolic link to the home stays, and points at the new one.
    home = home.resolve()
    check_home(home, replace=replace)
    folder = home.with_name(f".{home.name}.restoring")
    make_private_folder(folder)
    with ExitStack() as stack:
        stack.callback(_remove_empty, folder)
        stack.enter_context(locked(folder))
        # Another restore may have ended while this one waited for the lock.
        check_home(home, replace=replace)
        is_used = _has_files(home)
        if is_used:
            stack.enter_context(take_lock(home / STORE))
        ready = folder / "ready"
        # A whole home of an earlier restore, the old one or a backup's, is never deleted.
        if ready.is_dir():
            _set_aside(ready, home)
        contents, unanswered = _unpack(chunks, ready)
        old_home = _put_in_place(ready, home, is_used=is_used)
        return Restored(contents, home, old_home, unanswered)


def _put_in_place(ready: Path, home: Path, *, is_used: bool) -> Path | None:
    """Replace the home by the folder `ready`. Return the new path of the old home, or None if there was none."""
    old_home = None
    try:
        if not is_used or not _exchange(ready, home):
            if is_used:
                old_home = _set_aside(home, home)
            # This fails if files came into the folder meanwhile, so none is lost.
            ready.rename(home)
    except OSError as exc:
        text = f"{home} cannot be replaced: {exc.strerror}; the restored home is in {ready}"
        step = "does something use it, or did a host start in it? Then do it again"
        raise StoreError(text, next_step=step) from exc
    sync_folder(home.parent)
    # After an exchange the old home has the name of the new one.
    if ready.is_dir():
        old_home = _set_aside(ready, home)
    return old_home


def check_home(home: Path, *, replace: bool) -> None:
    """Raise ConfigError if nothing may be restored to this path. Also called before the backup is opened."""
    if (home.exists() and not home.is_dir()) or os.path.ismount(home):
        text = f"{home} is not a folder that can be replaced"
        raise ConfigError(text, next_step="give --home a folder in it, or another")
    if not _has_files(home):
        return
    if not any((home / name).exists() for name in _HOME_FILES):
        text = f"{home} is not empty, and is not a home of microclaw"
        raise ConfigError(text, next_step="give --home an empty folder, or one that does not exist")
    if not replace:
        text = f"{home} is not empty"
        raise ConfigError(text, next_step="give --home an empty one, or --replace: the old one is kept beside it")


class _LimitedStream:
    """An archive's bytes for tarfile, which may read only `allowed` bytes more.

    Without a limit a long header, a chain of headers, or the map of a sparse file would fill the memory.
    """

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self.chunks = chunks
        self.allowed = MAX_HEADERS_BYTES
        self._buffer = b""

    def read(self, size_bytes: int) -> bytes:
        while len(self._buffer) < size_bytes:
            data = next(self.chunks, None)
            if data is None:
                break
            self._buffer += data
        result = self._buffer[:size_bytes]
        self._buffer = self._buffer[size_bytes:]
        self.allowed -= len(result)
        if self.allowed < 0:
            raise tarfile.ReadError("it has a header that is too long")
        return result


def _read_contents(plain: _LimitedStream) -> tuple[tarfile.TarFile, Contents]:
    """Read the first file of an archive. Return the archive after it, and the list of contents.

    Raises NotABackup, BackupNewer, BackupDamaged, BackupError for a backup that is too old.
    """
    data = b""
    try:
        stream: Any = plain
        tar = tarfile.open(fileobj=stream, mode="r|", encoding="utf-8", errors="strict")  # noqa: SIM115 - no file
        info = tar.next()
        source = info and info.name == NAME and info.size < MAX_HEADERS_BYTES and tar.extractfile(info)
        plain.allowed = 2 * MAX_HEADERS_BYTES
        if source:
            data = source.read()
    except (tarfile.TarError, ValueError):
        data = b""
    if not data:
        raise NotABackup("the file is encrypted, but is not a backup of microclaw")
    try:
        document = decode_json(data, dict[str, Any])
        if document.get("format") != FORMAT:
            raise BackupNewer(f"the backup has format {document.get('format')!s:.20}, this microclaw knows {FORMAT}")
        contents = convert(document, Contents)
    except (msgspec.MsgspecError, ValueError, RecursionError) as exc:
        raise BackupDamaged(f"its list of contents cannot be read: {exc}") from exc
    _check_version(contents)
    return tar, contents


def _check_version(contents: Contents) -> None:
    """Raise BackupNewer or BackupError if this microclaw cannot open the backup's store."""
    if contents.store_version > VERSION:
        text = f"its store has version {contents.store_version}, this microclaw knows {VERSION}"
        raise BackupNewer(f"the backup was made by microclaw {contents.microclaw[:20]}: {text}")
    if contents.store_version < BASE:
        text = f"its store has version {contents.store_version}, this microclaw opens {BASE} and later"
        step = "restore a newer backup: microclaw backup --help"
        raise BackupError(f"the backup is too old: {text}", next_step=step)


def _check_name(info: tarfile.TarInfo) -> str:
    """Return the name in the home of a file. Raises BackupDamaged if a backup may not hold it."""
    name = info.name.removeprefix(f"{HOME}/")
    is_in_home = name != info.name and not is_odd(name)
    is_expected = is_in_home and (name == STORE or is_kept(name))
    is_plain = info.type == tarfile.REGTYPE and info.size >= 0 and info.pax_headers.keys() <= {"path"}
    if not is_expected or not is_plain:
        raise BackupDamaged(f"it holds {info.name[:80]!r} of a name or kind that no backup has")
    return name


def _skip(source: IO[bytes]) -> None:
    while source.read(1 << 16):
        pass


def _write(path: Path, source: IO[bytes], info: tarfile.TarInfo) -> None:
    """Write a file of the archive to the disk. Raises BackupDamaged if it exists already."""
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


def _unpack(chunks: Iterable[bytes], ready: Path) -> tuple[Contents, int]:
    """Put a whole, checked home at `ready`. Return its contents and the number of messages without an answer."""
    folder = ready.with_name("unpacking")
    try:
        # A power cut may have ended another restore.
        shutil.rmtree(folder, ignore_errors=True)
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
        # After a success it has been renamed.
        shutil.rmtree(folder, ignore_errors=True)


def _settle(folder: Path, contents: Contents) -> int:
    """Check the store and the identity. Return the number of messages that get no answer.

    Ends everything that may have changed since the backup: links, sign-ins, codes and open turns.
    """
    try:
        with closing(open_store(folder / STORE)) as store:
            host = pinned_authority(store)
            store.execute("BEGIN IMMEDIATE")
            renew_all(store, secrets.token_bytes)
            # A session that was ended after the backup must not become valid again.
            store.execute("DELETE FROM sign_ins")
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
    # A folder with files in it stays.
    with suppress(OSError):
        folder.rmdir()


def _set_aside(old: Path, home: Path) -> Path:
    """Give an old home a name of its own beside the new one, and return that path."""
    path = home.with_name(f"{home.name}.before-{datetime.now():%Y%m%d-%H%M%S-%f}")
    old.rename(path)
    sync_folder(home.parent)
    return path


def _exchange(first: Path, second: Path) -> bool:
    """Swap two folders in one step. Return False if this system cannot."""
    # A system other than Linux, or an old C library, does not have the function.
    with suppress(AttributeError):
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.renameat2(_AT_FDCWD, os.fsencode(first), _AT_FDCWD, os.fsencode(second), _EXCHANGE) == 0:
            return True
        number = ctypes.get_errno()
        if number not in (errno.ENOSYS, errno.EINVAL, errno.ENOTSUP):
            raise OSError(number, os.strerror(number), str(second))
    return False
