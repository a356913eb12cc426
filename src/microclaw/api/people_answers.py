"""The forms of answers about people: who is known, signed in, remembered, and talks. As in answers.py."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, Field

from microclaw.api.device_answers import DiagnosticFacts
from microclaw.auth.people import Role
from microclaw.auth.tokens import Scope
from microclaw.knowledge.importing import DeviceJob, FileImport
from microclaw.store.notes import NoteKind
from microclaw.store.usage import UsageGroup


class PersonAddress(BaseModel):
    channel: str
    id: str


class PersonFacts(BaseModel):
    person_id: str
    name: str
    role: Role
    addresses: list[PersonAddress]


class AskingPerson(BaseModel):
    channel: str
    name: str
    seconds_left: int


class PeopleFacts(BaseModel):
    """`asking`: who shows a code and waits to be let in."""

    people: list[PersonFacts]
    asking: list[AskingPerson]


class PasswordSet(BaseModel):
    person: str


class TokenFacts(BaseModel):
    token_id: str
    name: str
    person: str
    role: Role
    scope: Scope
    made_ms: int
    expires_ms: int | None
    used_ms: int | None


class Tokens(BaseModel):
    tokens: list[TokenFacts]


class NewToken(TokenFacts):
    secret: str = Field(description="In this answer alone")


class OpenedSignIn(BaseModel):
    """`csrf` goes with each change; the cookie is in `Set-Cookie`."""

    name: str
    role: Role
    id: str
    ends_ms: int
    csrf: str


class Myself(BaseModel):
    """`may`: the least access that this role has (x-access of the routes); `by`: how the caller came in."""

    person_id: str
    name: str
    role: Role
    may: str
    by: Literal["socket", "session", "token"]
    id: str
    csrf: str | None


class EndedSignIn(BaseModel):
    ended: str


class SignInFacts(BaseModel):
    """`this`: the caller's own."""

    id: str
    person: str
    role: Role
    how: str
    address: str
    browser: str
    made_ms: int
    used_ms: int
    ends_ms: int
    this: bool


class SignInList(BaseModel):
    signins: list[SignInFacts]


class SignInLink(BaseModel):
    person: str
    role: Role
    path: str = Field(description="Behind the address of this host")
    expires_s: float


class UsageCounts(BaseModel):
    """`estimated` requests reported no tokens; the price of `unpriced` ones is not known."""

    requests: int
    failed: int
    estimated: int
    unpriced: int
    input_tokens: int
    output_tokens: int
    cached_tokens: int
    cost_usd: float


class UsageRow(UsageCounts):
    """Of what `by` says: one of these five."""

    day: str | None = None
    person: str | None = None
    chat: str | None = None
    model: str | None = None
    task: str | None = None


class BudgetFacts(BaseModel):
    """null: no limit."""

    day_usd: float | None
    day_tokens: int | None
    person_day_usd: float | None
    person_day_tokens: int | None
    resets_at: str


class Usage(BaseModel):
    by: UsageGroup
    days: int
    since: str
    groups: list[UsageRow]
    total: UsageCounts
    today: UsageCounts
    budget: BudgetFacts


class CancelledTurns(BaseModel):
    cancelled: int


class UndeliveredMessage(BaseModel):
    """`answer` is as a chat's last line has it."""

    kind: str
    answer: dict[str, Any]


class UndeliveredMessages(BaseModel):
    messages: list[UndeliveredMessage]


class DeliveredMessages(BaseModel):
    delivered: list[int]


class ChatFacts(BaseModel):
    """`text`: the newest message of the person."""

    chat_id: str
    changed_s: int = Field(description="Unix time in s")
    text: str


class Chats(BaseModel):
    chats: list[ChatFacts]


class ChatMessages(BaseModel):
    """`waiting`: messages that have no answer yet, in order."""

    messages: list[SessionLine]
    waiting: list[str]


class MemoryNote(BaseModel):
    day: str
    text: str


class MemoryText(BaseModel):
    """`digest` goes with an edit."""

    text: str
    digest: str
    file: str
    notes: list[MemoryNote]


class EditedMemory(BaseModel):
    file: str
    digest: str


class MemoryMatch(BaseModel):
    source: str
    kind: NoteKind
    day: str
    text: str
    score: float


class MemoryMatches(BaseModel):
    found: list[MemoryMatch]


class SessionFacts(BaseModel):
    name: str
    size_bytes: int
    changed_s: int


class Sessions(BaseModel):
    sessions: list[SessionFacts]


class SessionLine(BaseModel):
    role: str
    content: str
    ts: int = Field(description="Unix time in s")
    person: str


class SessionMessages(BaseModel):
    name: str
    messages: list[SessionLine]


class RemovedSession(BaseModel):
    removed: str
    kept: list[str]


class ImportedFiles(BaseModel):
    """What became of each file; `jobs` are for the schedules."""

    files: list[FileImport]
    jobs: list[DeviceJob]


class SkillFacts(BaseModel):
    name: str
    description: str
    shipped: bool
    folder: str
    tools: list[str]
    capabilities: list[str]


class BrokenSkill(BaseModel):
    name: str
    mistakes: list[DiagnosticFacts]


class Skills(BaseModel):
    folder: str
    skills: list[SkillFacts]
    broken: list[BrokenSkill]


class OneSkill(SkillFacts):
    text: str
    files: list[str]


class CheckedSkill(BaseModel):
    name: str
    ok: bool
    mistakes: list[DiagnosticFacts]
