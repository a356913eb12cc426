"""The acts of memory, conversations and skills. Memory is the caller's own, conversations are the owner's."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Final, TypeAlias

from msgspec import Meta, Struct

from microclaw.errors import Diagnostic, UnknownName
from microclaw.knowledge.memory import (
    HEARTBEAT,
    MEMORY,
    SOUL,
    USER,
    day_of,
    digest,
    memory_name,
    note_name,
    user_name,
)
from microclaw.knowledge.texts import CONFIG, MAX_TEXT_BYTES
from microclaw.operations.operation import NAME, Access, Effect, OperationCall, Option, Permission, operation
from microclaw.operations.result import Listing, Result, SourceFinding, filled, findings
from microclaw.store.notes import NoteHit
from microclaw.store.sessions import SessionEntry
from microclaw.text import moment_text

if TYPE_CHECKING:
    from pathlib import Path

    from microclaw.auth.gate import Gate
    from microclaw.knowledge.knowledge_base import Knowledge

KEPT: Final = ("memory and daily notes", "schedules", "programs with their source")
"""What a removed conversation leaves: a person had it remembered, planned or built."""
_OWNERS: Final = (SOUL, HEARTBEAT)


class KnowledgeService(Struct, frozen=True):
    """The parts that the acts work with. `erase` removes a conversation."""

    gate: Gate
    knowledge: Knowledge
    erase: Callable[[str], Awaitable[str]]


class MemoryNote(Struct, frozen=True, kw_only=True):
    day: str
    text: str


class MemoryText(Result, frozen=True, kw_only=True):
    """`digest` goes with an edit."""

    document: ClassVar = "memory"

    text: str
    digest: str
    file: str
    notes: list[MemoryNote]

    def lines(self) -> Iterable[str]:
        yield self.text.rstrip("\n") or "nothing is written there yet"
        for note in self.notes:
            yield ""
            yield note.text.rstrip("\n")
        yield ""
        yield self.file


class EditedMemory(Result, frozen=True, kw_only=True):
    file: str
    digest: str


class MemoryMatches(Result, frozen=True, kw_only=True):
    document: ClassVar = "memory_search"

    found: list[NoteHit]

    def lines(self) -> Iterable[str]:
        for one in self.found:
            yield f"{one.day}  {one.source}"
            yield f"    {' '.join(one.text.split())}"
        if not self.found:
            yield "nothing was found"


TextName: TypeAlias = Annotated[
    str,
    Meta(max_length=64, description="MEMORY.md, USER.md, SOUL.md, HEARTBEAT.md or a day's note as 2026-11-20.md."),
    Option(argument=True),
]


@operation("memory.show", http="GET /v1/memory")
async def show_memory(service: KnowledgeService, call: OperationCall, name: TextName = MEMORY) -> MemoryText:
    """MEMORY.md and the notes of today and yesterday, or the text of that name."""
    memory = service.knowledge.memory
    chosen = _chosen(service.gate, call, name)
    text = await asyncio.to_thread(memory.texts.read, chosen)
    if name == MEMORY:
        notes = await asyncio.to_thread(memory.recent_notes, call.person_id)
    else:
        notes = ()
    return MemoryText(
        text=text,
        digest=digest(text),
        file=_place(memory.texts.place(chosen), call),
        notes=[MemoryNote(day=day.isoformat(), text=note) for day, note in notes],
    )


@operation(
    "memory.edit",
    http="PUT /v1/memory",
    permission=Permission.ACT,
    effect=Effect.IDEMPOTENT,
    is_command=False,
    words="edit {name}",
)
async def edit_memory(
    service: KnowledgeService,
    call: OperationCall,
    text: Annotated[str, Meta(max_length=MAX_TEXT_BYTES)],
    was: Annotated[str, Meta(max_length=64, description="The `digest` of the text that was edited.")],
    name: TextName = MEMORY,
) -> EditedMemory:
    """Put an edited text in place."""
    memory = service.knowledge.memory
    chosen = _chosen(service.gate, call, name)
    await memory.write(chosen, text, was=was)
    kept = digest(await asyncio.to_thread(memory.texts.read, chosen))
    return EditedMemory(file=_place(memory.texts.place(chosen), call), digest=kept)


@operation("memory.search", http="GET /v1/memory/search")
async def search_memory(
    service: KnowledgeService,
    call: OperationCall,
    q: Annotated[
        str, Meta(min_length=1, max_length=1000, description="What to look for."), Option(rest=True, metavar="WORDS")
    ],
    limit: Annotated[int, Meta(ge=1, le=50, description="At most N.")] = 10,
) -> MemoryMatches:
    """Find notes, memories and what was said, best first."""
    return MemoryMatches(found=list(await service.knowledge.search.find(call.person_id, q, limit=limit)))


def _chosen(gate: Gate, call: OperationCall, name: str) -> str:
    """Return a text by the name that a person uses; SOUL.md and HEARTBEAT.md are the owner's."""
    if name in _OWNERS:
        gate.check_owner(call.person_id, f"look at or change {name}")
        return f"{CONFIG}/{name}"
    if name == MEMORY:
        return memory_name(call.person_id)
    if name == USER:
        return user_name(call.person_id)
    day = day_of(name)
    if day is not None:
        return note_name(call.person_id, day)
    step = f"name one of {', '.join((MEMORY, USER, *_OWNERS))}, or a day's note as 2026-11-20.md"
    raise UnknownName(f"there is no text {name[:80]!r}", next_step=step)


