"""The memory of each person and the persona: MEMORY.md, daily notes, wiring of devices, SOUL.md. It searches nothing.

The owner's files are named as MimiClaw names them (memory/MEMORY.md, memory/YYYY-MM-DD.md); every other person has a
folder. Each change of what lasts keeps the old text (knowledge/texts.py says where).
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable
from datetime import date, datetime, timedelta
from functools import cache
from importlib import resources
from typing import Final
from urllib.parse import quote, unquote

from msgspec import Struct

from microclaw.errors import ConfigError, ToolRetry
from microclaw.knowledge.texts import CONFIG, ROOT, Texts
from microclaw.knowledge.words import same_fact, significant

OWNER_ID: Final = "owner"
MEMORY: Final = "MEMORY.md"
PEOPLE: Final = "people"
DEVICES: Final = "devices"
SOUL: Final = "SOUL.md"
USER: Final = "USER.md"
HEARTBEAT: Final = "HEARTBEAT.md"
MAX_PERSONA_BYTES: Final = 16 * 1024
MAX_FACT_CHARS: Final = 1000
MAX_FORGOTTEN: Final = 5  # lines that one `forget` removes without `every`
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
    return (resources.files("microclaw.knowledge") / "defaults" / SOUL).read_text(encoding="utf-8").strip()


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
    """The line of a fact and the name of its text. `new` is False when the text had it already."""

    name: str
    line: str
    new: bool = False


def one_fact(text: str) -> str:
    """Return the text as one line. Raises ToolRetry if it is empty or too long."""
    fact = " ".join(text.split())
    if not 0 < len(fact) <= MAX_FACT_CHARS:
        text = f"one memory has 1 to {MAX_FACT_CHARS} characters, this has {len(fact)}"
        raise ToolRetry(text, next_step="say it in one sentence")
    return fact


class Memory(Struct, frozen=True):
    """Each person's texts in `texts`. `now` gives the person's local time; `changed` is called after each write."""

    texts: Texts
    now: Callable[[], datetime]
    changed: Callable[[], None] = lambda: None

    def text(self, person: str) -> str:
        """MEMORY.md; "" when there is none. Blocking."""
        return self.texts.read(memory_name(person)).strip()

    def soul(self) -> str:
        """SOUL.md; the shipped one where it is missing or empty. Blocking."""
        return self.texts.read(f"{CONFIG}/{SOUL}", MAX_PERSONA_BYTES).strip() or default_soul()

    def user(self, person: str) -> str:
        """Return the person's own text about themselves, or "". Blocking."""
        return self.texts.read(user_name(person), MAX_PERSONA_BYTES).strip()

    def recent_notes(self, person: str, days: int = RECENT_DAYS) -> tuple[tuple[date, str], ...]:
        """Return the daily notes of today and of the latest days that have one, newest first. Blocking."""
        today = self.now().date()
        notes = []
        for days_ago in range(days):
            day = today - timedelta(days=days_ago)
            text = self.texts.read(note_name(person, day)).strip()
            if text:
                notes.append((day, text))
        return tuple(notes)

    def wiring(self, device: str) -> str:
        """Return the notes on a device and its wiring. Everyone who sees the device may read them."""
        return self.texts.read(_device_name(device)).strip()

    def days(self, person: str) -> list[date]:
        """Days with a note, oldest first. Blocking."""
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
        found = await asyncio.to_thread(self._to_forget, person, words, every)
        for name in dict.fromkeys(one.name for one in found):
            gone = {one.line for one in found if one.name == name}

            def left(there: str, gone: set[str] = gone) -> tuple[str, None]:
                return "\n".join(line for line in there.splitlines() if line.strip() not in gone) + "\n", None

            await self.texts.change(name, left)
            self.changed()
        return found

    async def write(self, name: str, text: str, *, was: str | None = None) -> None:
        """Replace a whole text, as MEMORY.md. ConfigError when `was` is given and is no longer its `digest`."""
        if not text or text.endswith("\n"):
            whole = text
        else:
            whole = text + "\n"

        def replaced(there: str) -> tuple[str, None]:
            if was is not None and was != digest(there):
                text = f"{name.rpartition('/')[2]} was changed meanwhile, so yours was not put in its place"
                raise ConfigError(text, next_step="look at it again (microclaw memory show), then edit once more")
            return whole, None

        await self.texts.change(name, replaced)
        self.changed()

    async def _append(self, name: str, text: str, *, head: str, prefix: str = "", keep: bool = False) -> MemoryLine:
        fact = one_fact(text)

        def added(there: str) -> tuple[str, MemoryLine]:
            for line in there.splitlines():
                if same_fact(line) == same_fact(fact):
                    return there, MemoryLine(name, line.strip())
            line = f"- {prefix}{fact}"
            before = there or f"{head}\n"
            if not before.endswith("\n"):
                before += "\n"
            return f"{before}{line}\n", MemoryLine(name, line, new=True)

        kept = await self.texts.change(name, added, keep=keep)
        self.changed()
        return kept

    def _to_forget(self, person: str, words: str, every: bool) -> tuple[MemoryLine, ...]:
        key = same_fact(words)
        wanted = {same_fact(word) for word in significant(words)}
        if not key:
            raise ToolRetry("name what is to be forgotten", next_step="give words that stand in that line")
        names = [memory_name(person), *(note_name(person, day) for day in reversed(self.days(person)))]
        if person == OWNER_ID:
            names += sorted(self.texts.stamps(f"{ROOT}/{DEVICES}"))
        lines = []
        for name in names:
            for line in map(str.strip, self.texts.read(name).splitlines()):
                if line and not line.startswith("#"):
                    lines.append((MemoryLine(name, line), same_fact(line)))
        found = [line for line, said in lines if key in said]
        if not found and wanted:
            found = [line for line, said in lines if wanted <= set(said.split())]
        if len(found) > MAX_FORGOTTEN and not every:
            shown = "; ".join(one.line for one in found[:MAX_FORGOTTEN])
            raise ToolRetry(
                f"{len(found)} lines say that: {shown} ...", next_step="name it more exactly, or set every to true"
            )
        return tuple(found)


def digest(text: str) -> str:
    """Return a key that identifies this version of a text while a person edits it."""
    return hashlib.sha256(text.encode(errors="replace")).hexdigest()


def _device_name(device: str) -> str:
    return f"{ROOT}/{DEVICES}/{file_stem(device)}.md"
