"""The security log's files: lines are added whole and synced, files are rotated by size, read and followed.

Two sets of files in one folder (mode 0700, files 0600): `acts` is what people of this host did, `attempts` what came
from outside. Several processes may write: each holds the folder's lock meanwhile. Each set is a chain (chain.py).
"""

from __future__ import annotations

import fcntl
import heapq
import json
import os
import stat
import time
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

from microclaw.audit.chain import (
    START,
    Head,
    Link,
    last_link,
    read_head,
    resume,
    seal,
    write_head,
)
from microclaw.audit.event import ALARMS, SETTLED_BY, AuditEvent, AuditKind, line_of
from microclaw.durable import make_private_folder, open_regular, replace_file, sync_folder
from microclaw.errors import StoreError

FOLDER: Final = "audit"  # in the host's home
ACTS_STEM: Final = "acts"
ATTEMPTS_STEM: Final = "attempts"
STEMS: Final = (ATTEMPTS_STEM, ACTS_STEM)
FILE_BYTES: Final = 1 << 20
FILES: Final = 48  # of each set: 96 MiB in all
ALARM_MS: Final = 7 * 86_400_000
MAX_ALARMS: Final = 8
MAX_BEGUN_BYTES: Final = 4096
_KINDS: Final = {kind.value: kind for kind in AuditKind}


@dataclass(frozen=True, slots=True)
class RecordedEvent:
    """An event and when it happened (Unix time)."""

    at_ms: int
    event: AuditEvent


def append_events(home: Path, events: Iterable[AuditEvent]) -> None:
    """Add their lines, on the disk when this returns; OSError or StoreError. For a process that is not the host."""
    at_ms = time.time_ns() // 1_000_000
    lines: dict[str, list[bytes]] = {}
    for event in events:
        lines.setdefault(stem_of(event), []).append(line_of(event, at_ms))
    append_lines(home / FOLDER, lines)


def stem_of(event: AuditEvent) -> str:
    """Which set of files has the event's line."""
    return ACTS_STEM if event.is_act else ATTEMPTS_STEM


def append_lines(folder: Path, lines: Mapping[str, Sequence[bytes]]) -> None:
    """Add lines of `line_of` to the chain of each set named.

    OSError leaves a set's file as it was, StoreError is for an open folder.
    """
    make_private_folder(folder)
    with locked(folder):
        for stem, added in lines.items():
            _append(folder, stem, added)


def read_events(home: Path, *, since_ms: int = 0, kinds: Collection[str] = ()) -> Iterator[RecordedEvent]:
    """The events from `since_ms` on, oldest first. A kind is one's name or its group ("token"). Blocking.

    Lines that are none (torn by a power cut, written by a later version) are left out. OSError or StoreError.
    """
    folder = home / FOLDER
    check_folder(folder)
    for found in heapq.merge(*(_read_set(folder, stem) for stem in STEMS), key=lambda one: one.at_ms):
        if found.at_ms >= since_ms and is_wanted(found.event.kind, kinds):
            yield found


def is_wanted(kind: AuditKind, kinds: Collection[str]) -> bool:
    """Whether one of the names is this kind or its group; every kind is wanted where none is named."""
    return not kinds or kind.value in kinds or kind.value.partition(".")[0] in kinds


def open_alarms(events: Iterable[RecordedEvent], now_ms: int) -> tuple[RecordedEvent, ...]:
    """The newest alarm of each device of the last week, unless it was paired again or revoked since."""
    newest: dict[str, RecordedEvent] = {}
    for found in events:
        about = found.event.about or ""
        if found.event.kind in SETTLED_BY:
            newest.pop(about, None)
        elif found.event.kind in ALARMS and now_ms - found.at_ms < ALARM_MS:
            newest[about] = found
    return tuple(sorted(newest.values(), key=lambda found: found.at_ms))[-MAX_ALARMS:]


