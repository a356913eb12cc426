"""Opens what the agent knows beyond one turn: memory, persona, search, skills, conversations. It has no logic."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import datetime
from zoneinfo import ZoneInfo

from msgspec import Struct

from microclaw.clock import now_ms
from microclaw.config.settings import Settings
from microclaw.knowledge.memory import CONFIG, ROOT, Memory
from microclaw.knowledge.search import Search
from microclaw.knowledge.skills import Skills
from microclaw.knowledge.texts import TextFiles, Texts, TextTable
from microclaw.store.database import Database
from microclaw.store.notes import NoteTable
from microclaw.store.sessions import Sessions

_log = logging.getLogger(__name__)


class Knowledge(Struct, frozen=True):
    """The parts that context, tools and routes use. `now` gives the local time of the host's people."""

    memory: Memory
    search: Search
    skills: Skills
    sessions: Sessions
    now: Callable[[], datetime]


def open_knowledge(settings: Settings, index: Database, *, shared: Database | None = None) -> Knowledge:
    """The knowledge of a home folder; of a cluster's hosts memory, persona and conversations are in `shared`."""
    zone = None if settings.agent.timezone is None else ZoneInfo(settings.agent.timezone)  # None is the machine's

    def now() -> datetime:
        return datetime.now(zone).astimezone(zone)

    sessions = Sessions(shared or index, now_ms)
    texts: Texts = TextFiles(settings.home, now=now)
    if shared is not None:
        texts = TextTable(shared, now_ms)
        _warn_of_files(settings)
    search = Search(NoteTable(index), texts=texts, sessions=sessions)
    sessions.follow(search.refresh_now)
    return Knowledge(
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
        found = [name for folder in (ROOT, CONFIG) for name in files.stamps(folder)]
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
