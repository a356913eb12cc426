"""Full-text rows of notes, memory and conversations (SQLite FTS5), each in one person's range. It reads no file.

A row's number says whose it is and when it was written: person << 45 | seconds since 1970 << 12 | counter. So one
person's rows are one range of row numbers, which FTS5 searches without looking at anybody else's, newest first.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from microclaw.errors import StoreError
from microclaw.store.rows import Table, insert
from microclaw.store.sql import Sql

NoteKind: TypeAlias = Literal["memory", "note", "device", "said", "answered"]

_PERSON_SHIFT: Final = 45
_TIME_SHIFT: Final = 12
_MAX_S: Final = (1 << (_PERSON_SHIFT - _TIME_SHIFT)) - 1
_MAX_PEOPLE: Final = (1 << (63 - _PERSON_SHIFT)) - 1
# Measured over 100,000 rows: counting costs 0.25 us a row, ranking 1 us; so a search takes 2 to 5 ms of CPU.
_COMMON: Final = 1000  # a word in more rows than this is common: it ranks rows, it does not find them
_RANKED: Final = 2000
_CANDIDATES: Final = 50
_NEWEST: Final = 300
# Scripts without spaces: each character is a word of its own, a run of them is searched as a phrase.
_UNSPACED: Final = re.compile(r"[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af\uf900-\ufaff]")


@dataclass(frozen=True, slots=True)
class NoteFile:
    """A file as it was indexed: its time and size then, how much of it is read, and the bytes before that place."""

    path: str
    mtime_ns: int
    size_bytes: int
    read_bytes: int
    tail: bytes


@dataclass(frozen=True, slots=True)
class NewNote:
    person: str
    kind: NoteKind
    at_s: int
    text: str


@dataclass(frozen=True, slots=True)
class NoteHit:
    """`rank` is bm25's, negated: the more the better."""

    path: str
    kind: NoteKind
    at_s: int
    text: str
    rank: float


class NoteTable(Table):
    """The index of one database."""

    _has_late = False

    async def files(self) -> dict[str, NoteFile]:
        """Every indexed file by its path."""
        return {row.path: row for row in await self._select(NoteFile, "note_files")}

    async def put(self, file: NoteFile, notes: Sequence[NewNote], *, replace: bool) -> None:
        """Add a file's rows; `replace` drops those it had before. One transaction: give a part of a long file."""
        await self._database.write(lambda connection: _put(connection, file, notes, replace=replace))

    def put_soon(self, file: NoteFile, notes: Sequence[NewNote]) -> None:
        """Add them with the next write, or with `settle`; a crash before that loses rows and file."""
        self._has_late = True
        self._database.write_later(lambda connection: _put(connection, file, notes, replace=False))

    async def settle(self) -> None:
        """See to it that a search finds what was put soon."""
        if self._has_late:
            self._has_late = False
            await self._database.write(lambda _connection: None)

    def is_beside(self, other: Table) -> bool:
        """Whether the other table is in the same database."""
        return self._database is other._database

    async def drop(self, paths: Iterable[str]) -> None:
        """Forget files and their rows."""
        gone = tuple(paths)
        await self._database.write(lambda connection: drop_notes(connection, gone))

    async def scrub(self) -> None:
        """Overwrite what was dropped, also inside the index; StoreError. Other writes wait."""
        await self._database.write(lambda c: c.execute("INSERT INTO notes_words (notes_words) VALUES ('optimize')"))
        await self._database.rewrite()

    async def search(self, person: str, words: Sequence[str], *, limit: int = _CANDIDATES) -> tuple[NoteHit, ...]:
        """One person's rows with any of the words, best first. Words are plain text: FTS5's syntax means nothing."""
        return await self._database.read(lambda connection: _search(connection, person, tuple(words), limit))

    async def count(self) -> int:
        query = "SELECT count(*) FROM notes"
        return int(await self._database.read(lambda connection: connection.execute(query).fetchone()[0]))


def is_unspaced(word: str) -> bool:
    """Whether it is of a script that puts no spaces between words."""
    return _UNSPACED.search(word) is not None


def _put(connection: Sql, file: NoteFile, notes: Sequence[NewNote], *, replace: bool) -> None:
    if replace:
        _drop(connection, file.path)
    numbers: dict[str, int] = {}
    for note in notes:
        person = numbers.get(note.person)
        if person is None:
            person = numbers[note.person] = _number(connection, note.person)
        note_id = _free_id(connection, person, note.at_s)
        connection.execute(
            "INSERT INTO notes (note_id, path, kind, text) VALUES (?, ?, ?, ?)",
            (note_id, file.path, note.kind, note.text),
        )
        connection.execute("INSERT INTO notes_words (rowid, words) VALUES (?, ?)", (note_id, _spaced(note.text)))
    insert(connection, "note_files", file, over=("path",))


def drop_notes(connection: Sql, paths: Iterable[str]) -> None:
    for path in paths:
        _drop(connection, path)


