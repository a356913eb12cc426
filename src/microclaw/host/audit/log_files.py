"""The security log's files: lines are added whole and synced; files are rotated by size, read and followed.

Two sets of files are in one folder (mode 0700, files 0600): `acts` has the acts of this host's people, `attempts` the
events from outside, so that these push no act out. Each set is a chain: a line has the SHA-256 of the line before it,
without a key (docs/audit.md says what that cannot detect). Several processes may write: each holds the folder's lock
meanwhile, and remembers nothing.
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

from microclaw.conversion import decode_json
from microclaw.durable import make_private_folder, open_regular, read_limited, replace_file, sync_folder
from microclaw.host.audit.event import AuditEvent, RecordedEvent, fields_of, line_of, parse_line

# In the host's home.
FOLDER: Final = "audit"
# Indexed by `AuditEvent.is_act`.
STEMS: Final = ("attempts", "acts")
# Beside the folder, so that the loss of the folder is noticed.
BEGUN: Final = "audit.begun"
FILE_BYTES: Final = 1 << 20
# Of each set: 96 MiB in all.
FILES: Final = 48
MAX_HEAD_BYTES: Final = 4096
_T = TypeVar("_T")
Natural = Annotated[int, msgspec.Meta(ge=0)]
Hash = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{64}\Z")]


class ChainLink(Struct, frozen=True):
    """A line of the chain: its number, from 1 on, and the SHA-256 of its bytes without the line end."""

    n: Natural
    hash: Hash


# The first line names this as the line before it.
START: Final = ChainLink(0, "0" * 64)


class ChainHead(Struct, frozen=True):
    """The end of a set of files: its last line, its newest file's size, and the last line rotated away."""

    last: ChainLink
    file_bytes: Natural
    anchor: ChainLink = START


def seal(lines: Iterable[bytes], last: ChainLink) -> tuple[bytes, ChainLink]:
    """Return the lines with their places after `last`, and the last of them. Each is a JSON object and a line end."""
    sealed = bytearray()
    for line in lines:
        sealed_line = b'%b,"n":%d,"prev":"%b"}' % (line.rstrip(b"\n")[:-1], last.n + 1, last.hash.encode())
        last = ChainLink(last.n + 1, hash_of(sealed_line))
        sealed += sealed_line + b"\n"
    return bytes(sealed), last


def hash_of(line: bytes) -> str:
    """Return the SHA-256 of a line without its line end."""
    return sha256(line).hexdigest()


def previous_link(fields: dict[str, Any] | None) -> ChainLink | None:
    """Return the line before, as a line names it; None for a line without a place in the chain."""
    if fields is None:
        return None
    n = fields.get("n")
    prev = fields.get("prev")
    if type(n) is int and n > 0 and isinstance(prev, str):
        return ChainLink(n - 1, prev)
    return None


def find_end(data: bytes, last: ChainLink, *, anywhere: bool = False) -> ChainLink:
    """Return the end of the chain in lines that follow `last`, or, with `anywhere`, of any chain.

    If lines are missing the end stays at `last`, so that `audit verify` names them.
    """
    for line in data.split(b"\n"):
        before = previous_link(fields_of(line))
        if before is not None and (anywhere or before == last):
            last = ChainLink(before.n + 1, hash_of(line))
    return last


def append_events(home: Path, events: Collection[AuditEvent]) -> None:
    """Add events, on the disk when this returns, for a process that is not the host. Raises OSError or StoreError."""
    at_ms = time.time_ns() // 1_000_000
    for stem in STEMS:
        lines = [line_of(event, at_ms) for event in events if STEMS[event.is_act] == stem]
        if lines:
            append_lines(home / FOLDER, stem, lines)


def append_lines(folder: Path, stem: str, lines: Sequence[bytes]) -> None:
    """Add lines of `line_of` to a set's chain.

    OSError leaves the set's file as it was. Raises StoreError if others may write to the folder.
    """
    make_private_folder(folder)
    with locked(folder):
        path = set_paths(folder, stem)[-1]
        stored_head = read_head(folder, stem)
        begun = begun_sets(folder)
        size = path.stat().st_size if path.exists() else 0
        head = ChainHead(START, 0) if stored_head is None else stored_head
        # Read from the last line end that the head knows: a power cut may have taken the last lines' head.
        rest = _content(path, max(0, min(head.file_bytes, size) - 1))
        last = find_end(rest, head.last, anywhere=stored_head is None)
        is_torn = rest[-1:] not in (b"", b"\n")
        data, end = seal(lines, last)
        if size and size + len(data) > FILE_BYTES:
            head = _rotate(folder, stem, ChainHead(last, size, head.anchor))
            size = 0
            is_torn = False
        begins_again = stored_head is None and stem in begun and not last.n
        if begins_again:
            _keep(folder.with_name(BEGUN), begun | {stem: True})
        data = b"\n" * is_torn + data
        _write(path, data, size)
        if not size:
            sync_folder(folder)
        # The lines are written: the next ones find their end also after an older head.
        with suppress(OSError):
            _keep(folder / f"{stem}.head", ChainHead(end, size + len(data), head.anchor), sync_name=False)
            if stem not in begun:
                _keep(folder.with_name(BEGUN), begun | {stem: False})


