"""Writes files whole or not at all, and reads private files only if they are private. It does not know their content.

A crash, a power cut or a full disk at any moment leaves the file as it was: the new one is written and synced beside
it, then renamed over it.
"""

from __future__ import annotations

import errno
import os
import secrets
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from difflib import get_close_matches
from pathlib import Path
from typing import BinaryIO, Final

from microclaw.errors import ConfigError, StoreError, over_limit

MAX_PRIVATE_BYTES: Final = 256 * 1024
# Of the names in a folder, in an answer about a file that is not there.
_MAX_SHOWN: Final = 6
# The folders of the operating system: another mode there can break the machine.
_SYSTEM_FOLDERS: Final = frozenset(
    {"bin", "boot", "dev", "etc", "lib", "lib64", "proc", "run", "sbin", "sys", "usr", "var"}
)


def replace_file(
    path: Path,
    content: bytes,
    *,
    mode: int | None = 0o600,
    only_writer: bool = False,
    sync: bool = True,
    sync_name: bool = True,
) -> None:
    """Replace the file at `path`; it is on the disk when this returns.

    Raises OSError, also for a device, and leaves the old file then. `mode` None keeps the mode of the old file. With
    `only_writer` the new file always has the same temporary name, so that the next write removes the remains of a
    crash; otherwise several may write at once. Without `sync` readers still see a whole file, but a power cut may lose
    it. Without `sync_name` a power cut may bring the old content back.
    """
    if mode is None:
        mode = 0o600
        if path.exists():
            mode = stat.S_IMODE(path.stat().st_mode)
    mark = "" if only_writer else _new_mark()
    with _building(path, mark, sync=sync) as file:
        file.write(content)
        os.fchmod(file.fileno(), mode)
    if sync and sync_name:
        sync_folder(path.parent)


@contextmanager
def _building(path: Path, mark: str, *, sync: bool = True, replace: bool = True) -> Iterator[BinaryIO]:
    """Yield the new file, which is renamed to `path` at the end of the block; an error removes it."""
    _check_no_device(path)
    if mark:
        building = path.with_name(f".{path.name}{mark}.new")
    else:
        building = path.with_name(f"{path.name}.new")
        building.unlink(missing_ok=True)
    _check_free(path, replace=replace)
    fd = os.open(building, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(fd, "wb") as file:
            yield file
            file.flush()
            if sync:
                os.fsync(file.fileno())
        # The file may exist by now. A hard link would be safer, but memory sticks have none.
        _check_free(path, replace=replace)
        building.rename(path)
    except BaseException:
        building.unlink(missing_ok=True)
        raise


def _new_mark() -> str:
    return f".{secrets.token_hex(4)}"


def _check_free(path: Path, *, replace: bool) -> None:
    if not replace and path.exists():
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(path))


def _check_no_device(path: Path) -> None:
    """Raise OSError for a device: renaming over /dev/null, as root, would remove it for the whole machine."""
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        return
    # /dev/stdout is a link.
    is_in_dev = path.parent.resolve() == Path("/dev")
    if stat.S_ISCHR(mode) or stat.S_ISBLK(mode) or is_in_dev:
        raise OSError(errno.EINVAL, "it is a device", str(path))


def sync_folder(folder: Path) -> None:
    """Write the names in the folder to the disk."""
    fd = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def make_folders(folder: Path) -> None:
    """Make the folder and its missing parents with mode 0700: Path.mkdir gives its mode only to the last."""
    if not folder.is_dir():
        if not folder.parent.is_dir():
            make_folders(folder.parent)
        folder.mkdir(mode=0o700, exist_ok=True)


def open_regular(path: Path, flags: int) -> int:
    """Return a descriptor of a regular file, created with mode 0600 if `flags` say so.

    Raises StoreError for a link, pipe, device or folder, which is not opened: a pipe would wait for its other end
    forever. Raises FileNotFoundError if there is no file.
    """
    try:
        fd = os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, 0o600)
    except OSError as exc:
        if exc.errno in (errno.ELOOP, errno.EISDIR, errno.ENXIO):
            raise _not_a_file(path) from exc
        raise
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise _not_a_file(path)
    return fd


def read_limited(path: Path, limit_bytes: int) -> bytes | None:
    """Return a file's content, or None if it is larger. Raises OSError and StoreError (`open_regular`)."""
    with os.fdopen(open_regular(path, os.O_RDONLY), "rb") as opened:
        content = opened.read(limit_bytes + 1)
    return content if len(content) <= limit_bytes else None


def read_given(path: Path, limit_bytes: int) -> bytes:
    """Return the content of a file that a person named, which may be a link or a pipe.

    Raises ConfigError if it cannot be read or is over the limit.
    """
    try:
        # A device or a pipe does not report its size beforehand.
        with path.expanduser().open("rb") as opened:
            content = opened.read(limit_bytes + 1)
    except OSError as exc:
        raise ConfigError(f"cannot read {path}: {exc.strerror or exc}", next_step=_step_for_unread(path, exc)) from exc
    if len(content) > limit_bytes:
        size_bytes = path.stat().st_size if path.is_file() else None
        text = over_limit(str(path), limit_bytes, "byte", size_bytes)
        raise ConfigError(text, next_step="check that it is the right file")
    return content


