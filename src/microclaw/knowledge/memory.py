"""The memory of each person: MEMORY.md, daily notes, the wiring of devices. It searches nothing.

The owner's files are named as MimiClaw names them (memory/MEMORY.md, memory/YYYY-MM-DD.md); every other person has a
folder. Each change keeps the old file in `versions/` beside it. People may edit all files by hand at any time.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Final
from urllib.parse import quote, unquote

from microclaw.errors import ConfigError, ToolRetry
from microclaw.knowledge.decisions import same_fact, significant
from microclaw.knowledge.text_files import MAX_TEXT_BYTES, TextCache, keep_version, read_text, read_whole, write_text

OWNER_ID: Final = "owner"
MEMORY: Final = "MEMORY.md"
PEOPLE: Final = "people"
DEVICES: Final = "devices"
VERSIONS: Final = "versions"


def person_folder(memory: Path, person: str) -> Path:
    """The owner's folder is `memory` itself (MimiClaw's layout); every other person has one below it."""
    if person == OWNER_ID:
        return memory
    return memory / PEOPLE / file_stem(person)


def file_stem(name: str) -> str:
    """A name as one part of a path: never a parent, never hidden, different for each name."""
    quoted = quote(name, safe="", errors="surrogatepass").replace(".", "%2E").replace("~", "%7E")
    return quoted or "%"


def name_of_stem(stem: str) -> str:
    return "" if stem == "%" else unquote(stem, errors="replace")


def is_day(stem: str) -> bool:
    """Whether a file's stem is that of a daily note: YYYY-MM-DD."""
    parts = stem.split("-")
    return [len(p) for p in parts] == [4, 2, 2] and all(p.isascii() and p.isdigit() for p in parts)


MAX_FACT_CHARS: Final = 1000
MAX_FORGOTTEN: Final = 5  # lines that one `forget` removes without `every`
RECENT_DAYS: Final = 2


@dataclass(frozen=True, slots=True)
class MemoryLine:
    """The line of a fact and its file. `new` is False when the file had it already."""

    path: Path
    line: str
    new: bool = False


def one_fact(text: str) -> str:
    """The text as one line. ToolRetry when there is none, or too much."""
    fact = " ".join(text.split())
    if not fact:
        raise ToolRetry("there is nothing to remember", next_step="say it in one sentence")
    if len(fact) > MAX_FACT_CHARS:
        raise ToolRetry(
            f"that has {len(fact)} characters, at most {MAX_FACT_CHARS} are one memory", next_step="say it shorter"
        )
    return fact