class SessionList(Listing, frozen=True, kw_only=True):
    document: ClassVar = "sessions"
    columns: ClassVar = {"NAME": "name", "LAST": "changed_s", "SIZE": "size_bytes"}

    sessions: list[SessionEntry]


class SessionLine(Struct, frozen=True, kw_only=True):
    """`ts` in seconds since 1970."""

    role: str
    content: str
    ts: int
    person: str


class SessionMessages(Result, frozen=True, kw_only=True):
    document: ClassVar = "session"

    name: str
    messages: list[SessionLine]

    @property
    def is_foreign(self) -> bool:
        # It is another chat, with what that read.
        return True

    def lines(self) -> Iterable[str]:
        for one in self.messages:
            author = one.person if one.role == "user" else "microclaw"
            yield f"{moment_text(one.ts * 1000)}  {author}: {one.content}"


class RemovedSession(Result, frozen=True, kw_only=True):
    document: ClassVar = "session_rm"

    removed: str
    kept: list[str]

    @property
    def left(self) -> str:
        return ", ".join(self.kept)


SessionName: TypeAlias = Annotated[str, Meta(pattern=NAME, description="As the list names it, or its chat alone.")]


@operation("session.list", http="GET /v1/sessions", access=Access.OWN, command="sessions")
async def list_sessions(service: KnowledgeService, _: OperationCall) -> SessionList:
    """List saved conversations, the latest first."""
    return SessionList(sessions=list(await service.knowledge.sessions.list()))


@operation("session.show", http="GET /v1/sessions/{name}", access=Access.OWN, command="sessions")
async def show_session(
    service: KnowledgeService,
    _: OperationCall,
    name: SessionName,
    newest: Annotated[int, Meta(ge=1, le=1000, description="So many messages."), Option("-n/--newest")] = 40,
) -> SessionMessages:
    """Show the newest messages of a conversation."""
    sessions = service.knowledge.sessions
    full = await sessions.full_name(name)
    lines = [filled(SessionLine, one) for one in await sessions.show(full, newest)]
    return SessionMessages(name=full, messages=lines)


@operation(
    "session.rm",
    http="DELETE /v1/sessions/{name}",
    command="sessions",
    permission=Permission.ACT,
    access=Access.OWN,
    effect=Effect.IDEMPOTENT,
    said="removed {removed}, its words everywhere; kept: {left}",
    confirm="Remove the conversation {name} for good?",
)
async def remove_session(
    service: KnowledgeService, _: OperationCall, name: Annotated[SessionName, Option("--rm", metavar="NAME")]
) -> RemovedSession:
    """Remove a conversation and its words for good; memory, schedules and programs stay."""
    return RemovedSession(removed=await service.erase(name), kept=list(KEPT))


