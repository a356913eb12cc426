"""Full-text rows of notes, memory and conversations (SQLite FTS5), in one range for each person. It reads no file.

The number of a row has its person and its time: person << 45 | seconds since 1970 << 12 | counter. So the rows of one
person are one range of row numbers, which FTS5 searches without reading the rows of others, newest first.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from typing import Final, Literal, TypeAlias

from msgspec import Struct

from microclaw.errors import StoreError
from microclaw.host.store.rows import Table, delete, insert, reads, scalar, select, writes
from microclaw.host.store.sql import Sql

NoteKind: TypeAlias = Literal["memory", "note", "device", "said", "answered"]

_PERSON_SHIFT: Final = 45
_TIME_SHIFT: Final = 12
_MAX_S: Final = (1 << (_PERSON_SHIFT - _TIME_SHIFT)) - 1
_MAX_PEOPLE: Final = (1 << (63 - _PERSON_SHIFT)) - 1
# Measured over 100,000 rows: counting costs 0.25 us a row, ranking 1 us; so a search takes 2 to 5 ms of CPU.
# A word in more rows than _COMMON does not find rows, it only ranks them.
_COMMON: Final = 1000
_RANKED: Final = 2000
_CANDIDATES: Final = 50
_NEWEST: Final = 300
# Scripts without spaces: each character is a word of its own, a run of them is searched as a phrase.
_UNSPACED: Final = re.compile(r"[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af\uf900-\ufaff]")

_OF_PERSON: Final = "notes_words WHERE notes_words MATCH ? AND rowid >= ? AND rowid < ?"
_COUNT: Final = f"SELECT count(*) FROM (SELECT 1 FROM {_OF_PERSON} LIMIT ?)"  # noqa: S608 - a constant
_BEST_OF_ANY: Final = f"SELECT rowid, -rank FROM {_OF_PERSON} ORDER BY rank LIMIT ?"  # noqa: S608 - a constant
_NEWEST_OF_ALL: Final = f"SELECT rowid, -bm25(notes_words) FROM {_OF_PERSON} ORDER BY rowid DESC LIMIT ?"  # noqa: S608 - a constant


# Runs one of the queries above on a person's rows: (query, FTS5 expression, most rows).
_QueryRange: TypeAlias = Callable[[str, str, int], list[tuple[int, float]]]


class NoteFile(Struct, frozen=True):
    """An indexed file: its time and size at that moment, how many bytes were read, and the bytes before that place."""

    path: str
    mtime_ns: int
    size_bytes: int
    read_bytes: int
    tail: bytes


class NewNote(Struct, frozen=True):
    person: str
    kind: NoteKind
    at_s: int
    text: str


class NoteHit(Struct, frozen=True):
    """A match: its file below the home folder, its text, and when it was written, `day` in UTC.

    A higher `score` is better; for hits of this table it is bm25's rank, negated.
    """

    source: str
    kind: NoteKind
    at_s: int
    text: str
    score: float
    day: str


class NoteTable(Table):
    """The index of one database."""

    _has_late = False

    @reads
    def files(self, sql: Sql) -> dict[str, NoteFile]:
        """Return every indexed file by its path."""
        return {row.path: row for row in select(sql, NoteFile, "note_files")}

    @writes
    def put(self, sql: Sql, file: NoteFile, notes: Sequence[NewNote], *, replace: bool) -> None:
        """Add a file's rows; `replace` deletes its earlier rows. One transaction: pass a long file in parts."""
        if replace:
            drop_notes(sql, (file.path,))
        _put(sql, file, notes)

    def put_soon(self, file: NoteFile, notes: Sequence[NewNote]) -> None:
        """Add a file's rows with the next write, or with `settle`; a crash before that loses them."""
        self._has_late = True
        self.database.write_later(lambda sql: _put(sql, file, notes))

    async def settle(self) -> None:
        """Write the rows that `put_soon` has not written yet, so that a search finds them."""
        if self._has_late:
            self._has_late = False
            await self.database.write(lambda _sql: None)

    @writes
    def drop(self, sql: Sql, paths: Iterable[str]) -> None:
        """Forget files and their rows."""
        drop_notes(sql, paths)

    async def scrub(self) -> None:
        """Remove deleted text from the database, also inside the index. Other writes wait. Raises StoreError."""
        optimize = "INSERT INTO notes_words (notes_words) VALUES ('optimize')"
        await self.database.write(lambda sql: sql.execute(optimize).rowcount)
        await self.database.rewrite()

    @reads
    def search(self, sql: Sql, person: str, words: Iterable[str], *, limit: int = _CANDIDATES) -> tuple[NoteHit, ...]:
        """Return one person's rows with any of the words, best first. Words are plain text, without FTS5's syntax."""
        number = scalar(sql, "SELECT number FROM note_people WHERE person = ?", (person,))
        if number is None:
            return ()
        low = number << _PERSON_SHIFT
        high = low + (1 << _PERSON_SHIFT)

        def query_range(query: str, match: str, most: int) -> list[tuple[int, float]]:
            return sql.execute(query, (match, low, high, most)).fetchall()

        counts = _count_terms(words, query_range)
        ranks = _rank_rows(counts, query_range, limit)
        best = sorted(ranks.items(), key=lambda item: item[1], reverse=True)[:limit]
        return tuple(_read_hit(sql, note_id, rank) for note_id, rank in best)