def alarm_text(alarm: RecordedEvent, device: str) -> tuple[str, str]:
    """What happened, and what to do."""
    at = datetime.fromtimestamp(alarm.at_ms / 1000).astimezone()
    text = (
        f"{device}: a token that it no longer uses was shown from {alarm.event.address or 'somewhere'} "
        f"({at:%Y-%m-%d %H:%M}); it opened nothing"
    )
    hint = f"was it the board itself, restored or reset? Else end what it has: microclaw device revoke {device}"
    return text, f"{hint}, and pair it again"


class Followed:
    """The lines that are there, then those that are added, also across rotations. `new` is asked again and again."""

    def __init__(self, home: Path) -> None:
        self._folder = home / FOLDER
        self._read: dict[int, int] = {}  # inode: how far it is read

    def new(self) -> tuple[RecordedEvent, ...]:
        """What was added since the last call, at first all; oldest first. Blocking. OSError or StoreError."""
        check_folder(self._folder)
        found: list[RecordedEvent] = []
        for stem in STEMS:
            for path in set_paths(self._folder, stem):
                found += self._rest(path)
        return tuple(sorted(found, key=lambda one: one.at_ms))

    def _rest(self, path: Path) -> list[RecordedEvent]:
        try:
            with os.fdopen(open_regular(path, os.O_RDONLY), "rb") as file:
                status = os.fstat(file.fileno())
                start = min(self._read.get(status.st_ino, 0), status.st_size)
                file.seek(start)
                data = file.read()
        except FileNotFoundError:
            return []
        end = data.rfind(b"\n") + 1
        self._read[status.st_ino] = start + end
        return [one for line in data[:end].splitlines() if (one := parse_line(line)) is not None]


def check_folder(folder: Path) -> bool:
    """Whether there is one; StoreError for something else in its place. None at all is a log without a line."""
    try:
        kind = folder.lstat().st_mode
    except FileNotFoundError:
        return False
    if not stat.S_ISDIR(kind):
        raise StoreError(f"the security log {folder} is no folder", next_step="move away what is there")
    return True


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the folder's lock, which ends with the process: nothing is added or rotated meanwhile. Blocking."""
    fd = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield
    finally:
        os.close(fd)


def set_paths(folder: Path, stem: str) -> list[Path]:
    """A set's files, the oldest first."""
    return [_path(folder, stem, number) for number in range(FILES - 1, -1, -1)]


def head_path(folder: Path, stem: str) -> Path:
    """Where a set's head is kept. In a folder's listing it comes before the newest file (backup)."""
    return folder / f"{stem}.head"


def begun_path(folder: Path) -> Path:
    """Which sets have a chain: beside the folder, so that a folder that is gone is told."""
    return folder.with_name(f"{folder.name}.begun")


def begun_sets(folder: Path) -> dict[str, bool]:
    """The sets whose chain began here, and whether one began again where another was. OSError or StoreError."""
    try:
        with os.fdopen(open_regular(begun_path(folder), os.O_RDONLY), "rb") as file:
            found = json.loads(file.read(MAX_BEGUN_BYTES))
    except (FileNotFoundError, ValueError, RecursionError):
        return {}
    return {stem: found[stem] is True for stem in STEMS if stem in found} if isinstance(found, dict) else {}


def _keep_begun(folder: Path, begun: Mapping[str, bool]) -> None:
    replace_file(begun_path(folder), json.dumps(begun).encode() + b"\n", only_writer=True)


def lines_of_set(folder: Path, stem: str) -> Iterator[tuple[str, int, bytes]]:
    """Each line with its file and number, the oldest first; an empty one, too. OSError or StoreError."""
    for path in set_paths(folder, stem):
        try:
            with os.fdopen(open_regular(path, os.O_RDONLY), "rb") as file:
                data = file.read()
        except FileNotFoundError:
            continue
        for number, line in enumerate(data.removesuffix(b"\n").split(b"\n") if data else (), 1):
            yield path.name, number, line


