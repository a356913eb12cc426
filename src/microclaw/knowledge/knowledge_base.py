"""Opens what the agent knows beyond one turn: persona, memory, search, skills, conversations. It has no logic."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Final

from microclaw.clock import find_zone
from microclaw.config.settings import Settings
from microclaw.errors import ConfigError
from microclaw.knowledge.memory import OWNER_ID, Memory, person_folder
from microclaw.knowledge.search import Search
from microclaw.knowledge.skills import Skills
from microclaw.knowledge.text_files import TextCache
from microclaw.store.database import Database
from microclaw.store.notes import NoteTable
from microclaw.store.sessions import SessionFiles

SOUL: Final = "SOUL.md"
USER: Final = "USER.md"
MAX_PERSONA_BYTES: Final = 16 * 1024


class Persona:
    """`config` has the owner's SOUL.md and USER.md; another person's USER.md is in that person's memory folder.

    A changed file is read again. For a missing or empty SOUL.md the shipped one is used.
    """

    def __init__(self, config: Path, memory: Path) -> None:
        self.config = config
        self._memory = memory
        self._files = TextCache(MAX_PERSONA_BYTES)

    def soul(self) -> str:
        return self._files.read(self.config / SOUL).strip() or default_soul()

    def user(self, person: str) -> str:
        """What the person wrote about themselves; "" when there is nothing."""
        folder = self.config if person == OWNER_ID else person_folder(self._memory, person)
        return self._files.read(folder / USER).strip()


@cache
def default_soul() -> str:
    """The shipped SOUL.md."""
    return (resources.files("microclaw.knowledge") / "defaults" / SOUL).read_text(encoding="utf-8").strip()


@dataclass(frozen=True, slots=True)
class Knowledge:
    """The parts that context, tools and routes use. `now` gives the local time of the host's people."""

    persona: Persona
    memory: Memory
    search: Search
    skills: Skills
    sessions: SessionFiles
    now: Callable[[], datetime]


def open_knowledge(settings: Settings, database: Database) -> Knowledge:
    """The knowledge of a home folder. Raises ConfigError for an unknown time zone."""
    now = local_clock(settings.agent.timezone)
    search = Search(NoteTable(database), memory=settings.memory, sessions=settings.sessions)
    return Knowledge(
        persona=Persona(settings.persona, settings.memory),
        memory=Memory(settings.memory, now=now, changed=search.mark_stale),
        search=search,
        skills=Skills(settings.skills),
        sessions=SessionFiles(settings.sessions),
        now=now,
    )


def local_clock(timezone: str | None) -> Callable[[], datetime]:
    """The time now in an IANA time zone, or in the machine's."""
    if timezone is None:
        return lambda: datetime.now().astimezone()
    if (zone := find_zone(timezone)) is None:
        raise ConfigError(
            f"there is no time zone {timezone!r}", next_step="name one as in Europe/Berlin, in agent.timezone"
        )
    return lambda: datetime.now(zone)