class SkillFacts(Result, frozen=True, kw_only=True):
    name: str
    description: str
    shipped: bool
    folder: str

    @property
    def source(self) -> str:
        return "shipped" if self.shipped else "yours"


class CheckedSkill(Struct, frozen=True, kw_only=True):
    name: str
    ok: bool
    mistakes: list[SourceFinding]
    source: ClassVar = "broken"

    @property
    def description(self) -> str:
        return f"microclaw memory check-skills {self.name}"


class SkillList(Listing, frozen=True, kw_only=True):
    document: ClassVar = "skills"
    columns: ClassVar = {"NAME": "name", "FROM": "source", "WHAT IT IS FOR": "description"}

    folder: str
    skills: list[SkillFacts]
    broken: list[CheckedSkill]

    @property
    def rows(self) -> Sequence[Any]:
        return (*self.skills, *self.broken)

    @property
    def note(self) -> str:
        return f"yours are folders in {self.folder}"


class OneSkill(SkillFacts, frozen=True, kw_only=True):
    document: ClassVar = "skill"

    text: str
    files: list[str]

    def lines(self) -> Iterable[str]:
        return self.text, *(f"file: {file}" for file in self.files)


class SkillCheck(Result, frozen=True, kw_only=True):
    document: ClassVar = "skill_check"

    skills: list[CheckedSkill]

    @property
    def exit_code(self) -> int:
        return 0 if all(one.ok for one in self.skills) else 1

    def lines(self) -> Iterable[str]:
        for one in self.skills:
            yield from (mistake.text for mistake in one.mistakes)
            if not one.mistakes:
                yield f"{one.name}: ok"


SkillName: TypeAlias = Annotated[str, Meta(pattern=NAME, description="The skill's name.")]


@operation("skill.list", http="GET /v1/skills", command="skills")
async def list_skills(service: KnowledgeService, call: OperationCall) -> SkillList:
    """Skills that can be used, and folders that cannot."""
    skills = service.knowledge.skills
    usable = await asyncio.to_thread(skills.all)
    broken = await asyncio.to_thread(skills.broken)
    return SkillList(
        folder=_place(skills.folder, call),
        skills=[filled(SkillFacts, skill, folder=_place(skill.folder, call)) for skill in usable],
        broken=[_checked(name, mistake) for name, mistake in broken.items()],
    )


@operation("skill.show", http="GET /v1/skills/{name}", command="skills")
async def show_skill(service: KnowledgeService, call: OperationCall, name: SkillName) -> OneSkill:
    """Show a skill's text, and the files beside it."""
    skills = service.knowledge.skills
    skill = await asyncio.to_thread(skills.get, name)
    files = await asyncio.to_thread(skills.files, name)
    return filled(OneSkill, skill, folder=_place(skill.folder, call), text=skill.body, files=list(files))


@operation("skill.check", http="GET /v1/skill-check", command="check-skills")
async def check_skills(
    service: KnowledgeService,
    _: OperationCall,
    name: Annotated[
        str | None, Meta(pattern=NAME, description="The skill's name; all without it."), Option(argument=True)
    ] = None,
) -> SkillCheck:
    """Check skills, and say what is wrong. Exit code 1 when one cannot be used."""
    skills = service.knowledge.skills

    def checked() -> list[CheckedSkill]:
        broken = skills.broken()
        if name is not None and name not in broken:
            skills.get(name)
        names = [name] if name is not None else dict.fromkeys((*(one.name for one in skills.all()), *broken))
        return [_checked(one, broken.get(one)) for one in names]

    return SkillCheck(skills=await asyncio.to_thread(checked))


def _checked(name: str, mistake: Diagnostic | None) -> CheckedSkill:
    return CheckedSkill(name=name, ok=mistake is None, mistakes=findings([] if mistake is None else [mistake]))


def _place(path: Path | str, call: OperationCall) -> str:
    """Return the path for a user at this machine, and only the name for others."""
    if call.direct:
        return str(path)
    return str(path).rpartition("/")[2]
