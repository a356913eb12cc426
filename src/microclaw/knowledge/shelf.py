"""What the agent knows beyond one turn, joined: persona, memory, search, skills, conversations. It holds no logic."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from microclaw.config import Settings
from microclaw.errors import ConfigError
from microclaw.knowledge.memory import Memory
from microclaw.knowledge.persona import Persona
from microclaw.knowledge.search import Search
from microclaw.knowledge.skills import Skills
from microclaw.store.database import Database
from microclaw.store.notes import NoteTable
from microclaw.store.sessions import SessionFiles


@dataclass(frozen=True, slots=True)
class Knowledge:
    """The parts that context, tools and routes work with. `now` is the time of day where the host's people are."""

    persona: Persona
    memory: Memory
    search: Search
    skills: Skills
    sessions: SessionFiles
    now: Callable[[], datetime]


def open_knowledge(settings: Settings, database: Database) -> Knowledge:
    """The knowledge of a home. Raises ConfigError for a time zone that is none."""
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
    try:
        zone = ZoneInfo(timezone)
    except (ZoneInfoNotFoundError, ValueError, OSError) as exc:
        raise ConfigError(
            f"there is no time zone {timezone!r}", next_step="name one as in Europe/Berlin, in agent.timezone"
        ) from exc
    return lambda: datetime.now(zone)