def _drop(connection: Sql, path: str) -> None:
    rows = connection.execute("SELECT note_id, text FROM notes WHERE path = ?", (path,)).fetchall()
    connection.executemany(
        "INSERT INTO notes_words (notes_words, rowid, words) VALUES ('delete', ?, ?)",
        [(note_id, _spaced(text)) for note_id, text in rows],
    )
    connection.execute("DELETE FROM notes WHERE path = ?", (path,))
    connection.execute("DELETE FROM note_files WHERE path = ?", (path,))


def _number(connection: Sql, person: str) -> int:
    connection.execute("INSERT INTO note_people (person) VALUES (?) ON CONFLICT (person) DO NOTHING", (person,))
    (number,) = connection.execute("SELECT number FROM note_people WHERE person = ?", (person,)).fetchone()
    if number > _MAX_PEOPLE:
        raise StoreError(f"the index has room for {_MAX_PEOPLE} people", next_step="remove people who left")
    return int(number)


def _free_id(connection: Sql, person: int, at_s: int) -> int:
    """The first free number of that second, or of the next one with room."""
    low = person << _PERSON_SHIFT | min(max(at_s, 0), _MAX_S - (1 << 20)) << _TIME_SHIFT
    while True:
        high = low + (1 << _TIME_SHIFT)
        (last,) = connection.execute(
            "SELECT max(note_id) FROM notes WHERE note_id >= ? AND note_id < ?", (low, high)
        ).fetchone()
        if last is None:
            return low
        if last + 1 < high:
            return int(last) + 1
        low = high


def _search(connection: Sql, person: str, words: tuple[str, ...], limit: int) -> tuple[NoteHit, ...]:
    row = connection.execute("SELECT number FROM note_people WHERE person = ?", (person,)).fetchone()
    if row is None or not words:
        return ()
    rows = _Rows(connection, int(row[0]))
    counted = [(rows.count(term), term) for term in (_term(word) for word in words) if term]
    counted += [(rows.count(t), t) for t in (f"{term} *" for n, term in counted if n == 0 and _long(term))]
    found = sorted((n, term) for n, term in counted if n)
    if not found:
        return ()
    ranks = rows.newest([term for _, term in found]) if len(found) > 1 else {}
    rare, total = list[str](), 0
    for number, term in found:
        if number <= _COMMON and total + number <= _RANKED:
            rare.append(term)
            total += number
    if rare:
        ranks |= rows.ranked(rare, limit)
    elif not ranks:
        ranks = rows.newest([found[0][1]])
    best = sorted(ranks.items(), key=lambda item: item[1], reverse=True)[:limit]
    return rows.hits(best)


class _Rows:
    """One person's range of the index."""

    def __init__(self, connection: Sql, person: int) -> None:
        self._connection = connection
        self._range = (person << _PERSON_SHIFT, (person + 1) << _PERSON_SHIFT)

    def count(self, term: str) -> int:
        """Rows with the term, at most one more than makes it common."""
        query = """SELECT count(*) FROM (SELECT 1 FROM notes_words
            WHERE notes_words MATCH ? AND rowid >= ? AND rowid < ? LIMIT ?)"""
        return int(self._connection.execute(query, (term, *self._range, _COMMON + 1)).fetchone()[0])

    def ranked(self, terms: list[str], limit: int) -> dict[int, float]:
        """The best rows with any of the terms."""
        query = """SELECT rowid, -rank FROM notes_words
            WHERE notes_words MATCH ? AND rowid >= ? AND rowid < ? ORDER BY rank LIMIT ?"""
        return dict(self._connection.execute(query, (" OR ".join(terms), *self._range, limit)).fetchall())

    def newest(self, terms: list[str]) -> dict[int, float]:
        """The newest rows with all of the terms, ranked: bounded however common those are."""
        query = """SELECT rowid, -bm25(notes_words) FROM notes_words
            WHERE notes_words MATCH ? AND rowid >= ? AND rowid < ? ORDER BY rowid DESC LIMIT ?"""
        return dict(self._connection.execute(query, (" AND ".join(terms), *self._range, _NEWEST)).fetchall())

    def hits(self, best: list[tuple[int, float]]) -> tuple[NoteHit, ...]:
        query = "SELECT path, kind, text FROM notes WHERE note_id = ?"
        hits = []
        for note_id, rank in best:
            path, kind, text = self._connection.execute(query, (note_id,)).fetchone()
            hits.append(NoteHit(path, kind, note_id >> _TIME_SHIFT & _MAX_S, text, rank))
        return tuple(hits)


def _term(word: str) -> str:
    """A word as an FTS5 string, which has no syntax in it; "" for one without letters or digits."""
    if not any(c.isalnum() for c in word):
        return ""
    return '"' + _spaced(word).replace('"', " ").replace("\0", " ").strip() + '"'


def _long(term: str) -> bool:
    return len(term) >= 6 and _UNSPACED.search(term) is None  # four letters and the quotes


def _spaced(text: str) -> str:
    return _UNSPACED.sub(r" \g<0> ", text)