def _count_terms(words: Iterable[str], query_range: _QueryRange) -> list[tuple[int, str]]:
    """Return (rows, term) of each term that has rows, rarest first. More than _COMMON rows are counted as one more."""

    def count_rows(term: str) -> int:
        return int(query_range(_COUNT, term, _COMMON + 1)[0][0])

    counts = []
    for word in words:
        term = _term(word)
        if not term:
            continue
        count = count_rows(term)
        if count:
            counts.append((count, term))
        # A word that no row has may be the beginning of one. Six characters are four letters and the quotes.
        elif len(term) >= 6 and not is_unspaced(term):
            prefix = f"{term} *"
            prefix_count = count_rows(prefix)
            if prefix_count:
                counts.append((prefix_count, prefix))
    return sorted(counts)


def _rank_rows(counts: list[tuple[int, str]], query_range: _QueryRange, limit: int) -> dict[int, float]:
    """Return the rank of each row that matches by its number: rows with all terms, and rows with a rare one."""
    rare_terms = list[str]()
    total = 0
    for count, term in counts:
        if count <= _COMMON and total + count <= _RANKED:
            rare_terms.append(term)
            total += count
    ranks: dict[int, float] = {}
    if len(counts) > 1:
        all_terms = " AND ".join(term for _, term in counts)
        ranks |= query_range(_NEWEST_OF_ALL, all_terms, _NEWEST)
    if rare_terms:
        ranks |= query_range(_BEST_OF_ANY, " OR ".join(rare_terms), limit)
    elif counts and not ranks:
        ranks |= query_range(_NEWEST_OF_ALL, counts[0][1], _NEWEST)
    return ranks


def _read_hit(sql: Sql, note_id: int, rank: float) -> NoteHit:
    query = "SELECT path, kind, text FROM notes WHERE note_id = ?"
    path, kind, text = sql.execute(query, (note_id,)).fetchone()
    at_s = note_id >> _TIME_SHIFT & _MAX_S
    return NoteHit(path, kind, at_s, text, rank, f"{datetime.fromtimestamp(at_s, UTC):%Y-%m-%d}")


def is_unspaced(word: str) -> bool:
    """Return True if the word is of a script that puts no spaces between words."""
    return _UNSPACED.search(word) is not None


def drop_notes(sql: Sql, paths: Iterable[str]) -> None:
    """Forget files and their rows, within the caller's transaction."""
    for path in paths:
        rows = sql.execute("SELECT note_id, text FROM notes WHERE path = ?", (path,)).fetchall()
        sql.executemany(
            "INSERT INTO notes_words (notes_words, rowid, words) VALUES ('delete', ?, ?)",
            [(note_id, _spaced(text)) for note_id, text in rows],
        )
        delete(sql, "notes", path=path)
        delete(sql, "note_files", path=path)


def _put(sql: Sql, file: NoteFile, notes: Sequence[NewNote]) -> None:
    numbers = {person: _number(sql, person) for person in {note.person for note in notes}}
    for note in notes:
        note_id = _free_id(sql, numbers[note.person], note.at_s)
        insert(sql, "notes", None, note_id=note_id, path=file.path, kind=note.kind, text=note.text)
        sql.execute("INSERT INTO notes_words (rowid, words) VALUES (?, ?)", (note_id, _spaced(note.text)))
    insert(sql, "note_files", file, over=("path",))


def _number(sql: Sql, person: str) -> int:
    sql.execute("INSERT INTO note_people (person) VALUES (?) ON CONFLICT (person) DO NOTHING", (person,))
    number = scalar(sql, "SELECT number FROM note_people WHERE person = ?", (person,))
    if number > _MAX_PEOPLE:
        raise StoreError(f"the index has room for {_MAX_PEOPLE} people", next_step="remove people who left")
    return int(number)


def _free_id(sql: Sql, person: int, at_s: int) -> int:
    """Return the first free row number of that second, or of the next second with room."""
    low = person << _PERSON_SHIFT | min(max(at_s, 0), _MAX_S - (1 << 20)) << _TIME_SHIFT
    while True:
        high = low + (1 << _TIME_SHIFT)
        query = "SELECT coalesce(max(note_id) + 1, ?1) FROM notes WHERE note_id >= ?1 AND note_id < ?2"
        free = scalar(sql, query, (low, high))
        if free < high:
            return int(free)
        low = high


def _term(word: str) -> str:
    """Return a word as an FTS5 string, which has no syntax in it; "" for a word without letters or digits."""
    if not any(char.isalnum() for char in word):
        return ""
    return '"' + _spaced(word).replace('"', " ").replace("\0", " ").strip() + '"'


def _spaced(text: str) -> str:
    return _UNSPACED.sub(r" \g<0> ", text)