def read_events(home: Path, *, since_ms: int = 0, kinds: Collection[str] = ()) -> Iterator[RecordedEvent]:
    """Yield the events from `since_ms` on, oldest first, of kinds or groups ("token"). Blocking.

    Lines without an event (torn by a power cut, written by a later version) are left out. Raises OSError or
    StoreError.
    """
    sets = [_events_of_set(home / FOLDER, stem) for stem in STEMS]
    for recorded in heapq.merge(*sets, key=lambda recorded: recorded.at_ms):
        if recorded.is_wanted(since_ms, kinds):
            yield recorded


def _events_of_set(folder: Path, stem: str) -> Iterator[RecordedEvent]:
    for _, _, line in lines_of_set(folder, stem):
        recorded = parse_line(line)
        if recorded is not None:
            yield recorded


def followed_events(home: Path) -> Iterator[list[RecordedEvent]]:
    """Yield the existing events, then at each step those added since, also across rotations.

    Errors are as of `read_events`.
    """
    # How far each file is read, by inode: a rotation keeps it.
    read_bytes: dict[int, int] = {}
    while True:
        lines: list[bytes] = []
        for stem in STEMS:
            for path in set_paths(home / FOLDER, stem):
                with suppress(FileNotFoundError):
                    lines += _new_lines(path, read_bytes)
        yield sorted(filter(None, map(parse_line, lines)), key=lambda recorded: recorded.at_ms)


def _new_lines(path: Path, read_bytes: dict[int, int]) -> list[bytes]:
    """Return the whole lines of a file that were not read before, and note how far it is read now."""
    with os.fdopen(open_regular(path, os.O_RDONLY), "rb") as file:
        status = os.fstat(file.fileno())
        start = read_bytes.get(status.st_ino, 0)
        # A new file may have the inode of a removed one.
        if start > status.st_size:
            start = 0
        file.seek(start)
        data = file.read()
    end = data.rfind(b"\n") + 1
    read_bytes[status.st_ino] = start + end
    return data[:end].split(b"\n")


class Break(Struct, frozen=True):
    """A break of the chain. `what`: changed, removed, inserted, cut or head. `line` (from 1 on) of `file` shows it."""

    what: str
    text: str
    file: str
    line: int


class ChainReport(Struct):
    """The report on one set of files. `torn`: file and number of lines without an event.

    `found`: the noted hashes that a line has.
    """

    stem: str
    anchor: ChainLink
    last: ChainLink = START
    lines: int = 0
    torn: list[tuple[str, int]] = field(default_factory=list)
    breaks: list[Break] = field(default_factory=list)
    found: set[str] = field(default_factory=set)

    @property
    def is_whole(self) -> bool:
        return not self.breaks


def verify_chains(home: Path, noted: Collection[str] = ()) -> list[ChainReport]:
    """Follow each set's chain; `noted` are hashes to look for. Writers wait meanwhile. Raises OSError or StoreError."""
    folder = home / FOLDER
    with locked(folder) if folder.is_dir() else nullcontext():
        begun = begun_sets(folder)
        sets = [(stem, lines_of_set(folder, stem), read_head(folder, stem)) for stem in STEMS]
        return [follow(stem, lines, head, noted, begun.get(stem)) for stem, lines, head in sets]


def follow(
    stem: str,
    lines: Iterable[tuple[str, int, bytes]],
    head: ChainHead | None,
    noted: Collection[str] = (),
    begun_again: bool | None = None,
) -> ChainReport:
    """Check a set's lines, each with its file and number, oldest first. `begun_again` is None if no chain began."""
    report = ChainReport(stem, START if head is None else head.anchor)
    place = (f"{stem}.jsonl", 0)
    for file, number, line in lines:
        place = (file, number)
        fields = fields_of(line)
        if fields is None:
            report.torn.append(place)
            continue
        has_place = _follow_line(report, place, hash_of(line), previous_link(fields))
        if not has_place:
            continue
        if head is not None and _differs(report.last, (head.last, head.anchor)):
            _add_break(report, place, "changed", f"line {report.last.n} is not the one that the kept head names")
        report.found |= {report.last.hash} & set(noted)
    _check_end(report, place, head, begun_again)
    return report


