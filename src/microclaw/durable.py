"""Files written whole or not at all, and private ones read only when they are private. Knows nothing of what they hold.

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
from pathlib import Path
from typing import BinaryIO, Final

from microclaw.errors import ConfigError, StoreError, over_limit

MAX_PRIVATE_BYTES: Final = 256 * 1024


def replace_file(
    path: Path,
    content: bytes,
    *,
    mode: int | None = 0o600,
    only_writer: bool = False,
    sync: bool = True,
    sync_name: bool = True,
) -> None:
    """Put `content` at `path`, on the disk when this returns; OSError leaves what was there, and a device.

    `mode` None keeps the mode of the file that is there. With `only_writer` the new file is built under one name,
    so that the next write removes what a crash left there; else several may write at once. Without `sync` the change
    is whole, too, for those who read it, but not for a power cut. Without `sync_name` a power cut may bring the former
    content back.
    """
    if mode is None:
        if path.exists():
            mode = stat.S_IMODE(path.stat().st_mode)
        else:
            mode = 0o600
    with _building(path, "" if only_writer else f".{secrets.token_hex(4)}", sync=sync) as file:
        file.write(content)
        os.fchmod(file.fileno(), mode)
    if sync and sync_name:
        sync_folder(path.parent)


def write_chunks(path: Path, chunks: Iterable[bytes], *, replace: bool) -> int:
    """Put a large file at `path` as it comes, on the disk when this returns; its size. OSError and what `chunks` raise
    leave what was there, and nothing beside it; FileExistsError unless `replace`.
    """
    with _building(path, f".{secrets.token_hex(4)}", replace=replace) as file:
        size_bytes = sum(map(file.write, chunks))
    sync_folder(path.parent)
    return size_bytes


@contextmanager
def _building(path: Path, mark: str, *, sync: bool = True, replace: bool = True) -> Iterator[BinaryIO]:
    """The new file, beside `path` until the end of the block puts it there; an error leaves nothing of it."""
    _check_no_device(path)
    building = path.with_name(f".{path.name}{mark}.new" if mark else f"{path.name}.new")
    if not mark:
        building.unlink(missing_ok=True)
    _check_free(path, replace=replace)
    fd = os.open(building, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(fd, "wb") as file:
            yield file
            file.flush()
            if sync:
                os.fsync(file.fileno())
        _check_free(path, replace=replace)  # made meanwhile? a link would be surer, and memory sticks have none
        building.rename(path)
    except BaseException:
        building.unlink(missing_ok=True)
        raise


def _check_free(path: Path, *, replace: bool) -> None:
    if not replace and path.exists():
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(path))


def _check_no_device(path: Path) -> None:
    """Renaming over /dev/null, as root, would take it away from the whole machine."""
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        return
    if stat.S_ISCHR(mode) or stat.S_ISBLK(mode) or path.parent.resolve() == Path("/dev"):  # stdout is a link
        raise OSError(errno.EINVAL, "it is a device", str(path))


def sync_folder(folder: Path) -> None:
    """Put on the disk what was made, renamed or removed in the folder."""
    fd = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def make_folders(folder: Path) -> None:
    """Make the folder and what is missing above it, all with mode 0700: Path.mkdir gives its mode to the last alone."""
    if not folder.is_dir():
        if not folder.parent.is_dir():
            make_folders(folder.parent)
        folder.mkdir(mode=0o700, exist_ok=True)


def open_regular(path: Path, flags: int) -> int:
    """A descriptor of a regular file, made with mode 0600; StoreError for a link, pipe, device or folder, unopened.

    A pipe would wait for its other end forever. FileNotFoundError where there is none and `flags` make none.
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
    """A file's content; None where it has more bytes than that. Raises OSError, StoreError (`open_regular`)."""
    with os.fdopen(open_regular(path, os.O_RDONLY), "rb") as opened:
        content = opened.read(limit_bytes + 1)
    return content if len(content) <= limit_bytes else None