def _append(folder: Path, stem: str, lines: Sequence[bytes]) -> None:
    path, kept = _path(folder, stem, 0), head_path(folder, stem)
    head = read_head(kept)
    last, size, torn = _end(path, head)
    data, end = seal(lines, last)
    anchor = START if head is None else head.anchor
    if size and size + len(data) > FILE_BYTES:
        anchor = _rotate(folder, stem, Head(last, size, anchor))
        size, torn = 0, False
    begun = begun_sets(folder)
    if stem in begun and head is None and not last.n:
        _keep_begun(folder, {**begun, stem: True})
    data = (b"\n" if torn else b"") + data
    fd = open_regular(path, os.O_RDWR | os.O_APPEND | os.O_CREAT)
    try:
        _write_all(fd, data, size)
        os.fsync(fd)
    finally:
        os.close(fd)
    if not size:
        sync_folder(folder)
    with suppress(OSError):  # the lines are written: the next ones find their end without it
        write_head(kept, Head(end, size + len(data), anchor))
        if stem not in begun:
            _keep_begun(folder, {**begun, stem: False})


def _end(path: Path, head: Head | None) -> tuple[Link, int, bool]:
    """After which line the newest file goes on, its size, and whether it ends within a line."""
    try:
        with os.fdopen(open_regular(path, os.O_RDONLY), "rb") as file:
            size = os.fstat(file.fileno()).st_size
            if head is not None and size == head.file_bytes:
                return head.last, size, False
            content = file.read()
    except FileNotFoundError:
        content = b""
    return resume(content, head), len(content), content[-1:] not in (b"", b"\n")


def _write_all(fd: int, data: bytes, size: int) -> None:
    """All of it, or the file as it was: a full disk must leave no half line."""
    try:
        while data:
            data = data[os.write(fd, data) :]
    except OSError:
        os.ftruncate(fd, size)
        raise


def _rotate(folder: Path, stem: str, head: Head) -> Link:
    """Make room for a new file; the anchor from now on: the last line of what is gone, kept before it goes."""
    kept, oldest, anchor = head_path(folder, stem), _path(folder, stem, FILES - 1), head.anchor
    with suppress(FileNotFoundError), os.fdopen(open_regular(oldest, os.O_RDONLY), "rb") as file:
        anchor = last_link(file.read()) or anchor
    write_head(kept, Head(head.last, head.file_bytes, anchor))
    oldest.unlink(missing_ok=True)
    for number in range(FILES - 2, -1, -1):
        path = _path(folder, stem, number)
        if path.exists():
            path.rename(_path(folder, stem, number + 1))
    write_head(kept, Head(head.last, 0, anchor))
    return anchor


def _read_set(folder: Path, stem: str) -> Iterator[RecordedEvent]:
    for path in set_paths(folder, stem):
        try:
            with os.fdopen(open_regular(path, os.O_RDONLY), "rb") as file:
                data = file.read()
        except FileNotFoundError:  # rotated away meanwhile
            continue
        for line in data.splitlines():
            if (found := parse_line(line)) is not None:
                yield found


def _path(folder: Path, stem: str, number: int) -> Path:
    return folder / (f"{stem}.{number}.jsonl" if number else f"{stem}.jsonl")


def parse_line(line: bytes) -> RecordedEvent | None:
    """The event of a line; None for a line that is none."""
    try:
        value = json.loads(line)
        at_ms = round(datetime.fromisoformat(value["at"]).timestamp() * 1000)
        kind, text = _KINDS[value["kind"]], str(value["text"])
    except (ValueError, TypeError, KeyError, RecursionError):
        return None
    address, about, by, approval = (
        str(value[name]) if name in value else None for name in ("address", "about", "by", "approval")
    )
    count = value.get("count", 1)
    count = count if isinstance(count, int) else 1
    return RecordedEvent(at_ms, AuditEvent(kind, text, address, about, by, count, approval=approval))
