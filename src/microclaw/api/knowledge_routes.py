"""/v1/memory, /v1/sessions, /v1/skills: what is remembered for the caller, conversations, skills. It keeps nothing.

Memory is the caller's own. Conversations are the owner's.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Annotated, Any, Final

from fastapi import APIRouter, Query
from pydantic import Field

from microclaw.api.answers import answers
from microclaw.api.body import RequestBody
from microclaw.api.caller import Caller, RequestCaller
from microclaw.api.people_answers import (
    CheckedSkill,
    EditedMemory,
    MemoryMatches,
    MemoryText,
    OneSkill,
    RemovedSession,
    SessionMessages,
    Sessions,
    Skills,
)
from microclaw.auth.gate import Gate, Permission
from microclaw.config.settings import Settings
from microclaw.devices.call_text import CALLS
from microclaw.errors import Diagnostic, UnknownName
from microclaw.knowledge.knowledge_base import CONFIG, HEARTBEAT, SOUL, USER, Knowledge, user_name
from microclaw.knowledge.memory import MEMORY, Memory, digest, is_day, memory_name, note_name
from microclaw.knowledge.skill_file import Skill
from microclaw.knowledge.text_files import MAX_TEXT_BYTES
from microclaw.store.notes import NoteHit
from microclaw.store.sessions import SessionEntry, SessionMessage

KEPT: Final = ("memory and daily notes", "schedules", "programs with their source")
"""What a removed conversation leaves: a person had it remembered, planned or built."""


@dataclass(frozen=True, slots=True)
class KnowledgeParts:
    """What the routes work with. `erase` removes a conversation; `tool_names` are those that a skill may name."""

    settings: Settings
    gate: Gate
    knowledge: Knowledge
    erase: Callable[[str], Awaitable[str]]
    tool_names: frozenset[str] = frozenset()


class MemoryBody(RequestBody):
    """`was` is the `digest` that came with the text that was edited; `name` is that text's."""

    text: Annotated[str, Field(max_length=MAX_TEXT_BYTES)]
    was: Annotated[str, Field(max_length=64)]
    name: Annotated[str, Field(max_length=64)] = MEMORY


def knowledge_router(parts: KnowledgeParts) -> APIRouter:
    router = APIRouter()
    _route_memory(router, parts)
    _route_sessions(router, parts)
    _route_skills(router, parts)
    return router


def _route_memory(router: APIRouter, parts: KnowledgeParts) -> None:
    memory, search = parts.knowledge.memory, parts.knowledge.search

    @router.get(
        "/v1/memory",
        tags=["memory"],
        summary="MEMORY.md, or the text of another name, and the latest notes of the caller",
        responses=answers(MemoryText),
    )
    async def show_memory(by: RequestCaller, name: Annotated[str, Query(max_length=64)] = MEMORY) -> dict[str, Any]:
        parts.gate.check(by.person_id, Permission.READ, "look at memory")
        chosen = _chosen(parts.gate, by, name)
        text = await asyncio.to_thread(memory.texts.read, chosen)
        notes = await asyncio.to_thread(memory.recent_notes, by.person_id)
        return {
            "text": text,
            "digest": digest(text),
            "file": _text_place(memory, chosen, by),
            "notes": [{"day": day.isoformat(), "text": note} for day, note in notes],
        }

    @router.put(
        "/v1/memory",
        tags=["memory"],
        summary="Put an edited text in place, as MEMORY.md; the old version is kept",
        responses=answers(EditedMemory),
    )
    async def edit_memory(body: MemoryBody, by: RequestCaller) -> dict[str, Any]:
        parts.gate.check(by.person_id, Permission.ACT, "edit memory")
        chosen = _chosen(parts.gate, by, body.name)
        await memory.write(chosen, body.text, was=body.was)
        text = await asyncio.to_thread(memory.texts.read, chosen)
        return {"file": _text_place(memory, chosen, by), "digest": digest(text)}

    @router.get(
        "/v1/memory/search",
        tags=["memory"],
        summary="The caller's best matches, with their source",
        responses=answers(MemoryMatches),
    )
    async def search_memory(
        q: Annotated[str, Query(min_length=1, max_length=1000)],
        by: RequestCaller,
        limit: Annotated[int, Query(ge=1, le=50)] = 10,
    ) -> dict[str, Any]:
        parts.gate.check(by.person_id, Permission.READ, "search memory")
        return {"found": [_found(one) for one in await search.find(by.person_id, q, limit=limit)]}


