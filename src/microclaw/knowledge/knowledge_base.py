"""Opens what the agent knows beyond one turn: persona, memory, search, skills, conversations. It has no logic."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import datetime
from functools import cache
from importlib import resources
from typing import Final

from msgspec import Struct

from microclaw.clock import find_zone, now_ms
from microclaw.config.settings import Settings
from microclaw.errors import ConfigError
from microclaw.knowledge.memory import OWNER_ID, ROOT, Memory, person_folder
from microclaw.knowledge.search import Search
from microclaw.knowledge.skills import Skills
from microclaw.knowledge.text_files import cut_text
from microclaw.knowledge.texts import TextFiles, Texts, TextTable
from microclaw.store.database import Database
from microclaw.store.notes import NoteTable
from microclaw.store.sessions import Sessions

_log = logging.getLogger(__name__)

SOUL: Final = "SOUL.md"
USER: Final = "USER.md"
HEARTBEAT: Final = "HEARTBEAT.md"
CONFIG: Final = "config"
SOUL_NAME: Final = f"{CONFIG}/{SOUL}"
HEARTBEAT_NAME: Final = f"{CONFIG}/{HEARTBEAT}"
MAX_PERSONA_BYTES: Final = 16 * 1024


class Persona:
    """SOUL.md, and what each person wrote about themselves. For a missing or empty SOUL.md the shipped one is used."""

    def __init__(self, texts: Texts) -> None:
        self._texts = texts

    def soul(self) -> str:
        return self._read(SOUL_NAME) or default_soul()

    def user(self, person: str) -> str:
        """What the person wrote about themselves; "" when there is nothing."""
        return self._read(user_name(person))

    def _read(self, name: str) -> str:
        return cut_text(self._texts.read(name), MAX_PERSONA_BYTES).strip()


def user_name(person: str) -> str:
    """The owner's USER.md is beside SOUL.md; another person's is in that person's memory folder."""
    return f"{CONFIG}/{USER}" if person == OWNER_ID else f"{person_folder(person)}/{USER}"


@cache
def default_soul() -> str:
    """The shipped SOUL.md."""
    return (resources.files("microclaw.knowledge") / "defaults" / SOUL).read_text(encoding="utf-8").strip()


class Knowledge(Struct, frozen=True):
    """The parts that context, tools and routes use. `now` gives the local time of the host's people."""

    persona: Persona
    memory: Memory
    search: Search
    skills: Skills
    sessions: Sessions
    now: Callable[[], datetime]


def open_knowledge(settings: Settings, index: Database, *, shared: Database | None = None) -> Knowledge:
    """The knowledge of a home folder; of a cluster's hosts memory, persona and conversations are in `shared`.
    ConfigError for an unknown time zone."""
    now = local_clock(settings.agent.timezone)
    sessions = Sessions(shared or index, now_ms)
    texts: Texts = TextFiles(settings.home, now=now)
    if shared is not None:
        texts = TextTable(shared, now_ms)
        _warn_of_files(settings)
    search = Search(NoteTable(index), texts=texts, sessions=sessions)
    sessions.follow(search.refresh_now)
    return Knowledge(
        persona=Persona(texts),
        memory=Memory(texts, now=now, changed=search.mark_stale),
        search=search,
        skills=Skills(settings.skills),
        sessions=sessions,
        now=now,
    )


def _warn_of_files(settings: Settings) -> None:
    """Say which files of the home a person may edit in vain."""
    files = TextFiles(settings.home, now=datetime.now)
    try:
        found = [one.name for folder in (ROOT, CONFIG) for one in files.stamps(folder)]
    except OSError as exc:
        _log.warning("whether %s has files of memory cannot be seen: %s", settings.home, exc.strerror)
        return
    if found:
        _log.warning(
            "not read, as memory and persona are shared by the cluster's hosts: %s in %s; next: microclaw memory edit, "
            "and move them away",
            ", ".join(found[:5]) + (f" and {len(found) - 5} more" if len(found) > 5 else ""),
            settings.home,
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
