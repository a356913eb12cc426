"""Searches memory, notes and conversations; the index follows the texts. It answers no question.

The rank is bm25's, with newer matches first: recency is a third of the score and halves every thirty days.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import pairwise
from operator import attrgetter
from typing import Final

from msgspec.structs import replace

from microclaw.agent.knowledge.memory import DEVICES, MEMORY, OWNER_ID, PEOPLE, day_of, name_of_stem
from microclaw.agent.knowledge.texts import ROOT, Stamp, Texts
from microclaw.agent.knowledge.words import significant_words
from microclaw.errors import StoreError
from microclaw.host.store.notes import NewNote, NoteFile, NoteHit, NoteKind, NoteTable, is_unspaced
from microclaw.host.store.sessions import Sessions, parse_message
from microclaw.text import encodable

_log = logging.getLogger(__name__)

MAX_WORDS: Final = 8
# Files edited by hand are found after this time at the latest.
RESCAN_S: Final = 2.0
# A search waits for this time while another one brings the index up to date.
PATIENCE_S: Final = 0.25
_SESSIONS: Final = "sessions/"
_MAX_ROW_CHARS: Final = 2000
_MAX_QUERY_CHARS: Final = 2000
# A longer write would let other writers of the store wait.
_ROWS_A_WRITE: Final = 500
# The stamp of a text that is indexed in part. No text has it, so after a crash the text is read again.
_IN_PART: Final = (0, 0)
_HALF_LIFE_S: Final = 30 * 86_400
_RECENCY: Final = 1 / 3


def source_name(session: str) -> str:
    """Return a conversation's name in the index."""
    return f"{_SESSIONS}{session}.jsonl"