def _route_sessions(router: APIRouter, parts: KnowledgeParts) -> None:
    sessions = parts.knowledge.sessions

    @router.get(
        "/v1/sessions", tags=["sessions"], summary="Conversations, the latest first", responses=answers(Sessions)
    )
    async def list_sessions(by: RequestCaller) -> dict[str, Any]:
        parts.gate.check_owner(by.person_id, "list conversations")
        return {"sessions": [_session(one) for one in await sessions.list()]}

    @router.get(
        "/v1/sessions/{name}",
        tags=["sessions"],
        summary="The newest messages of a conversation",
        responses=answers(SessionMessages),
    )
    async def show_session(
        name: str, by: RequestCaller, newest: Annotated[int, Query(ge=1, le=1000)] = 40
    ) -> dict[str, Any]:
        parts.gate.check_owner(by.person_id, "read conversations")
        full = await sessions.full_name(name)
        return {"name": full, "messages": [message_object(message) for message in await sessions.show(full, newest)]}

    @router.delete(
        "/v1/sessions/{name}", tags=["sessions"], summary="Remove a conversation", responses=answers(RemovedSession)
    )
    async def remove_session(name: str, by: RequestCaller) -> dict[str, Any]:
        parts.gate.check_owner(by.person_id, "remove conversations")
        return {"removed": await parts.erase(name), "kept": list(KEPT)}


def _route_skills(router: APIRouter, parts: KnowledgeParts) -> None:
    skills = parts.knowledge.skills

    @router.get(
        "/v1/skills",
        tags=["skills"],
        summary="Skills that can be used, and folders that cannot",
        responses=answers(Skills),
    )
    async def list_skills(by: RequestCaller) -> dict[str, Any]:
        parts.gate.check(by.person_id, Permission.READ, "list skills")
        usable = await asyncio.to_thread(skills.all)
        broken = await asyncio.to_thread(skills.broken)
        return {
            "folder": _place(skills.folder, by),
            "skills": [_skill(skill, by) for skill in usable],
            "broken": [{"name": name, "mistakes": _mistakes(checked.mistakes)} for name, checked in broken],
        }

    @router.get(
        "/v1/skills/{name}",
        tags=["skills"],
        summary="A skill's text and the files beside it",
        responses=answers(OneSkill),
    )
    async def show_skill(name: str, by: RequestCaller) -> dict[str, Any]:
        parts.gate.check(by.person_id, Permission.READ, "look at skills")
        skill = await asyncio.to_thread(skills.get, name)
        files = await asyncio.to_thread(skills.files, name)
        return {**_skill(skill, by), "text": skill.body, "files": list(files)}

    @router.get(
        "/v1/skills/{name}/check",
        tags=["skills"],
        summary="A skill's mistakes with their lines",
        responses=answers(CheckedSkill),
    )
    async def check_skill(name: str, by: RequestCaller) -> dict[str, Any]:
        parts.gate.check(by.person_id, Permission.READ, "check skills")
        checked = await asyncio.to_thread(
            lambda: skills.check(name, tools=parts.tool_names, capabilities=frozenset(CALLS))
        )
        return {"name": name, "ok": checked.ok, "mistakes": _mistakes(checked.mistakes)}


def _found(one: NoteHit) -> dict[str, Any]:
    return {"source": one.source, "kind": one.kind, "day": one.day, "text": one.text, "score": round(one.score, 3)}


def _session(one: SessionEntry) -> dict[str, Any]:
    return {"name": one.name, "size_bytes": one.size_bytes, "changed_s": int(one.changed_s)}


def message_object(message: SessionMessage) -> dict[str, Any]:
    return {"role": message.role, "content": message.content, "ts": message.ts, "person": message.person}


def _chosen(gate: Gate, by: Caller, name: str) -> str:
    """A text by the name that a person knows it by; SOUL.md and HEARTBEAT.md are the owner's."""
    if name in (SOUL, HEARTBEAT):
        gate.check_owner(by.person_id, f"look at or change {name}")
        return f"{CONFIG}/{name}"
    if name == MEMORY:
        return memory_name(by.person_id)
    if name == USER:
        return user_name(by.person_id)
    if name.endswith(".md") and is_day(stem := name.removesuffix(".md")):
        with contextlib.suppress(ValueError):
            return note_name(by.person_id, date.fromisoformat(stem))
    raise UnknownName(
        f"there is no text {name[:80]!r}",
        next_step=f"name one of {MEMORY}, {USER}, {SOUL}, {HEARTBEAT}, or a day's note as 2026-11-20.md; or search: "
        "microclaw memory search WORDS",
    )


def _text_place(memory: Memory, name: str, by: Caller) -> str:
    """As `_place`; also where it is no file."""
    return memory.texts.place(name) if by.direct or memory.texts.is_shared else name.rpartition("/")[2]


def _place(path: Path, by: Caller) -> str:
    """Where it is on this machine, for who sits there; to others its name says enough."""
    return str(path) if by.direct else path.name


def _skill(skill: Skill, by: Caller) -> dict[str, Any]:
    return {
        "name": skill.name,
        "description": skill.description,
        "shipped": skill.shipped,
        "folder": _place(skill.folder, by),
        "tools": list(skill.tools),
        "capabilities": list(skill.capabilities),
    }


def _mistakes(found: tuple[Diagnostic, ...]) -> list[dict[str, Any]]:
    return [{**mistake.to_json()} for mistake in found]
