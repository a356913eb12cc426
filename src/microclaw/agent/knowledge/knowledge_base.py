"""Opens the agent's knowledge beyond one turn: memory, persona, search, skills, conversations. It has no logic."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from msgspec import Struct

from microclaw.agent.knowledge.memory import Memory
from microclaw.agent.knowledge.search import Search
from microclaw.agent.knowledge.skills import Skills
from microclaw.agent.knowledge.texts import TextFiles, TextTable
from microclaw.clock import local_clock, now_ms
from microclaw.host.config.settings import Settings
from microclaw.host.store.database import Database
from microclaw.host.store.notes import NoteTable
from microclaw.host.store.sessions import Sessions


class Knowledge(Struct, frozen=True):
    """The parts that context, tools and routes use. `now` gives the local time of the host's people."""

    memory: Memory
    search: Search
    skills: Skills
    sessions: Sessions
    now: Callable[[], datetime]


def open_knowledge(settings: Settings, index: Database, *, shared: Database | None = None) -> Knowledge:
    """Open the knowledge of a home folder. Hosts of a cluster have memory, persona and conversations in `shared`."""
    now = local_clock(settings.agent.timezone)
    sessions = Sessions(shared or index, now_ms)
    texts = TextFiles(settings.home, now=now) if shared is None else TextTable(shared, now_ms)
    search = Search(NoteTable(index), texts=texts, sessions=sessions)
    sessions.follow(search.refresh_now)
    memory = Memory(texts, now=now, changed=search.mark_stale)
    return Knowledge(memory, search, Skills(settings.skills), sessions, now)
