"""The memory of each person and the persona: MEMORY.md, daily notes, wiring of devices, SOUL.md. It searches nothing.

The owner's files are named as MimiClaw names them (memory/MEMORY.md, memory/YYYY-MM-DD.md); every other person has a
folder. Each change of what lasts keeps the old text (agent/knowledge/texts.py says where).
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Collection, Iterator
from datetime import date, datetime, timedelta
from functools import cache, partial
from importlib import resources
from typing import Final
from urllib.parse import quote, unquote

from msgspec import Struct

from microclaw.agent.knowledge.texts import CONFIG, ROOT, Texts
from microclaw.agent.knowledge.words import fact_key, significant_words
from microclaw.errors import ConfigError, ToolRetry

OWNER_ID: Final = "owner"
MEMORY: Final = "MEMORY.md"
PEOPLE: Final = "people"
DEVICES: Final = "devices"
SOUL: Final = "SOUL.md"
USER: Final = "USER.md"
HEARTBEAT: Final = "HEARTBEAT.md"
MAX_PERSONA_BYTES: Final = 16 * 1024
MAX_FACT_CHARS: Final = 1000
# Lines that one `forget` removes without `every`.
MAX_FORGOTTEN: Final = 5
RECENT_DAYS: Final = 2


def person_folder(person: str) -> str:
    """Return a person's folder: the owner's is `memory` itself (MimiClaw's layout), all others are below it."""
    if person == OWNER_ID:
        return ROOT
    return f"{ROOT}/{PEOPLE}/{file_stem(person)}"


def memory_name(person: str) -> str:
    return f"{person_folder(person)}/{MEMORY}"


def note_name(person: str, day: date) -> str:
    return f"{person_folder(person)}/{day.isoformat()}.md"


def user_name(person: str) -> str:
    """Return the name of USER.md: the owner's is beside SOUL.md, another person's is in their memory folder."""
    if person == OWNER_ID:
        return f"{CONFIG}/{USER}"
    return f"{person_folder(person)}/{USER}"


@cache
def default_soul() -> str:
    """Return the shipped SOUL.md."""
    return (resources.files("microclaw.agent.knowledge") / "defaults" / SOUL).read_text(encoding="utf-8").strip()


def file_stem(name: str) -> str:
    """Return a name as one part of a path: never a parent, never hidden, different for each name."""
    quoted = quote(name, safe="", errors="surrogatepass").replace(".", "%2E").replace("~", "%7E")
    return quoted or "%"


def name_of_stem(stem: str) -> str:
    if stem == "%":
        return ""
    return unquote(stem, errors="replace")


def day_of(name: str) -> date | None:
    """Return the day of a daily note, which is named YYYY-MM-DD.md, or None for another text."""
    stem = name.rpartition("/")[2].removesuffix(".md")
    try:
        day = date.fromisoformat(stem)
    except ValueError:
        return None
    if day.isoformat() != stem:
        return None
    return day


class MemoryLine(Struct, frozen=True):
    """The line of a fact and the name of its text. `new` is False if the text had it already."""

    name: str
    line: str
    new: bool = False


def check_fact(text: str) -> str:
    """Return the text as one line. Raises ToolRetry if it is empty or too long."""
    fact = " ".join(text.split())
    if not 0 < len(fact) <= MAX_FACT_CHARS:
        text = f"one memory has 1 to {MAX_FACT_CHARS} characters, this text has {len(fact)}"
        raise ToolRetry(text, next_step="say it in one sentence")
    return fact


class Memory(Struct, frozen=True):
    """Each person's texts in `texts`. `now` gives the person's local time; `changed` is called after each write."""

    texts: Texts
    now: Callable[[], datetime]
    changed: Callable[[], None] = lambda: None

    def text(self, person: str) -> str:
        """Return MEMORY.md, or "" if the person has none. Blocking."""
        return self.texts.read(memory_name(person)).strip()

    def soul(self) -> str:
        """Return SOUL.md, or the shipped text if it is missing or empty. Blocking."""
        return self.texts.read(f"{CONFIG}/{SOUL}", MAX_PERSONA_BYTES).strip() or default_soul()

    def user(self, person: str) -> str:
        """Return the person's own text about themselves, or "". Blocking."""
        return self.texts.read(user_name(person), MAX_PERSONA_BYTES).strip()

    def recent_notes(self, person: str) -> tuple[tuple[date, str], ...]:
        """Return the daily notes of today and of the latest days that have one, newest first. Blocking."""
        today = self.now().date()
        notes = []
        for days_ago in range(RECENT_DAYS):
            day = today - timedelta(days=days_ago)
            text = self.texts.read(note_name(person, day)).strip()
            if text:
                notes.append((day, text))
        return tuple(notes)

    def wiring(self, device: str) -> str:
        """Return the notes on a device and its wiring. Everyone who sees the device may read them."""
        return self.texts.read(_device_name(device)).strip()

    def days(self, person: str) -> list[date]:
        """Return the days with a note, oldest first. Blocking."""
        days = map(day_of, self.texts.stamps(person_folder(person)))
        return sorted(day for day in days if day is not None)

    async def remember(self, person: str, fact: str) -> MemoryLine:
        """Add a fact to the person's MEMORY.md, unless it is there already."""
        return await self._append(memory_name(person), fact, head="# Memory\n", keep=True)

    async def note(self, person: str, text: str) -> MemoryLine:
        """Add a line to today's note."""
        now = self.now()
        name = note_name(person, now.date())
        return await self._append(name, text, head=f"# {now.date().isoformat()}\n", prefix=f"{now:%H:%M} ")

    async def remember_wiring(self, device: str, fact: str) -> MemoryLine:
        """Add a line to the notes on a device."""
        return await self._append(_device_name(device), fact, head=f"# {device}\n")

    async def forget(self, person: str, words: str, *, every: bool = False) -> tuple[MemoryLine, ...]:
        """Remove the lines with these words from MEMORY.md and the daily notes; for the owner also from the wiring.

        Lines with the words as given are removed; if there are none, lines with each of the words. Raises ToolRetry
        for more than MAX_FORGOTTEN lines without `every`.
        """
        matches = await asyncio.to_thread(self._lines_to_forget, person, words, every)
        lines_by_name: dict[str, set[str]] = {}
        for match in matches:
            lines_by_name.setdefault(match.name, set()).add(match.line)
        for name, lines in lines_by_name.items():
            await self.texts.change(name, partial(_without_lines, lines))
            self.changed()
        return matches

    async def forget_where(self, is_outdated: Callable[[str, str | None], bool], device: str) -> None:
        """Remove the outdated lines of each person's MEMORY.md and of the notes on a device.

        `is_outdated` gets a line, and the name of the device if the line is of its notes. Raises StoreError.
        """
        await self.texts.refresh()
        names: dict[str, str | None] = {memory_name(OWNER_ID): None, _device_name(device): device.lower()}
        for stem in await asyncio.to_thread(self.texts.folders, f"{ROOT}/{PEOPLE}"):
            names[f"{ROOT}/{PEOPLE}/{stem}/{MEMORY}"] = None
        for name, noted_with in names.items():
            text = await asyncio.to_thread(self.texts.read, name)
            lines = [line.strip() for line in text.splitlines() if is_outdated(line.strip(), noted_with)]
            if lines:
                await self.texts.change(name, partial(_without_lines, lines))
                self.changed()

    async def write(self, name: str, text: str, *, was: str | None = None) -> None:
        """Replace a whole text, as MEMORY.md. Raises ConfigError if `was` is given and is no longer its `digest`."""
        if text and not text.endswith("\n"):
            text += "\n"

        def replace(current: str) -> tuple[str, None]:
            if was is not None and was != digest(current):
                reason = f"{name.rpartition('/')[2]} was changed meanwhile, so your text did not replace it"
                raise ConfigError(reason, next_step="look at it again (microclaw memory show), then edit once more")
            return text, None

        await self.texts.change(name, replace)
        self.changed()

    async def _append(self, name: str, text: str, *, head: str, prefix: str = "", keep: bool = False) -> MemoryLine:
        """Add a fact as a line unless the text has it. `head` begins a new text."""
        fact = check_fact(text)

        def add(current: str) -> tuple[str, MemoryLine]:
            for line in current.splitlines():
                if fact_key(line) == fact_key(fact):
                    return current, MemoryLine(name, line.strip())
            line = f"- {prefix}{fact}"
            before = current or f"{head}\n"
            if not before.endswith("\n"):
                before += "\n"
            return f"{before}{line}\n", MemoryLine(name, line, new=True)

        memory_line = await self.texts.change(name, add, keep=keep)
        self.changed()
        return memory_line

    def _lines_to_forget(self, person: str, words: str, every: bool) -> tuple[MemoryLine, ...]:
        """Return the lines with these words. Blocking. Raises ToolRetry."""
        phrase = fact_key(words)
        if not phrase:
            raise ToolRetry("name what is to be forgotten", next_step="give words that stand in that line")
        word_keys = set(map(fact_key, significant_words(words)))
        with_phrase: list[MemoryLine] = []
        with_each_word: list[MemoryLine] = []
        for memory_line in self._facts(person):
            fact = fact_key(memory_line.line)
            if phrase in fact:
                with_phrase.append(memory_line)
            elif word_keys and word_keys <= set(fact.split()):
                with_each_word.append(memory_line)
        matches = with_phrase or with_each_word
        if len(matches) > MAX_FORGOTTEN and not every:
            shown = "; ".join(match.line for match in matches[:MAX_FORGOTTEN])
            raise ToolRetry(
                f"{len(matches)} lines say that: {shown} ...", next_step="name it more exactly, or set every to true"
            )
        return tuple(matches)

    def _facts(self, person: str) -> Iterator[MemoryLine]:
        """Yield the lines of MEMORY.md and of the daily notes, the newest note first; for the owner also the wiring."""
        names = [memory_name(person)]
        for day in reversed(self.days(person)):
            names.append(note_name(person, day))
        if person == OWNER_ID:
            names += sorted(self.texts.stamps(f"{ROOT}/{DEVICES}"))
        for name in names:
            for line in map(str.strip, self.texts.read(name).splitlines()):
                if line and not line.startswith("#"):
                    yield MemoryLine(name, line)


def _without_lines(removed_lines: Collection[str], text: str) -> tuple[str, None]:
    lines = [line for line in text.splitlines() if line.strip() not in removed_lines]
    return "\n".join(lines) + "\n", None


def digest(text: str) -> str:
    """Return a key that identifies this version of a text while a person edits it."""
    return hashlib.sha256(text.encode(errors="replace")).hexdigest()


def _device_name(device: str) -> str:
    return f"{ROOT}/{DEVICES}/{file_stem(device)}.md"
