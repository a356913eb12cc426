"""The security log's files: lines are added whole and synced, files are rotated by size, read and followed.

Two sets of files in one folder (mode 0700, files 0600): `acts` is what people of this host did, `attempts` what came
from outside, so that nothing from there pushes an act out. Each set is a chain: a line holds the SHA-256 of the line
before it, without a key (docs/audit.md says what that cannot tell). Several processes may write: each holds the
folder's lock meanwhile, and remembers nothing.
"""

from __future__ import annotations

import fcntl
import heapq
import os
import time
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from hashlib import sha256
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, Final, TypeVar

import msgspec
from msgspec import Struct, field
from msgspec.structs import replace

from microclaw.audit.event import AuditEvent, RecordedEvent, fields_of, line_of, parse_line
from microclaw.durable import make_private_folder, open_regular, read_limited, replace_file, sync_folder

FOLDER: Final = "audit"  # in the host's home
STEMS: Final = ("attempts", "acts")  # by `AuditEvent.is_act`
BEGUN: Final = "audit.begun"  # beside the folder, so that a folder that is gone is told
FILE_BYTES: Final = 1 << 20
FILES: Final = 48  # of each set: 96 MiB in all
MAX_HEAD_BYTES: Final = 4096
_T = TypeVar("_T")
Natural = Annotated[int, msgspec.Meta(ge=0)]
Hash = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{64}\Z")]


class Link(Struct, frozen=True):
    """A line of the chain: its number, from 1 on, and the SHA-256 of its bytes without the line end."""

    n: Natural
    hash: Hash


START: Final = Link(0, "0" * 64)  # what the first line names


class Head(Struct, frozen=True):
    """The last line of a set of files, the newest file's size with it, and the last line that was rotated away."""

    last: Link
    file_bytes: Natural
    anchor: Link = START


def seal(lines: Iterable[bytes], last: Link) -> tuple[bytes, Link]:
    """The lines with their places after `last`, and the last of them. Each is a JSON object and a line end."""
    sealed = bytearray()
    for line in lines:
        whole = b'%b,"n":%d,"prev":"%b"}' % (line.rstrip(b"\n")[:-1], last.n + 1, last.hash.encode())
        last = Link(last.n + 1, hash_of(whole))
        sealed += whole + b"\n"
    return bytes(sealed), last


def hash_of(line: bytes) -> str:
    """The SHA-256 of a line without its line end."""
    return sha256(line).hexdigest()


def named_by(fields: dict[str, Any] | None) -> Link | None:
    """The line before, as a line names it; None for a line without a place in the chain."""
    n = (fields or {}).get("n")
    prev = (fields or {}).get("prev")
    if type(n) is int and n > 0 and isinstance(prev, str):
        return Link(n - 1, prev)
    return None


def end_of(data: bytes, last: Link, *, anywhere: bool = False) -> Link:
    """The end of the chain in lines that follow `last`, or wherever it began.

    Where lines are missing it stays at `last`, so that `audit verify` names them.
    """
    for line in data.split(b"\n"):
        before = named_by(fields_of(line))
        if before is not None and (anywhere or before == last):
            last = Link(before.n + 1, hash_of(line))
    return last


def append_events(home: Path, events: Collection[AuditEvent]) -> None:
    """Add their lines, on the disk when this returns; OSError or StoreError. For a process that is not the host."""
    at_ms = time.time_ns() // 1_000_000
    for stem in STEMS:
        lines = [line_of(event, at_ms) for event in events if STEMS[event.is_act] == stem]
        if lines:
            append_lines(home / FOLDER, stem, lines)