def _follow_line(report: ChainReport, place: tuple[str, int], line_hash: str, previous: ChainLink | None) -> bool:
    """Take a line as the last one of the chain, and report lines that are missing or changed before it.

    Returns False, after reporting it as inserted, if it has no place there.
    """
    before = report.last if report.lines else report.anchor
    if previous is None:
        _add_break(report, place, "inserted", f"line without a place comes after line {before.n}")
        return False
    n = previous.n + 1
    # A power cut between keeping the anchor and removing the oldest file leaves lines before the anchor.
    if n <= before.n and report.lines:
        _add_break(report, place, "inserted", f"line {n} comes after line {before.n}")
        return False
    if n > before.n + 1:
        _add_break(report, place, "removed", f"lines {before.n + 1} to {n - 1} are missing before it")
    elif n > before.n and previous != before:
        _add_break(report, place, "changed", f"line {before.n} is not the one that line {n} names")
    report.last = ChainLink(n, line_hash)
    report.lines = report.lines + 1
    return True


def _differs(link: ChainLink, others: Iterable[ChainLink]) -> bool:
    """Return True if one of the others has the number of this link and another hash."""
    return any(other.n == link.n and other != link for other in others)


def _check_end(report: ChainReport, place: tuple[str, int], head: ChainHead | None, begun_again: bool | None) -> None:
    """Report what is missing at the end of the chain, or the whole chain."""
    if begun_again is not None and not report.lines:
        _add_break(report, place, "cut", f"a chain began here and is gone ({BEGUN})")
    elif begun_again:
        _add_break(report, place, "cut", f"the chain before was lost; if you removed it: rm {BEGUN}")
    if head is None:
        if report.lines:
            _add_break(report, place, "head", "the kept head is missing or unreadable")
    elif head.last.n > report.last.n:
        first_n = max(report.last.n, head.anchor.n) + 1
        _add_break(report, place, "cut", f"lines {first_n} to {head.last.n} are missing at the end")


def _add_break(report: ChainReport, place: tuple[str, int], what: str, text: str) -> None:
    file, number = place
    report.breaks.append(Break(what, text, file, number))


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the folder's lock, which ends with the process: no line is added or rotated meanwhile. Blocking."""
    fd = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield
    finally:
        os.close(fd)


def set_paths(folder: Path, stem: str) -> list[Path]:
    """Return the paths of a set's files, the oldest first."""
    older = [folder / f"{stem}.{number}.jsonl" for number in range(FILES - 1, 0, -1)]
    return [*older, folder / f"{stem}.jsonl"]


def lines_of_set(folder: Path, stem: str) -> Iterator[tuple[str, int, bytes]]:
    """Yield each line with its file and number, oldest first, also an empty one. Raises OSError or StoreError."""
    for path in set_paths(folder, stem):
        data = _content(path)
        if not data:
            continue
        for number, line in enumerate(data.removesuffix(b"\n").split(b"\n"), 1):
            yield path.name, number, line


def read_head(folder: Path, stem: str) -> ChainHead | None:
    """Return the stored head; None if there is none or it cannot be decoded. Raises OSError or StoreError."""
    return _load(folder / f"{stem}.head", ChainHead)


def begun_sets(folder: Path) -> dict[str, bool]:
    """Return the sets whose chain began here; True if a chain began again after another was lost.

    Raises OSError or StoreError.
    """
    return _load(folder.with_name(BEGUN), dict[str, bool]) or {}


def _load(path: Path, form: type[_T]) -> _T | None:
    try:
        return decode_json(read_limited(path, MAX_HEAD_BYTES) or b"", form)
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
    """Append all of the data, on the disk, or leave the file as it was: a full disk must leave no half line."""
    with os.fdopen(open_regular(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT), "ab", buffering=0) as file:
        try:
            while data:
                data = data[file.write(data) :]
            os.fsync(file.fileno())
        except OSError:
            file.truncate(size)
            raise


def _rotate(folder: Path, stem: str, head: ChainHead) -> ChainHead:
    """Make room for a new file, and return the head for it.

    The anchor, which is the last line of the oldest file, is stored before that file is removed.
    """
    paths = set_paths(folder, stem)
    head_path = folder / f"{stem}.head"
    head = replace(head, anchor=find_end(_content(paths[0]), head.anchor, anywhere=True))
    _keep(head_path, head)
    paths[0].unlink(missing_ok=True)
    for older, newer in pairwise(paths):
        if newer.exists():
            newer.rename(older)
    # Otherwise a power cut would hide the new file's first lines.
    _keep(head_path, replace(head, file_bytes=0))
    return head


def _keep(path: Path, value: ChainHead | dict[str, bool], *, sync_name: bool = True) -> None:
    replace_file(path, msgspec.json.encode(value) + b"\n", only_writer=True, sync_name=sync_name)
