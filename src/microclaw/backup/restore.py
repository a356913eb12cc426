"""A backup becomes a home: unpacked beside it, checked whole, then put in its place in one step.

A crash or a power cut at any moment leaves the old home or the new one, whole. It starts no host.
"""

from __future__ import annotations

import ctypes
import errno
import os
import secrets
import shutil
import sqlite3
import sys
from collections.abc import Callable, Iterable
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

from microclaw.audit import AuditEvent, AuditKind
from microclaw.audit.files import append_events
from microclaw.auth.authority import AUTHORITY_FILE
from microclaw.authority_pem import pem_fingerprint
from microclaw.backup.archive import IDENTITY, STORE, work_folder
from microclaw.backup.contents import Contents, StoreCounts, count_store
from microclaw.backup.errors import BackupDamaged
from microclaw.backup.unpack import members, unpack
from microclaw.durable import make_folders, read_private, sync_folder
from microclaw.errors import ConfigError, StoreError
from microclaw.store.codes import end_codes
from microclaw.store.inbox import end_unanswered
from microclaw.store.links import renew_all
from microclaw.store.sign_ins import end_sessions
from microclaw.store.sqlite_file import connect, open_store, take_lock

_UNPACKING: Final = "unpacking"
_READY: Final = "ready"
_OF_A_HOME: Final = (STORE, IDENTITY, "config.toml", "secrets.toml", "microclaw.log")
_AT_FDCWD: Final = -100  # <fcntl.h>
_EXCHANGE: Final = 2  # RENAME_EXCHANGE of <linux/fs.h>, RENAME_SWAP of macOS


@dataclass(frozen=True, slots=True)
class Restored:
    """`old_home`: where the home that was there is now. `unanswered`: messages that were just being answered."""

    contents: Contents
    home: Path
    old_home: Path | None
    unanswered: int


def restore_home(
    chunks: Iterable[bytes], home: Path, *, replace: bool, now: Callable[[], datetime] = datetime.now
) -> Restored:
    """Blocking. ConfigError for a home that is not empty, unless `replace`; StoreOwned while its host runs; BackupError
    and StoreError. All of them leave the home as it was.
    """
    home = home.resolve()  # a link to it stays, and points at the new one
    check_home(home, replace=replace)
    try:
        make_folders(home.parent)
    except OSError as exc:
        text = f"{home.parent} cannot be made: {exc.strerror or exc}"
        raise StoreError(text, next_step="give --home a folder that you may make") from exc
    with ExitStack() as stack:
        beside = home.with_name(f".{home.name}.restoring")
        folder = stack.enter_context(work_folder(beside, busy=f"a backup is being restored to {home} already"))
        if is_there := _has_files(home):
            stack.callback(os.close, take_lock(home / STORE))
        _keep_ready(folder, home, now())
        contents, unanswered = _unpacked(chunks, folder)
        if is_there:
            return Restored(contents, home, _exchanged(folder / _READY, home, now()), unanswered)
        _placed(folder / _READY, home)
        return Restored(contents, home, None, unanswered)


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


def _unpacked(chunks: Iterable[bytes], folder: Path) -> tuple[Contents, int]:
    """Put a whole, checked home at `folder`/ready."""
    unpacking = folder / _UNPACKING
    try:
        if unpacking.exists():  # of a restore that a power cut ended
            shutil.rmtree(unpacking)
        unpacking.mkdir(mode=0o700)
        contents, files = members(chunks)
        _check_space(folder, contents)
        unpack(files, unpacking)
        unanswered = _make_ready(unpacking, contents)
        unpacking.rename(folder / _READY)
        sync_folder(folder)
    except OSError as exc:
        shutil.rmtree(unpacking, ignore_errors=True)
        text = f"the backup cannot be unpacked beside the home, in {folder.parent}: {exc.strerror or exc}"
        raise StoreError(text, next_step="check that folder's owner and free space") from exc
    except BaseException:
        shutil.rmtree(unpacking, ignore_errors=True)
        raise
    return contents, unanswered