def _step_for_unread(path: Path, error: OSError) -> str:
    """Return what a person can do about a file that could not be opened."""
    if isinstance(error, PermissionError):
        return "name another, or use the account that owns it"
    if not isinstance(error, FileNotFoundError):
        return "check the path"
    folder = path.expanduser().parent
    try:
        names = sorted(entry.name for entry in folder.iterdir())
    except OSError:
        return f"check the path: the folder {folder} cannot be listed"
    near = get_close_matches(path.name, names, 1)
    if near:
        return f"did you mean {folder / near[0]}?"
    alike = [name for name in names if Path(name).suffix == path.suffix]
    if alike:
        return f"name one that is in {folder}: {', '.join(alike[:_MAX_SHOWN])}"
    return f"check the path: {folder} has no file with this ending"


def read_given_text(path: Path, limit_bytes: int) -> str:
    """Read as `read_given` does, as UTF-8 without a byte order mark."""
    try:
        return read_given(path, limit_bytes).decode("utf-8-sig")
    except UnicodeDecodeError as exc:
        raise ConfigError(f"{path} is not UTF-8 (byte {exc.start + 1})", next_step="save it as UTF-8 (iconv)") from exc


def write_given(path: Path, chunks: Iterable[bytes], *, replace: bool = False, next_step: str = "name another") -> int:
    """Write a file that a person named from its chunks, and return its size. Raises ConfigError as `new_given`."""
    with new_given(path, replace=replace, next_step=next_step) as file:
        return sum(map(file.write, chunks))


@contextmanager
def new_given(path: Path, *, replace: bool = False, next_step: str = "name another") -> Iterator[BinaryIO]:
    """Yield a file for a path that a person named, which takes that path and is on the disk at the end of the block.

    An error in the block leaves the old file and no other. Raises ConfigError for an OSError, and if the path is taken
    unless `replace`.
    """
    try:
        with _building(path, _new_mark(), replace=replace) as file:
            yield file
        sync_folder(path.parent)
    except FileExistsError as exc:
        raise ConfigError(f"{path} exists already", next_step=next_step) from exc
    except OSError as exc:
        raise ConfigError(f"cannot write {path}: {exc.strerror or exc}", next_step=next_step) from exc


def make_private_folder(folder: Path) -> None:
    """Make the folder for its owner only. Raises StoreError if that fails, or if others may enter it."""
    try:
        make_folders(folder)
        status = folder.stat()
    except OSError as exc:
        raise _failed("cannot use", folder, exc) from exc
    if status.st_uid != os.getuid() or stat.S_IMODE(status.st_mode) & 0o077:
        raise StoreError(
            f"{folder} is open to others (mode {stat.S_IMODE(status.st_mode):o}, owner {status.st_uid})",
            next_step=mode_step("make it private: ", "700", folder) or "name a folder of your own",
        )


def write_private(path: Path, content: bytes) -> None:
    """Replace a file with mode 0600, as its only writer. Raises StoreError and leaves the old file then."""
    try:
        replace_file(path, content, only_writer=True)
    except OSError as exc:
        raise _failed("cannot write", path, exc) from exc


def read_private(path: Path) -> bytes | None:
    """Return the file's content, or None if there is no file. Raises StoreError if others could read or change it."""
    try:
        with os.fdopen(open_regular(path, os.O_RDONLY), "rb") as file:
            status = os.fstat(file.fileno())
            if status.st_uid != os.getuid() or status.st_mode & 0o077:
                raise StoreError(
                    f"{path} is not private (mode {stat.S_IMODE(status.st_mode):o}, owner {status.st_uid}): others may "
                    "know its secret",
                    next_step=mode_step("if no one else could read it: ", "600", path) or "name a file of your own",
                )
            content = file.read(MAX_PRIVATE_BYTES + 1)
    except FileNotFoundError:
        return None
    except OSError as exc:
        raise _failed("cannot read", path, exc) from exc
    if len(content) > MAX_PRIVATE_BYTES:
        raise StoreError(f"{path} is larger than {MAX_PRIVATE_BYTES} bytes", next_step="restore it from a backup")
    return content


def mode_step(words: str, mode: str, path: Path) -> str | None:
    """Return the words with the command that gives a file this mode; None where nobody should be told to do that.

    That is for a file of another user, and for what belongs to the operating system, also if root asks.
    """
    try:
        place = path.resolve()
        owner_id = place.stat().st_uid
    except (OSError, RuntimeError):
        return None
    is_of_system = len(place.parts) <= 2 or place.parts[1] in _SYSTEM_FOLDERS
    if owner_id != os.getuid() or is_of_system:
        return None
    return f"{words}chmod {mode} {path}"


def check_given_path(path: Path) -> bool:
    """Return True if the path that a person named exists. Raises ConfigError if its folder cannot be entered."""
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as exc:
        raise ConfigError(f"cannot use {path}: {exc.strerror or exc}", next_step="name another") from exc
    return True


def _not_a_file(path: Path) -> StoreError:
    step = f"move it away: mv {path} {path}.odd"
    return StoreError(f"{path} is not a file, but a link, a pipe, a device or a folder", next_step=step)


def _failed(what: str, path: Path, exc: OSError) -> StoreError:
    if isinstance(exc, PermissionError):
        step = f"use the account that owns {path}, or name another"
    elif exc.errno in (errno.ENOSPC, errno.EDQUOT):
        step = f"make room on the disk of {path.parent}"
    else:
        step = f"check {path} and its disk"
    return StoreError(f"{what} {path}: {exc.strerror or exc}", next_step=step)