def read_given(path: Path, limit_bytes: int) -> bytes:
    """The content of a file that a person named, which may be a link or a pipe. ConfigError without it or over the
    limit.
    """
    try:
        with path.expanduser().open("rb") as opened:  # a device or a pipe tells no size beforehand
            content = opened.read(limit_bytes + 1)
    except OSError as exc:
        raise ConfigError(f"cannot read {path}: {exc.strerror or exc}", next_step="check the path") from exc
    if len(content) > limit_bytes:
        text = over_limit(str(path), limit_bytes, "byte", path.stat().st_size if path.is_file() else None)
        raise ConfigError(text, next_step="check that it is the right file")
    return content


def read_given_text(path: Path, limit_bytes: int) -> str:
    """`read_given` as UTF-8, without the mark that some editors put before it."""
    try:
        return read_given(path, limit_bytes).decode("utf-8-sig")
    except UnicodeDecodeError as exc:
        raise ConfigError(f"{path} is not UTF-8 (byte {exc.start + 1})", next_step="save it as UTF-8 (iconv)") from exc


def write_given(path: Path, chunks: Iterable[bytes], *, replace: bool = False, next_step: str = "name another") -> int:
    """`write_chunks` of a file that a person named. Raises ConfigError."""
    try:
        return write_chunks(path, chunks, replace=replace)
    except FileExistsError as exc:
        raise ConfigError(f"{path} is there already", next_step=next_step) from exc
    except OSError as exc:
        raise ConfigError(f"cannot write {path}: {exc.strerror or exc}", next_step=next_step) from exc


def make_private_folder(folder: Path) -> None:
    """Make the folder, for its owner alone; StoreError when it cannot be, or others may enter it."""
    try:
        make_folders(folder)
        found = folder.stat()
    except OSError as exc:
        raise _failed("cannot use", folder, exc) from exc
    if found.st_uid != os.getuid() or stat.S_IMODE(found.st_mode) & 0o077:
        raise StoreError(
            f"{folder} is open to others (mode {stat.S_IMODE(found.st_mode):o}, owner {found.st_uid})",
            next_step=f"make it yours alone: chmod 700 {folder}",
        )


def write_private(path: Path, content: bytes) -> None:
    """`replace_file` with mode 0600 for the only writer; StoreError leaves what was there."""
    try:
        replace_file(path, content, only_writer=True)
    except OSError as exc:
        raise _failed("cannot write", path, exc) from exc


def read_private(path: Path) -> bytes | None:
    """The file's content, None when there is none; StoreError when others could read or change it."""
    try:
        with os.fdopen(open_regular(path, os.O_RDONLY), "rb") as file:
            found = os.fstat(file.fileno())
            if found.st_uid != os.getuid() or found.st_mode & 0o077:
                raise StoreError(
                    f"{path} is not a private file (mode {stat.S_IMODE(found.st_mode):o}, owner {found.st_uid}): its "
                    "secret may be known to others",
                    next_step=f"find out who could read it; if nobody did: chmod 600 {path}",
                )
            content = file.read(MAX_PRIVATE_BYTES + 1)
    except FileNotFoundError:
        return None
    except OSError as exc:
        raise _failed("cannot read", path, exc) from exc
    if len(content) > MAX_PRIVATE_BYTES:
        raise StoreError(f"{path} is larger than {MAX_PRIVATE_BYTES} bytes", next_step="restore it from a backup")
    return content


def _not_a_file(path: Path) -> StoreError:
    step = f"move it away: mv {path} {path}.odd"
    return StoreError(f"{path} is a link, a pipe, a device or a folder, and not a file", next_step=step)


def _failed(what: str, path: Path, exc: OSError) -> StoreError:
    return StoreError(
        f"{what} {path}: {exc.strerror or exc}",
        next_step="check the folder's owner, permissions and free space, then start the host again",
    )