@dataclass(eq=False)
class Search:
    """The search: `await search.find("owner", "where is the relay")`. Changed files are read again."""

    table: NoteTable
    texts: Texts
    sessions: Sessions
    now_s: Callable[[], float] = time.time
    rescan_s: float = RESCAN_S
    patience_s: float = PATIENCE_S
    clock: Callable[[], float] = time.monotonic
    # The files of the index by name.
    _files: dict[str, NoteFile] = field(default_factory=dict, init=False)
    _scanned_at: float | None = field(default=None, init=False)
    _refreshing: asyncio.Lock = field(default_factory=asyncio.Lock, init=False)

    def mark_stale(self) -> None:
        """Make the next search look at the files again. Call it after writing one."""
        self._scanned_at = None

    async def scrub(self) -> None:
        """Write the databases of index and conversations again without the deleted rows. Raises StoreError.

        It needs as much free space as they have. Other writes wait meanwhile: two seconds for about 100 MB.
        """
        await self.table.scrub()
        if self.table.database is not self.sessions.database:
            await self.sessions.database.rewrite()

    @asynccontextmanager
    async def removing_source(self, source: str) -> AsyncIterator[None]:
        """Remove a file's rows from the index. Inside, no file is read, so that the file can be removed."""
        async with self._refreshing:
            await self.table.drop((source,))
            self._files.pop(source, None)
            self._scanned_at = None
            yield

    async def find(self, person: str, text: str, *, limit: int = 8, fresh: bool = True) -> tuple[NoteHit, ...]:
        """Return the person's best matches for a text, best first. Rows of other people are not read.

        Unless `fresh`, messages since the last search may be missing, and reading them costs no write of its own.
        """
        words = _query_words(text)
        if not words:
            return ()
        await self.refresh(wait_s=self.patience_s, fresh=fresh)
        return self._best(await self.table.search(person, words), limit)

    async def refresh_now(self) -> None:
        """Bring the index up to date at once, as another host removed a conversation."""
        self.mark_stale()
        await self.refresh()

    async def refresh(self, *, wait_s: float | None = None, fresh: bool = True) -> None:
        """Bring the index up to date, at most every `rescan_s` seconds.

        Unless `fresh`, a few new rows of conversations are written with the store's next write. Waits up to `wait_s`
        for a refresh that runs already.
        """
        try:
            async with asyncio.timeout(wait_s):
                await self._refreshing.acquire()
        except TimeoutError:
            return
        try:
            await self._refresh()
        finally:
            self._refreshing.release()
        if fresh or self.table.database is not self.sessions.database:
            await self.table.settle()

    async def _refresh(self) -> None:
        now = self.clock()
        if self._scanned_at is not None and now - self._scanned_at < self.rescan_s:
            return
        self._scanned_at = now
        self._files = self._files or await self.table.files()
        try:
            stamps = await asyncio.to_thread(_stamps, self.texts)
        # The rows of a folder that cannot be read stay in the index.
        except OSError as exc:
            _log.warning("the index is not brought up to date: %s", exc)
            return
        for session in await self.sessions.list():
            changed_ns = round(session.changed_s * 1000) * 1_000_000
            stamps[source_name(session.name)] = changed_ns, session.size_bytes
        await self._drop_removed([name for name in self._files if name not in stamps])
        for name, stamp in stamps.items():
            file = self._files.get(name)
            if file is not None and (file.mtime_ns, file.size_bytes) == stamp:
                continue
            if name.startswith(_SESSIONS):
                await self._read_conversation(name, stamp, file)
            else:
                await self._read_text(name, stamp)

    async def _drop_removed(self, names: Sequence[str]) -> None:
        """Remove the rows of removed files from the index; the words of conversations also from the disk."""
        if not names:
            return
        await self.table.drop(names)
        for name in names:
            del self._files[name]
        if any(name.startswith(_SESSIONS) for name in names):
            await self.table.scrub()

    async def _read_text(self, name: str, stamp: Stamp) -> None:
        """Index a text. If it cannot be read, it is skipped."""
        try:
            rows = await asyncio.to_thread(_rows, self.texts, name, stamp)
        except StoreError as exc:
            _log.warning("%s is not searched: %s", name, exc.message)
            return
        for start in range(0, len(rows) or 1, _ROWS_A_WRITE):
            end = start + _ROWS_A_WRITE
            part_stamp = stamp if end >= len(rows) else _IN_PART
            file = NoteFile(name, *part_stamp, 0, b"")
            await self._put(file, rows[start:end], again=start == 0)

    async def _read_conversation(self, name: str, stamp: Stamp, indexed: NoteFile | None) -> None:
        """Index the rows that are not in the index yet. No row changes, and rows are only removed all together."""
        session = name.removeprefix(_SESSIONS).removesuffix(".jsonl")
        first_lines = await self.sessions.lines_after(session, 0, most=1)
        # The number of the first row, by which a later conversation of the same name differs.
        begun = str(first_lines[0][0]).encode() if first_lines else b""
        again = True
        last = 0
        if indexed is not None and indexed.tail == begun:
            again = False
            last = indexed.read_bytes
        is_whole = False
        while not is_whole:
            lines = await self.sessions.lines_after(session, last, most=_ROWS_A_WRITE)
            if lines:
                last = lines[-1][0]
            is_whole = len(lines) < _ROWS_A_WRITE
            part_stamp = stamp if is_whole else _IN_PART
            file = NoteFile(name, *part_stamp, last, begun)
            rows = []
            for _, line in lines:
                row = _message(line)
                if row is not None:
                    rows.append(row)
            await self._put(file, rows, again=again, soon=is_whole and not again)
            if indexed is not None and again:
                await self.table.scrub()
            again = False

    async def _put(self, file: NoteFile, rows: list[NewNote], *, again: bool, soon: bool = False) -> None:
        if soon:
            self.table.put_soon(file, rows)
        else:
            self._files.pop(file.path, None)
            await self.table.put(file, rows, replace=again)
        self._files[file.path] = file

    def _best(self, hits: tuple[NoteHit, ...], limit: int) -> tuple[NoteHit, ...]:
        """Return the hits with the best scores by rank and recency, best first. Hits with the same text are one."""
        top_score = max((hit.score for hit in hits), default=0.0)
        now_s = self.now_s()
        best: dict[str, NoteHit] = {}
        for hit in hits:
            relevance = 1.0
            if top_score > 0:
                relevance = hit.score / top_score
            age_s = max(0.0, now_s - hit.at_s)
            recency = math.exp(-math.log(2) * age_s / _HALF_LIFE_S)
            score = relevance * (1 - _RECENCY) + relevance * recency * _RECENCY
            if hit.text not in best or best[hit.text].score < score:
                best[hit.text] = replace(hit, score=score)
        return tuple(sorted(best.values(), key=attrgetter("score"), reverse=True)[:limit])