def append_lines(folder: Path, stem: str, lines: Sequence[bytes]) -> None:
    """Add lines of `line_of` to a set's chain. OSError leaves its file as it was, StoreError is for an open folder."""
    make_private_folder(folder)
    with locked(folder):
        path = set_paths(folder, stem)[-1]
        kept = read_head(folder, stem)
        begun = begun_sets(folder)
        size = path.stat().st_size if path.exists() else 0
        if kept is None:
            head = Head(START, 0)
        else:
            head = kept
        rest = _content(path, max(0, min(head.file_bytes, size) - 1))  # from the last line end that the head knows
        last = end_of(rest, head.last, anywhere=kept is None)  # a power cut may have taken the last lines' head
        is_torn = rest[-1:] not in (b"", b"\n")
        data, end = seal(lines, last)
        if size and size + len(data) > FILE_BYTES:
            head = _rotate(folder, stem, Head(last, size, head.anchor))
            size = 0
            is_torn = False
        if kept is None and stem in begun and not last.n:
            _keep(folder.with_name(BEGUN), begun | {stem: True})
        data = b"\n" * is_torn + data
        _write(path, data, size)
        if not size:
            sync_folder(folder)
        with suppress(OSError):  # the lines are written: the next ones find their end behind an older head, too
            _keep(folder / f"{stem}.head", Head(end, size + len(data), head.anchor), sync_name=False)
            if stem not in begun:
                _keep(folder.with_name(BEGUN), begun | {stem: False})


def read_events(home: Path, *, since_ms: int = 0, kinds: Collection[str] = ()) -> Iterator[RecordedEvent]:
    """The events from `since_ms` on, oldest first. A kind is one's name or its group ("token"). Blocking.

    Lines that are none (torn by a power cut, written by a later version) are left out. OSError or StoreError.
    """
    sets = ((parse_line(line) for _, _, line in lines_of_set(home / FOLDER, stem)) for stem in STEMS)
    for found in heapq.merge(*(filter(None, events) for events in sets), key=lambda one: one.at_ms):
        if found.is_wanted(since_ms, kinds):
            yield found


def followed_events(home: Path) -> Iterator[list[RecordedEvent]]:
    """The events that are there, then at each step those added since, also across rotations. As `read_events`."""
    read: dict[int, int] = {}  # inode: how far it is read
    while True:
        lines: list[bytes] = []
        for path in (path for stem in STEMS for path in set_paths(home / FOLDER, stem)):
            with suppress(FileNotFoundError), os.fdopen(open_regular(path, os.O_RDONLY), "rb") as file:
                status = os.fstat(file.fileno())
                start = read.get(status.st_ino, 0)
                start = start if start <= status.st_size else 0  # a new file that has a removed one's inode
                file.seek(start)
                data = file.read()
                end = data.rfind(b"\n") + 1
                read[status.st_ino] = start + end
                lines += data[:end].split(b"\n")
        yield sorted(filter(None, map(parse_line, lines)), key=lambda one: one.at_ms)


class Break(Struct, frozen=True):
    """`what`: changed, removed, inserted, cut or head. `line` (from 1 on) of `file` is where it shows."""

    what: str
    text: str
    file: str
    line: int


class ChainReport(Struct):
    """One set of files. `torn`: file and number of lines without an event. `found`: noted hashes that a line has."""

    stem: str
    anchor: Link
    last: Link = START
    lines: int = 0
    torn: list[tuple[str, int]] = field(default_factory=list)
    breaks: list[Break] = field(default_factory=list)
    found: set[str] = field(default_factory=set)

    @property
    def whole(self) -> bool:
        return not self.breaks


def verify_chains(home: Path, noted: Collection[str] = ()) -> list[ChainReport]:
    """Follow each set's chain; `noted` are hashes to look for. Writers wait meanwhile. OSError or StoreError."""
    folder = home / FOLDER
    with locked(folder) if folder.is_dir() else nullcontext():
        begun = begun_sets(folder)
        sets = [(stem, lines_of_set(folder, stem), read_head(folder, stem)) for stem in STEMS]
        return [follow(stem, lines, head, noted, begun.get(stem)) for stem, lines, head in sets]