def _has_files(home: Path) -> bool:
    return home.is_dir() and any(home.iterdir())


def _check_space(folder: Path, contents: Contents) -> None:
    disk = os.statvfs(folder)
    free = disk.f_bavail * disk.f_frsize
    if contents.bytes > free:
        text = f"the backup needs {contents.bytes / 1e6:,.1f} MB, and {folder.parent} has {free / 1e6:,.1f} MB free"
        raise StoreError(text, next_step="free some space there, or give --home a folder on another disk")


def _make_ready(folder: Path, contents: Contents) -> int:
    """Check the store and the identity, and settle what a store from a backup does not know; messages that end."""
    try:
        with closing(connect(folder / STORE, read_only=True)) as connection:
            counts = count_store(connection)  # before its tables are those of this version
        store = open_store(folder / STORE)
    except sqlite3.Error as exc:
        raise BackupDamaged(f"its store cannot be used: {exc}") from exc
    except StoreError as exc:
        raise BackupDamaged(f"its store cannot be used: {exc.message}") from exc
    with closing(store) as connection:
        _check_store(folder, counts, contents)
        connection.execute("BEGIN IMMEDIATE")
        renew_all(connection, secrets.token_bytes)
        end_sessions(connection)
        end_codes(connection)
        unanswered = end_unanswered(connection)
        connection.execute("COMMIT")
    made = datetime.fromtimestamp(contents.made_ms / 1000).astimezone()
    text = f"this home is the backup of {made:%Y-%m-%d %H:%M:%S %z}: {contents.text()}"
    append_events(folder, [AuditEvent(AuditKind.BACKUP_RESTORED, text)])
    sync_folder(folder)
    return unanswered


def _check_store(folder: Path, counts: StoreCounts, contents: Contents) -> None:
    if counts.host != contents.host:
        raise BackupDamaged("its store is not the one that it says")
    for name in ("devices", "programs", "schedules", "people", "changing_tokens"):
        held, said = getattr(counts, name), getattr(contents, name)
        if held != said:
            raise BackupDamaged(f"its store has {held} {name.replace('_', ' ')}, and it says {said}")
    if counts.host is None:
        return
    pem = read_private(folder / IDENTITY / AUTHORITY_FILE) or b""
    if pem_fingerprint(pem) != counts.host:
        raise BackupDamaged("its identity is not the one that its devices trust")


def _keep_ready(folder: Path, home: Path, now: datetime) -> None:
    """What an earlier restore left there is a whole home, the old one or one from a backup: it is not thrown away."""
    if (folder / _READY).is_dir():
        _keep(folder / _READY, home, now)


def _keep(old: Path, home: Path, now: datetime) -> Path:
    name = f"{home.name}.before-{now:%Y%m%d-%H%M%S}"
    place = next(
        path
        for count in range(1, 1000)
        if not (path := home.with_name(name if count == 1 else f"{name}-{count}")).exists()
    )
    old.rename(place)
    sync_folder(home.parent)
    return place


def _placed(ready: Path, home: Path) -> None:
    """Where there is nothing, or an empty folder; one that is not empty any more stays as it is."""
    try:
        ready.rename(home)
    except OSError as exc:
        raise _not_replaced(ready, home, exc) from exc
    sync_folder(home.parent)


def _exchanged(ready: Path, home: Path, now: datetime) -> Path:
    """Where the old home is now."""
    try:
        if not _exchange(ready, home):
            place = _keep(home, home, now)
            ready.rename(home)
            sync_folder(home.parent)
            return place
    except OSError as exc:
        raise _not_replaced(ready, home, exc) from exc
    sync_folder(home.parent)
    return _keep(ready, home, now)


def _not_replaced(ready: Path, home: Path, exc: OSError) -> StoreError:
    text = f"{home} cannot be replaced: {exc.strerror}; what was restored is in {ready}"
    return StoreError(text, next_step="does something use it, or did a host start in it? Then do it again")


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
