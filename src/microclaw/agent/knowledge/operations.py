"""The acts of memory, conversations and skills. Memory is the caller's own, conversations are the owner's."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Final, TypeAlias

from msgspec import Meta, Struct

from microclaw.agent.knowledge.memory import (
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
from microclaw.agent.knowledge.texts import CONFIG, MAX_TEXT_BYTES
from microclaw.errors import Diagnostic, UnknownName
from microclaw.host.operations.forms import NO_COMMAND, CommandForm
from microclaw.host.operations.operation import NAME, Access, Effect, OperationCall, Option, Permission, operation
from microclaw.host.operations.result import Listing, Result, SourceFinding, filled, findings
from microclaw.host.store.notes import NoteHit
from microclaw.host.store.sessions import SessionEntry
from microclaw.text import moment_text

if TYPE_CHECKING:
    from pathlib import Path

    from microclaw.agent.knowledge.knowledge_base import Knowledge
    from microclaw.host.auth.gate import Gate

KEPT: Final = ("memory and daily notes", "schedules", "programs with their source")
"""The data that stay when a conversation is removed, as a person had them remembered, planned or built."""
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
    """A text of the memory. An edit sends its `digest` back."""

    document: ClassVar = "memory"

    text: str
    digest: str
    file: str
    notes: list[MemoryNote]

    def lines(self) -> Iterable[str]:
        yield self.text.rstrip("\n") or "this text is empty"
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
        for hit in self.found:
            yield f"{hit.day}  {hit.source}"
            yield f"    {' '.join(hit.text.split())}"
        if not self.found:
            yield "nothing was found"


TextName: TypeAlias = Annotated[
    str,
    Meta(max_length=64, description="MEMORY.md, USER.md, SOUL.md, HEARTBEAT.md or a day's note as 2026-11-20.md."),
    Option(argument=True),
]


@operation("memory.show", http="GET /v1/memory")
async def show_memory(service: KnowledgeService, call: OperationCall, name: TextName = MEMORY) -> MemoryText:
    """Show MEMORY.md and the notes of today and yesterday, or the text of that name."""
    memory = service.knowledge.memory
    text_name = _full_name(service.gate, call, name)
    text = await asyncio.to_thread(memory.texts.read, text_name)
    notes: list[MemoryNote] = []
    if name == MEMORY:
        for day, note in await asyncio.to_thread(memory.recent_notes, call.person_id):
            notes.append(MemoryNote(day=day.isoformat(), text=note))
    place = _place(memory.texts.place(text_name), call)
    return MemoryText(text=text, digest=digest(text), file=place, notes=notes)


@operation(
    "memory.edit",
    http="PUT /v1/memory",
    permission=Permission.ACT,
    effect=Effect.IDEMPOTENT,
    command=NO_COMMAND,
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
    text_name = _full_name(service.gate, call, name)
    await memory.write(text_name, text, was=was)
    new_text = await asyncio.to_thread(memory.texts.read, text_name)
    return EditedMemory(file=_place(memory.texts.place(text_name), call), digest=digest(new_text))


@operation("memory.search", http="GET /v1/memory/search")
async def search_memory(
    service: KnowledgeService,
    call: OperationCall,
    q: Annotated[
        str, Meta(min_length=1, max_length=1000, description="What to look for."), Option(rest=True, metavar="WORDS")
    ],
    limit: Annotated[int, Meta(ge=1, le=50, description="At most N.")] = 10,
) -> MemoryMatches:
    """Find notes, memories and messages, best first."""
    hits = await service.knowledge.search.find(call.person_id, q, limit=limit)
    return MemoryMatches(found=list(hits))


def _full_name(gate: Gate, call: OperationCall, name: str) -> str:
    """Return the name of a text from the short name that a person uses.

    Raises PermissionRefused if another person than the owner names SOUL.md or HEARTBEAT.md, UnknownName.
    """
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
        # It is another chat, which may have read untrusted text.
        return True

    def lines(self) -> Iterable[str]:
        for message in self.messages:
            author = message.person if message.role == "user" else "microclaw"
            yield f"{moment_text(message.ts * 1000)}  {author}: {message.content}"


class RemovedSession(Result, frozen=True, kw_only=True):
    document: ClassVar = "session_rm"

    removed: str
    kept: list[str]

    @property
    def left(self) -> str:
        return ", ".join(self.kept)


SessionName: TypeAlias = Annotated[str, Meta(pattern=NAME, description="As the list names it, or only its chat.")]


@operation("session.list", http="GET /v1/sessions", access=Access.OWN, command=CommandForm("sessions"))
async def list_sessions(service: KnowledgeService, _: OperationCall) -> SessionList:
    """List saved conversations, the latest first."""
    return SessionList(sessions=list(await service.knowledge.sessions.list()))


@operation("session.show", http="GET /v1/sessions/{name}", access=Access.OWN, command=CommandForm("sessions"))
async def show_session(
    service: KnowledgeService,
    _: OperationCall,
    name: SessionName,
    newest: Annotated[int, Meta(ge=1, le=1000, description="At most N messages."), Option("-n/--newest")] = 40,
) -> SessionMessages:
    """Show the newest messages of a conversation."""
    sessions = service.knowledge.sessions
    full_name = await sessions.full_name(name)
    messages = await sessions.show(full_name, newest)
    return SessionMessages(name=full_name, messages=[filled(SessionLine, message) for message in messages])


@operation(
    "session.rm",
    http="DELETE /v1/sessions/{name}",
    command=CommandForm(
        "sessions",
        said="removed {removed}, its words everywhere; kept: {left}",
        confirm="Remove the conversation {name} for good?",
    ),
    permission=Permission.ACT,
    access=Access.OWN,
    effect=Effect.IDEMPOTENT,
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
        return 0 if all(skill.ok for skill in self.skills) else 1

    def lines(self) -> Iterable[str]:
        for skill in self.skills:
            for mistake in skill.mistakes:
                yield mistake.text
            if not skill.mistakes:
                yield f"{skill.name}: ok"


SkillName: TypeAlias = Annotated[str, Meta(pattern=NAME, description="The skill's name.")]


@operation("skill.list", http="GET /v1/skills", command=CommandForm("skills"))
async def list_skills(service: KnowledgeService, call: OperationCall) -> SkillList:
    """List the skills that can be used, and the folders that cannot."""
    skills = service.knowledge.skills
    usable: list[SkillFacts] = []
    for skill in await asyncio.to_thread(skills.all):
        usable.append(filled(SkillFacts, skill, folder=_place(skill.folder, call)))
    broken: list[CheckedSkill] = []
    for name, mistake in (await asyncio.to_thread(skills.broken)).items():
        broken.append(_checked_skill(name, mistake))
    return SkillList(folder=_place(skills.folder, call), skills=usable, broken=broken)


@operation("skill.show", http="GET /v1/skills/{name}", command=CommandForm("skills"))
async def show_skill(service: KnowledgeService, call: OperationCall, name: SkillName) -> OneSkill:
    """Show a skill's text, and the files beside it."""
    skills = service.knowledge.skills
    skill = await asyncio.to_thread(skills.get, name)
    files = await asyncio.to_thread(skills.files, name)
    return filled(OneSkill, skill, folder=_place(skill.folder, call), text=skill.body, files=list(files))