class Memory:
    """The files below `root`. `now` gives the person's local time; `changed` is called after each write."""

    def __init__(self, root: Path, *, now: Callable[[], datetime], changed: Callable[[], None] = lambda: None) -> None:
        self.root = root
        self._now = now
        self._changed = changed
        self._files = TextCache()
        self._writing = asyncio.Lock()

    def text(self, person: str) -> str:
        """MEMORY.md; "" when there is none. Blocking, cached."""
        return self._files.read(self.path(person)).strip()

    def recent_notes(self, person: str, days: int = RECENT_DAYS) -> tuple[tuple[date, str], ...]:
        """The daily notes of today and the days before that have one, newest first. Blocking, cached."""
        today = self._now().date()
        wanted = (today - timedelta(days=n) for n in range(days))
        found = ((day, self._files.read(self._note(person, day)).strip()) for day in wanted)
        return tuple((day, text) for day, text in found if text)

    def wiring(self, device: str) -> str:
        """The notes on a device and what is connected to it. Everybody who sees the device may read them."""
        return self._files.read(self.device_file(device)).strip()

    def device_file(self, device: str) -> Path:
        return self.root / DEVICES / f"{file_stem(device)}.md"

    def days(self, person: str) -> list[date]:
        """Days with a note, oldest first. Blocking."""
        stems = (p.stem for p in person_folder(self.root, person).glob("*-*-*.md") if is_day(p.stem))
        found = []
        for stem in stems:
            try:
                found.append(date.fromisoformat(stem))
            except ValueError:
                continue  # 2026-02-30.md is not a day
        return sorted(found)

    async def remember(self, person: str, fact: str) -> MemoryLine:
        """Add a fact to the person's MEMORY.md, unless it is there already."""
        return await self._append(self.path(person), fact, head="# Memory\n")

    async def note(self, person: str, text: str) -> MemoryLine:
        """Add a line to today's note."""
        now = self._now()
        path = self._note(person, now.date())
        return await self._append(path, text, head=f"# {now.date().isoformat()}\n", prefix=f"{now:%H:%M} ")

    async def remember_wiring(self, device: str, fact: str) -> MemoryLine:
        """Add a line to the notes on a device."""
        return await self._append(self.device_file(device), fact, head=f"# {device}\n")

    async def forget(self, person: str, words: str, *, every: bool = False) -> tuple[MemoryLine, ...]:
        """Remove the lines with these words from MEMORY.md and the daily notes; for the owner also from the wiring.

        Lines with the words as given are removed; if there are none, lines with each of the words. Raises ToolRetry
        for more than MAX_FORGOTTEN lines without `every`.
        """
        async with self._writing:
            return await asyncio.to_thread(self._forget, person, words, every)

    async def write(self, person: str, text: str, *, was: str | None = None) -> None:
        """Replace the whole MEMORY.md. ConfigError when `was` is given and is no longer the `digest` of the file."""
        async with self._writing:
            await asyncio.to_thread(self._write_whole, self.path(person), text, was)

    def path(self, person: str) -> Path:
        return person_folder(self.root, person) / MEMORY

    def _note(self, person: str, day: date) -> Path:
        return person_folder(self.root, person) / f"{day.isoformat()}.md"

    async def _append(self, path: Path, text: str, *, head: str, prefix: str = "") -> MemoryLine:
        fact = one_fact(text)
        async with self._writing:
            return await asyncio.to_thread(self._add_line, path, fact, head, prefix)

    def _add_line(self, path: Path, fact: str, head: str, prefix: str) -> MemoryLine:
        text = read_whole(path)
        key = same_fact(fact)
        for line in text.splitlines():
            if same_fact(line) == key:
                return MemoryLine(path, line.strip())
        line = f"- {prefix}{fact}"
        before = text if not text or text.endswith("\n") else text + "\n"
        self._replace(path, f"{before or head + chr(10)}{line}\n", keep=path.name == MEMORY)
        return MemoryLine(path, line, new=True)

    def _forget(self, person: str, words: str, every: bool) -> tuple[MemoryLine, ...]:
        if not significant(words) and not same_fact(words):
            raise ToolRetry("name what is to be forgotten", next_step="give words that stand in that line")
        files = list(self._forgettable(person))
        found = _lines_with(files, lambda key: same_fact(words) in key)
        if not found:
            wanted = [same_fact(word) for word in significant(words)]
            found = _lines_with(files, lambda key: bool(wanted) and all(w in key.split() for w in wanted))
        if len(found) > MAX_FORGOTTEN and not every:
            shown = "; ".join(r.line for r in found[:MAX_FORGOTTEN])
            raise ToolRetry(
                f"{len(found)} lines say that: {shown} ...", next_step="name it more exactly, or set every to true"
            )
        for path in dict.fromkeys(removed.path for removed in found):
            gone = {removed.line for removed in found if removed.path == path}
            kept = [line for line in read_whole(path).splitlines() if line.strip() not in gone]
            self._replace(path, "\n".join(kept) + "\n", keep=True)
        return tuple(found)

    def _forgettable(self, person: str) -> Iterator[Path]:
        yield self.path(person)
        for day in reversed(self.days(person)):
            yield self._note(person, day)
        if person == OWNER_ID:
            yield from sorted((self.root / DEVICES).glob("*.md"))

    def _write_whole(self, path: Path, text: str, was: str | None) -> None:
        if was is not None and was != digest(read_whole(path)):
            raise ConfigError(
                f"{path.name} was changed meanwhile, so yours was not put in its place",
                next_step="look at it again (microclaw memory show), then edit once more",
            )
        self._replace(path, text if not text or text.endswith("\n") else text + "\n", keep=True)

    def _replace(self, path: Path, text: str, *, keep: bool) -> None:
        if len(text.encode(errors="replace")) > MAX_TEXT_BYTES:
            raise ConfigError(
                f"{path.name} is full: it would have more than {MAX_TEXT_BYTES:,} bytes",
                next_step="remove what is no longer true: microclaw memory edit, or forget",
            )
        if keep:
            keep_version(path, path.parent / VERSIONS, self._now())
        write_text(path, text)
        self._changed()


def digest(text: str) -> str:
    """Identifies a text while somebody edits it."""
    return hashlib.sha256(text.encode(errors="replace")).hexdigest()


def _lines_with(files: list[Path], matches: Callable[[str], bool]) -> list[MemoryLine]:
    return [
        MemoryLine(path, line.strip())
        for path in files
        for line in read_text(path).splitlines()
        if line.strip() and not line.lstrip().startswith("#") and matches(same_fact(line))
    ]
