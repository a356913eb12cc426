"""Searches memory, notes and conversations; the index follows the files. It answers no question.

The rank is bm25's, with newer matches first: recency is a third of the score and halves every thirty days.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Final

from microclaw.errors import MicroclawError
from microclaw.knowledge.conversation_index import MAX_ROW_CHARS, SESSIONS, Source, SourceKind, listed, pieces
from microclaw.knowledge.memory import DEVICES, MEMORY, OWNER_ID, PEOPLE, ROOT, is_day, name_of_stem
from microclaw.knowledge.texts import Texts, TextStamp
from microclaw.knowledge.words import significant
from microclaw.store.notes import NewNote, NoteFile, NoteHit, NoteTable, is_unspaced
from microclaw.store.sessions import Sessions


def sources(texts: Texts) -> Iterator[Source]:
    """Every text to search. Links, old versions and files larger than MAX_INDEXED_BYTES are left out. Blocking."""
    yield from _notes(texts, OWNER_ID, ROOT)
    for folder in texts.folders(f"{ROOT}/{PEOPLE}"):
        yield from _notes(texts, name_of_stem(folder), f"{ROOT}/{PEOPLE}/{folder}")
    for one in texts.stamps(f"{ROOT}/{DEVICES}"):
        yield _source(one, "device", OWNER_ID)


def read_notes(texts: Texts, source: Source) -> tuple[NoteFile, list[NewNote]]:
    """The rows of a Markdown text: one for each list item or paragraph. OSError."""
    assert source.kind != "session"
    kind = source.kind
    data = texts.content(source.name)
    at_s = _time_of(source)
    rows = [NewNote(source.person, kind, at_s, text) for text in _paragraphs(data.decode(errors="replace"))]
    return NoteFile(source.name, source.mtime_ns, source.size_bytes, len(data), b""), rows


def _paragraphs(text: str) -> Iterator[str]:
    """List items and paragraphs, the lines of a paragraph joined; no headings and rules."""
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
    with contextlib.suppress(ValueError):
        if is_day(stem):
            day = date.fromisoformat(stem)
            return max(0, int(datetime(day.year, day.month, day.day, 12, tzinfo=UTC).timestamp()))
    return source.mtime_ns // 10**9


def _notes(texts: Texts, person: str, folder: str) -> Iterator[Source]:
    for one in texts.stamps(folder):
        name = one.name.removeprefix(f"{folder}/")
        if name == MEMORY or is_day(name.removesuffix(".md")):
            yield _source(one, "memory" if name == MEMORY else "note", person)


def _source(one: TextStamp, kind: SourceKind, person: str) -> Source:
    return Source(one.name, kind, person, one.mtime_ns, one.size_bytes)


_log = logging.getLogger(__name__)

MAX_WORDS: Final = 8
RESCAN_S: Final = 2.0  # files edited by hand are seen after this time at the latest
PATIENCE_S: Final = 0.25  # how long a search waits for the index; the next one reads the rest
_MAX_QUERY_CHARS: Final = 2000
_ROWS_A_WRITE: Final = 500  # so that other writers of the store do not wait long
_HALF_LIFE_S: Final = 30 * 86_400
_RECENCY: Final = 1 / 3


class Search:
    """`await search.find("owner", "where is the relay")`. Changed files are read again."""

    def __init__(
        self,
        table: NoteTable,
        *,
        texts: Texts,
        sessions: Sessions,
        now_s: Callable[[], float] = time.time,
        rescan_s: float = RESCAN_S,
        patience_s: float = PATIENCE_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._table = table
        self._texts = texts
        self._sessions = sessions
        self._now_s = now_s
        self._rescan_s = rescan_s
        self._patience_s = patience_s
        self._clock = clock
        self._known: dict[str, NoteFile] | None = None
        self._scanned_at: float | None = None
        self._refreshing = asyncio.Lock()

    def mark_stale(self) -> None:
        """Make the next search look at the files again. Call it after writing one."""
        self._scanned_at = None

    async def scrub(self) -> None:
        """Write the databases of index and conversations anew without what is deleted; StoreError.

        Needs as much free space as they have. Other writes wait meanwhile: two seconds for about 100 MB.
        """
        await self._table.scrub()
        if self._table.database is not self._sessions.database:
            await self._sessions.database.rewrite()

    @asynccontextmanager
    async def without(self, source: str) -> AsyncIterator[None]:
        """Take a file's rows out of the index; inside, no file is read. For a file that is removed meanwhile."""
        async with self._refreshing:
            await self._table.drop((source,))
            if self._known is not None:
                self._known.pop(source, None)
            self._scanned_at = None
            yield

    async def find(self, person: str, text: str, *, limit: int = 8, fresh: bool = True) -> tuple[NoteHit, ...]:
        """The person's best matches for a text, best first. Rows of other people are not read.

        Unless `fresh`, what was said since the last search may be missing, and reading it costs no write of its own.
        """
        words = _query_words(text)
        if not words:
            return ()
        soon = not fresh and self._table.database is self._sessions.database
        await self.refresh(at_most_s=self._patience_s, soon=soon)
        if fresh:
            await self._table.settle()
        hits = await self._table.search(person, words)
        return self._best(hits, limit)

    async def refresh_now(self) -> None:
        """Another host removed a conversation."""
        self.mark_stale()
        await self.refresh()

    async def refresh(self, *, at_most_s: float | None = None, soon: bool = False) -> None:
        """Bring the index up to date, at most every `rescan_s` seconds. With `soon` new rows of conversations come into
        it with the store's next write.

        After `at_most_s` it stops, also waiting for a refresh that runs already; the next refresh reads the rest.
        """
        deadline = math.inf if at_most_s is None else self._clock() + at_most_s
        try:
            async with asyncio.timeout(at_most_s):
                await self._refreshing.acquire()
        except TimeoutError:
            return
        try:
            await self._refresh(deadline, soon)
        finally:
            self._refreshing.release()

    async def _refresh(self, deadline: float, soon: bool) -> None:
        now = self._clock()
        if self._scanned_at is not None and now - self._scanned_at < self._rescan_s:
            return
        self._scanned_at = now
        if self._known is None:
            self._known = await self._table.files()
        try:
            texts = await asyncio.to_thread(lambda: list(sources(self._texts)))
            found = {source.name: source for source in (*texts, *await listed(self._sessions))}
        except OSError as exc:  # nothing is dropped from the index for a folder that cannot be read
            _log.warning("the index is not brought up to date: %s", exc)
            return
        gone = [name for name in self._known if name not in found]
        if gone:
            await self._table.drop(gone)
            for name in gone:
                del self._known[name]
            if any(name.startswith(SESSIONS) for name in gone):
                await self._table.scrub()
        for source in found.values():
            known = self._known.get(source.name)
            if known is None or (known.mtime_ns, known.size_bytes) != (source.mtime_ns, source.size_bytes):
                await self._read(source, known, deadline, soon)
                if self._clock() >= deadline:
                    self._scanned_at = None
                    return

    async def _read(self, source: Source, known: NoteFile | None, deadline: float, soon: bool) -> None:
        """Index one source. A file that cannot be read is skipped."""
        if source.kind != "session":
            try:
                file, rows = await asyncio.to_thread(read_notes, self._texts, source)
            except OSError as exc:
                _log.warning("%s cannot be read and is not searched: %s", source.name, exc.strerror or exc)
            else:
                await self._put(file, rows, True)
            return
        assert self._known is not None
        async with aclosing(pieces(self._sessions, source, known)) as found:
            async for file, rows, anew in found:
                if soon and not anew:
                    self._table.put_soon(file, rows)
                    self._known[file.path] = file
                else:
                    await self._put(file, rows, anew)
                if known is not None and anew:
                    await self._table.scrub()
                if self._clock() >= deadline:
                    return

    async def _put(self, file: NoteFile, rows: list[NewNote], anew: bool) -> None:
        """Every write but the last stores a stamp that no file has, so that after a crash the file is read again."""
        assert self._known is not None
        begun = NoteFile(file.path, 0, 0, 0, b"")
        first, rest = rows[:_ROWS_A_WRITE], rows[_ROWS_A_WRITE:]
        try:
            await self._table.put(begun if rest else file, first, replace=anew)
            while rest:
                first, rest = rest[:_ROWS_A_WRITE], rest[_ROWS_A_WRITE:]
                await self._table.put(begun if rest else file, first, replace=False)
        except MicroclawError:
            self._known.pop(file.path, None)
            raise
        self._known[file.path] = file

    def _best(self, hits: tuple[NoteHit, ...], limit: int) -> tuple[NoteHit, ...]:
        top = max((hit.score for hit in hits), default=0.0)
        now_s = self._now_s()
        found: dict[str, NoteHit] = {}
        for hit in hits:
            worth = hit.score / top if top > 0 else 1.0
            recent = math.exp(-math.log(2) * max(0.0, now_s - hit.at_s) / _HALF_LIFE_S)
            score = worth * (1 - _RECENCY) + worth * recent * _RECENCY
            if hit.text not in found or found[hit.text].score < score:  # the same text twice is one match
                found[hit.text] = replace(hit, score=score)
        return tuple(sorted(found.values(), key=lambda one: one.score, reverse=True)[:limit])


def _query_words(text: str) -> list[str]:
    """At most MAX_WORDS significant words of a text. Scripts without spaces are searched by pairs of characters."""
    words: list[str] = []
    for word in significant(text[:_MAX_QUERY_CHARS]):
        if is_unspaced(word) and len(word) > 2:
            words += [word[n : n + 2] for n in range(len(word) - 1)]
        else:
            words.append(word)
    words = list(dict.fromkeys(words))
    if len(words) > MAX_WORDS:  # of a long text take the longest words
        words = sorted(words, key=len, reverse=True)[:MAX_WORDS]
    return words