def _query_words(text: str) -> list[str]:
    """Return up to MAX_WORDS significant words of a text; pairs of characters for scripts without spaces."""
    words: list[str] = []
    for word in significant_words(text[:_MAX_QUERY_CHARS]):
        if is_unspaced(word) and len(word) > 2:
            words += map("".join, pairwise(word))
        else:
            words.append(word)
    words = list(dict.fromkeys(words))
    # The longest words of a long text say most about it.
    if len(words) > MAX_WORDS:
        words = sorted(words, key=len, reverse=True)[:MAX_WORDS]
    return words


def _stamps(texts: Texts) -> dict[str, Stamp]:
    """Return the stamps of the texts to search: memory and notes of all people, wiring of devices. Blocking."""
    stamps = {}
    folders = [ROOT]
    for person in texts.folders(f"{ROOT}/{PEOPLE}"):
        folders.append(f"{ROOT}/{PEOPLE}/{person}")
    for folder in folders:
        for name, stamp in texts.stamps(folder).items():
            if name.endswith(f"/{MEMORY}") or day_of(name) is not None:
                stamps[name] = stamp
    return stamps | texts.stamps(f"{ROOT}/{DEVICES}")


def _rows(texts: Texts, name: str, stamp: Stamp) -> list[NewNote]:
    """Build a row for each list item or paragraph. Blocking. Raises StoreError."""
    folder = name.rpartition("/")[0]
    at_s = stamp[0] // 10**9
    person = OWNER_ID
    kind: NoteKind = "memory" if name.endswith(f"/{MEMORY}") else "note"
    if folder == f"{ROOT}/{DEVICES}":
        kind = "device"
    elif folder != ROOT:
        person = name_of_stem(folder.rpartition("/")[2])
    day = day_of(name)
    if day is not None:
        at_s = max(0, int(datetime(day.year, day.month, day.day, 12, tzinfo=UTC).timestamp()))
    text = texts.content(name).decode(errors="replace")
    return [NewNote(person, kind, at_s, paragraph) for paragraph in _paragraphs(text)]


def _paragraphs(text: str) -> Iterator[str]:
    """Yield list items and paragraphs, the lines of a paragraph joined, without headings and rules."""
    waiting: list[str] = []
    for line in [*text.splitlines(), ""]:
        stripped = line.strip()
        begins = not stripped or stripped[0] in "#-*+>|" or stripped[:3].rstrip(".)").isdigit()
        if begins and waiting:
            yield " ".join(waiting)[:_MAX_ROW_CHARS]
            waiting = []
        words = stripped
        if begins:
            words = stripped.lstrip("#-*+> ").strip()
        if words and not stripped.startswith("#"):
            waiting.append(words)


def _message(line: str) -> NewNote | None:
    """Return the row of a conversation's line, or None if the line is not a message or has no text."""
    message = parse_message(line)
    if message is None:
        return None
    text = encodable(message.content.strip()[:_MAX_ROW_CHARS])
    if not text:
        return None
    # Untrusted text counts as an answer.
    is_persons = message.role == "user" and message.tainted_s is None
    kind: NoteKind = "said" if is_persons else "answered"
    return NewNote(encodable(message.person), kind, message.ts, text)
