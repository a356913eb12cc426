"""An archive's members, read strictly and in constant memory: plain files below `home/` and nothing else.

Who has a public key can make a file that its owner opens, so that an archive is a stranger's until it is read: links,
devices, ways out of the folder, other owners and sizes beyond what it says of itself are refused.
"""

from __future__ import annotations

import os
import re
import tarfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from microclaw.backup.archive import (
    MAX_FILE_BYTES,
    MAX_FILES,
    STORE,
    is_kept,
    is_odd,
)
from microclaw.backup.contents import BLOCK, HOME, Contents, first_member
from microclaw.backup.errors import BackupDamaged
from microclaw.durable import sync_folder
from microclaw.text import count_text

MAX_PAX_BYTES: Final = 4096
_PAX: Final = re.compile(rb"([1-9][0-9]{0,4}) path=")
_END: Final = bytes(BLOCK)


@dataclass(frozen=True, slots=True)
class Member:
    """A file of the home; `name` is relative to it. `data` must be read before the next member is taken."""

    name: str
    size_bytes: int
    mode: int
    mtime: int
    data: Iterator[bytes] = field(repr=False, compare=False)


@dataclass(slots=True)
class _Pieces:
    """Reads exact numbers of bytes of a stream of chunks."""

    chunks: Iterator[bytes]
    buffer: bytearray = field(default_factory=bytearray)

    def take(self, size_bytes: int) -> bytes:
        """So many bytes, or what is left at the end."""
        while len(self.buffer) < size_bytes and (data := next(self.chunks, None)) is not None:
            self.buffer += data
        taken = bytes(self.buffer[:size_bytes])
        del self.buffer[:size_bytes]
        return taken


def members(chunks: Iterable[bytes]) -> tuple[Contents, Iterator[Member]]:
    """What the backup says of itself, and its files. NotABackup, BackupNewer; BackupDamaged, also from the iterator.

    Only when the iterator has ended is the whole archive read.
    """
    contents, stream = first_member(chunks)
    return contents, _files(contents, _Pieces(stream))


def unpack(files: Iterable[Member], folder: Path) -> None:
    """Write them into an empty folder, for its owner alone and on the disk when this returns. OSError, BackupError."""
    made = {folder}
    for member in files:
        path = folder / member.name
        for parent in reversed(path.relative_to(folder).parents):
            if (place := folder / parent) not in made:
                place.mkdir(mode=0o700)
                made.add(place)
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        with os.fdopen(fd, "wb") as file:
            for data in member.data:
                file.write(data)
            file.flush()
            os.fchmod(file.fileno(), member.mode)
            os.utime(file.fileno(), (member.mtime, member.mtime))
            os.fsync(file.fileno())
    for place in sorted(made, reverse=True):
        sync_folder(place)


def _files(contents: Contents, pieces: _Pieces) -> Iterator[Member]:
    first = _header(pieces.take(BLOCK))
    pieces.take(_padded(first.size))
    names: set[str] = set()
    folders: set[str] = set()
    left = contents.bytes
    while (info := _next(pieces)) is not None:
        member = _member(info, pieces)
        left -= member.size_bytes
        if left < 0 or len(names) >= min(contents.files, MAX_FILES + 1):
            raise BackupDamaged(f"it holds more than it says: {_says(contents)}")
        parents = _parents(member.name)
        if member.name in names or member.name in folders or not names.isdisjoint(parents):
            raise BackupDamaged(f"it holds {member.name[:80]!r} twice")
        names.add(member.name)
        folders.update(parents)
        yield member
        for _ in member.data:  # what was not read
            pass
    if STORE not in names:
        raise BackupDamaged("it holds no store")
    if left or len(names) != contents.files:
        held = f"{count_text(len(names), 'file')} of {contents.bytes - left:,} bytes"
        raise BackupDamaged(f"it holds less than it says: {held}, not {_says(contents)}")
    while rest := pieces.take(1 << 16):
        if rest.strip(b"\0"):
            raise BackupDamaged("something follows its end")


def _says(contents: Contents) -> str:
    return f"{count_text(contents.files, 'file')} of {contents.bytes:,} bytes"


def _next(pieces: _Pieces) -> tarfile.TarInfo | None:
    """The next file's header, with the long name that may stand before it; None at the end."""
    block = pieces.take(BLOCK)
    if block == _END:
        return None
    info = _header(block)
    if info.type != tarfile.XHDTYPE:
        return info
    if not 0 < info.size <= MAX_PAX_BYTES:
        raise BackupDamaged("it holds a name that is too long")
    name = _pax_path(pieces.take(_padded(info.size))[: info.size])
    info = _header(pieces.take(BLOCK))
    info.name = name
    return info


def _member(info: tarfile.TarInfo, pieces: _Pieces) -> Member:
    name = info.name.removeprefix(f"{HOME}/")
    is_sound = info.name.startswith(f"{HOME}/") and not is_odd(name) and (name == STORE or is_kept(name))
    if info.type != tarfile.REGTYPE or not is_sound:
        raise BackupDamaged(f"it holds {info.name[:80]!r}, which no backup holds")
    if (info.uid, info.gid, info.uname, info.gname) != (0, 0, "", ""):
        raise BackupDamaged(f"{info.name[:80]!r} in it belongs to somebody")
    if info.mode not in (0o600, 0o700) or not 0 <= info.size < MAX_FILE_BYTES or not 0 <= info.mtime < 1 << 40:
        raise BackupDamaged(f"{info.name[:80]!r} in it has a mode, size or time that no backup has")
    return Member(name, info.size, info.mode, int(info.mtime), _data(info.size, pieces))


def _data(size_bytes: int, pieces: _Pieces) -> Iterator[bytes]:
    left = size_bytes
    while left:
        data = pieces.take(min(left, 1 << 16))
        if not data:
            raise BackupDamaged("it ends within a file")
        left -= len(data)
        yield data
    if len(pieces.take(_padded(size_bytes) - size_bytes)) != _padded(size_bytes) - size_bytes:
        raise BackupDamaged("it ends within a file")


def _header(block: bytes) -> tarfile.TarInfo:
    try:
        return tarfile.TarInfo.frombuf(block, "utf-8", "strict")
    except (tarfile.TarError, ValueError) as exc:
        raise BackupDamaged("its archive is broken or ends too early") from exc


def _pax_path(records: bytes) -> str:
    """The name in the records of a pax header: `LENGTH path=NAME`; ours hold nothing else."""
    found = _PAX.match(records)
    if found is None or int(found[1]) != len(records) or not records.endswith(b"\n"):
        raise BackupDamaged("it holds a long name that is broken")
    try:
        return records[found.end() : -1].decode()
    except UnicodeDecodeError as exc:
        raise BackupDamaged("it holds a long name that is broken") from exc


def _padded(size_bytes: int) -> int:
    return size_bytes + -size_bytes % BLOCK


def _parents(name: str) -> list[str]:
    parts = name.split("/")
    return ["/".join(parts[:count]) for count in range(1, len(parts))]
