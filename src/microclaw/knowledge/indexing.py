"""Files of memory and conversations read into rows for the index. It decides what a row is; it stores none."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Final, Literal

from microclaw.knowledge.places import DEVICES, MEMORY, OWNER_ID, PEOPLE, is_day, name_of_stem
from microclaw.store.notes import NewNote, NoteFile

MAX_ROW_CHARS: Final = 2000
MAX_FILE_BYTES: Final = 64 << 20
PIECE_BYTES: Final = 1 << 20  # of a conversation read and stored at a time
_TAIL_BYTES: Final = 64


@dataclass(frozen=True, slots=True)
class Source:
    """A file that belongs into the index, as it is on the disk now; `name` is its path below the home folder."""

    name: str
    path: Path
    kind: Literal["memory", "note", "device", "session"]
    person: str  # of a conversation: whose lines are those that name nobody
    mtime_ns: int
    size_bytes: int


def sources(memory: Path, sessions: Path) -> Iterator[Source]:
    """Every file that is searched. Links, versions and files larger than MAX_FILE_BYTES are left out. Blocking."""
    yield from _notes(memory, OWNER_ID, "memory")
    for folder in _folders(memory / PEOPLE):
        yield from _notes(folder, name_of_stem(folder.name), f"memory/{PEOPLE}/{folder.name}")
    for entry in _files(memory / DEVICES, ".md"):
        yield _source(entry, f"memory/{DEVICES}/{entry.name}", "device", OWNER_ID)
    for entry in _files(sessions, ".jsonl"):
        yield _source(entry, f"sessions/{entry.name}", "session", OWNER_ID)


def read_notes(source: Source) -> tuple[NoteFile, list[NewNote]]:
    """A Markdown file's rows: each list item or paragraph is one."""
    assert source.kind != "session"
    kind = source.kind
    data = source.path.read_bytes()[:MAX_FILE_BYTES]
    at_s = _time_of(source)
    rows = [NewNote(source.person, kind, at_s, text) for text in _paragraphs(data.decode(errors="replace"))]
    return NoteFile(source.name, source.mtime_ns, source.size_bytes, len(data), b""), rows


def read_session(source: Source, known: NoteFile | None) -> Iterator[tuple[NoteFile, list[NewNote], bool]]:
    """A conversation's rows in pieces, from where it was read to before; True says that the rows before are void.

    Only whole lines are read. A file that is shorter than before, or whose bytes before that place are others, is read
    from its beginning.
    """
    with source.path.open("rb") as file:
        start = _resumable(file.fileno(), source, known)
        replace = start == 0
        while start < source.size_bytes:
            piece = os.pread(file.fileno(), min(PIECE_BYTES, source.size_bytes - start), start)
            end = piece.rfind(b"\n") + 1
            if not end and len(piece) == PIECE_BYTES:
                end = len(piece)  # a line of more than a piece: no message of ours
            rows = [row for line in piece[:end].split(b"\n") if (row := _message(line, source.person)) is not None]
            start += end
            done = not end or start >= source.size_bytes
            tail = os.pread(file.fileno(), min(_TAIL_BYTES, start), max(0, start - _TAIL_BYTES))
            stamp = (source.mtime_ns, source.size_bytes) if done else (0, 0)
            yield NoteFile(source.name, *stamp, start, tail), rows, replace
            replace = False
            if done:
                return
        if replace:
            yield NoteFile(source.name, source.mtime_ns, source.size_bytes, 0, b""), [], True


def _resumable(fd: int, source: Source, known: NoteFile | None) -> int:
    if known is None or known.read_bytes > source.size_bytes or not known.read_bytes:
        return 0
    tail = os.pread(fd, len(known.tail), known.read_bytes - len(known.tail))
    return known.read_bytes if tail == known.tail and known.read_bytes < source.size_bytes else 0


def _message(line: bytes, owner: str) -> NewNote | None:
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(value, dict):
        return None
    role, content, ts, person = value.get("role"), value.get("content"), value.get("ts", 0), value.get("person", owner)
    if role not in ("user", "assistant") or not isinstance(content, str) or not isinstance(person, str):
        return None
    said = _storable(content.strip()[:MAX_ROW_CHARS])
    if not said:
        return None
    at_s = ts if isinstance(ts, int) and not isinstance(ts, bool) else 0
    own = role == "user" and value.get("foreign") is None  # strangers' words are found by who asks for answers
    return NewNote(_storable(person), "said" if own else "answered", at_s, said)


def _storable(text: str) -> str:
    """A lone surrogate, which JSON can carry and the store cannot, becomes "?"."""
    return text.encode(errors="replace").decode()


def _paragraphs(text: str) -> Iterator[str]:
    """List items one by one, other lines joined to paragraphs; headings and rules are none."""
    waiting: list[str] = []
    for line in [*text.splitlines(), ""]:
        stripped = line.strip()
        begins = not stripped or stripped[0] in "#-*+>|" or stripped[:3].rstrip(".)").isdigit()
        if begins and waiting:
            yield " ".join(waiting)[:MAX_ROW_CHARS]
            waiting = []
        words = stripped.lstrip("#-*+> ").strip() if begins else stripped
        if words and not stripped.startswith("#"):
            waiting.append(words)


def _time_of(source: Source) -> int:
    stem = Path(source.name).stem
    if is_day(stem):
        try:
            day = date.fromisoformat(stem)
        except ValueError:
            return source.mtime_ns // 10**9
        return max(0, int(datetime(day.year, day.month, day.day, 12, tzinfo=UTC).timestamp()))
    return source.mtime_ns // 10**9


def _notes(folder: Path, person: str, name: str) -> Iterator[Source]:
    for entry in _files(folder, ".md"):
        stem = entry.name.removesuffix(".md")
        if entry.name == MEMORY or is_day(stem):
            kind: Literal["memory", "note"] = "memory" if entry.name == MEMORY else "note"
            yield _source(entry, f"{name}/{entry.name}", kind, person)


def _source(
    entry: os.DirEntry[str], name: str, kind: Literal["memory", "note", "device", "session"], person: str
) -> Source:
    found = entry.stat(follow_symlinks=False)
    return Source(name, Path(entry.path), kind, person, found.st_mtime_ns, found.st_size)


def _files(folder: Path, suffix: str) -> Iterator[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            found = [e for e in entries if e.name.endswith(suffix) and e.name[0] != "." and _is_text(e.name)]
    except (FileNotFoundError, NotADirectoryError):
        return
    for entry in found:
        try:
            small = entry.is_file(follow_symlinks=False) and entry.stat(follow_symlinks=False).st_size <= MAX_FILE_BYTES
        except FileNotFoundError:
            continue
        if small:
            yield entry


def _folders(folder: Path) -> Iterator[Path]:
    try:
        with os.scandir(folder) as entries:
            yield from [Path(e.path) for e in entries if e.is_dir(follow_symlinks=False) and _is_text(e.name)]
    except (FileNotFoundError, NotADirectoryError):
        return


def _is_text(name: str) -> bool:
    """Whether it is UTF-8 on the disk: another one is no name of ours, and the store takes none."""
    return not any("\ud800" <= c <= "\udfff" for c in name)