def follow(
    stem: str,
    lines: Iterable[tuple[str, int, bytes]],
    head: Head | None,
    noted: Collection[str] = (),
    begun_again: bool | None = None,
) -> ChainReport:
    """A set's lines, each with its file and number, oldest first. `begun_again` is None where no chain began."""
    report = ChainReport(stem, START if head is None else head.anchor)
    anchor = report.anchor
    place = (f"{stem}.jsonl", 0)

    def broken(what: str, text: str) -> None:
        report.breaks.append(Break(what, text, *place))

    for file, number, line in lines:
        place = (file, number)
        fields = fields_of(line)
        if fields is None:
            report.torn.append(place)
            continue
        named = named_by(fields)
        before = report.last if report.lines else anchor
        if named is None:
            n = 0
        else:
            n = named.n + 1
        # A power cut between keeping the anchor and removing the oldest file leaves lines before the anchor.
        if named is None or (n <= before.n and report.lines):
            broken("inserted", f"line {n or 'without a place'} comes after line {before.n}")
            continue
        if n > before.n + 1:
            broken("removed", f"lines {before.n + 1} to {n - 1} are missing before it")
        elif n > before.n and named != before:
            broken("changed", f"line {before.n} is not the one that line {n} names")
        report.last = Link(n, hash_of(line))
        report.lines = report.lines + 1
        if head is not None and any(kept.n == n and kept != report.last for kept in (head.last, anchor)):
            broken("changed", f"line {n} is not the one that the kept head names")
        report.found |= {report.last.hash} & set(noted)
    if begun_again is not None and not report.lines:
        broken("cut", f"a chain began here and is gone ({BEGUN})")
    elif begun_again:
        broken("cut", f"the chain before was lost; if you removed it: rm {BEGUN}")
    if head is None and report.lines:
        broken("head", "the kept head is missing or unreadable")
    elif head is not None and head.last.n > report.last.n:
        broken("cut", f"lines {max(report.last.n, anchor.n) + 1} to {head.last.n} are missing at the end")
    return report


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
    return [*(folder / f"{stem}.{number}.jsonl" for number in range(FILES - 1, 0, -1)), folder / f"{stem}.jsonl"]


def lines_of_set(folder: Path, stem: str) -> Iterator[tuple[str, int, bytes]]:
    """Each line with its file and number, the oldest first; an empty one, too. OSError or StoreError."""
    for path in set_paths(folder, stem):
        data = _content(path)
        for number, line in enumerate(data.removesuffix(b"\n").split(b"\n") if data else (), 1):
            yield path.name, number, line


def read_head(folder: Path, stem: str) -> Head | None:
    """The kept head; None when there is none or it cannot be understood. OSError or StoreError."""
    return _kept(folder / f"{stem}.head", Head)


def begun_sets(folder: Path) -> dict[str, bool]:
    """The sets whose chain began here, and whether one began again where another was. OSError or StoreError."""
    return _kept(folder.with_name(BEGUN), dict[str, bool]) or {}


def _kept(path: Path, form: type[_T]) -> _T | None:
    try:
        return msgspec.json.decode(read_limited(path, MAX_HEAD_BYTES) or b"", type=form)
    except (FileNotFoundError, msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def _content(path: Path, start: int = 0) -> bytes:
    try:
        with os.fdopen(open_regular(path, os.O_RDONLY), "rb") as file:
            file.seek(start)
            return file.read()
    except FileNotFoundError:
        return b""


def _write(path: Path, data: bytes, size: int) -> None:
    """All of it, on the disk, or the file as it was: a full disk must leave no half line."""
    with os.fdopen(open_regular(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT), "ab", buffering=0) as file:
        try:
            while data:
                data = data[file.write(data) :]
            os.fsync(file.fileno())
        except OSError:
            file.truncate(size)
            raise


def _rotate(folder: Path, stem: str, head: Head) -> Head:
    """Make room for a new file. The anchor, the last line of what goes, is kept before it goes."""
    paths = set_paths(folder, stem)
    kept = folder / f"{stem}.head"
    head = replace(head, anchor=end_of(_content(paths[0]), head.anchor, anywhere=True))
    _keep(kept, head)
    paths[0].unlink(missing_ok=True)
    for older, newer in pairwise(paths):
        if newer.exists():
            newer.rename(older)
    _keep(kept, replace(head, file_bytes=0))  # else a power cut would hide the new file's first lines
    return head


def _keep(path: Path, value: Head | dict[str, bool], *, sync_name: bool = True) -> None:
    replace_file(path, msgspec.json.encode(value) + b"\n", only_writer=True, sync_name=sync_name)