@operation("skill.check", http="GET /v1/skill-check", command=CommandForm("check-skills"))
async def check_skills(
    service: KnowledgeService,
    _: OperationCall,
    name: Annotated[
        str | None, Meta(pattern=NAME, description="The skill's name; all without it."), Option(argument=True)
    ] = None,
) -> SkillCheck:
    """Check skills and list their mistakes. Exit code 1 if one cannot be used."""
    skills = service.knowledge.skills

    def check() -> list[CheckedSkill]:
        mistakes = skills.broken()
        if name is None:
            usable = [skill.name for skill in skills.all()]
            return [
                _checked_skill(skill_name, mistakes.get(skill_name))
                for skill_name in dict.fromkeys((*usable, *mistakes))
            ]
        if name not in mistakes:
            # Raises UnknownName.
            skills.get(name)
        return [_checked_skill(name, mistakes.get(name))]

    return SkillCheck(skills=await asyncio.to_thread(check))


def _checked_skill(name: str, mistake: Diagnostic | None) -> CheckedSkill:
    if mistake is None:
        return CheckedSkill(name=name, ok=True, mistakes=[])
    return CheckedSkill(name=name, ok=False, mistakes=findings([mistake]))


def _place(path: Path | str, call: OperationCall) -> str:
    """Return the path for a user at this machine, and only the last name of it for others."""
    if call.direct:
        return str(path)
    return str(path).rpartition("/")[2]
