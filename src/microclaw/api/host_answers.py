"""The forms of answers about compilers, voice, tools, schedules, subagents, and OpenAI's. As in answers.py."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, Field

from microclaw.agent.background.subagents import SubagentState
from microclaw.api.device_answers import DiagnosticFacts
from microclaw.builds.confinement import Confinement
from microclaw.store.schedules import Missed, RunState, ScheduleState


class CompilerFacts(BaseModel):
    """`message` and `next`: why it is not there, and how to get it."""

    compiler: str
    available: bool
    version: str | None = None
    message: str | None = None
    next: str | None = None


class Compilers(BaseModel):
    """`compiler`: the one that is used; `sandbox`: how it is shut off."""

    available: bool
    compiler: str | None = None
    sandbox: Confinement | None = None
    message: str | None = None
    next: str | None = None
    compilers: list[CompilerFacts]
    boards: list[str]


class ModuleMemory(BaseModel):
    initialBytes: int
    staticBytes: int
    stackBytes: int | None


class CompiledModule(BaseModel):
    """`wasm` is base64."""

    success: Literal[True]
    name: str
    wasm: str
    size: int
    sha256: str
    compiler: str
    flags: list[str]
    language: str
    compileMs: float
    cached: bool
    board: str
    imports: list[str]
    exports: list[str]
    memory: ModuleMemory
    pins: list[int]
    warnings: list[DiagnosticFacts]


class VoiceEngine(BaseModel):
    role: Literal["asr", "tts", "wake"]
    name: str
    problem: str | None


class VoiceTurn(BaseModel):
    """`steps`: each its name and its time in ms since the first."""

    device: str
    trigger: str
    outcome: str
    late_frames: int
    steps: list[list[str | float]]


class VoiceFacts(BaseModel):
    """`asr` hears, `tts` speaks; `turns` are the newest."""

    state: Literal["on", "off"]
    problem: str | None
    engines: list[VoiceEngine]
    sessions: int
    turns: list[VoiceTurn]
    asr: str | None = None
    tts: str | None = None


class VoiceTest(BaseModel):
    said: str
    heard: str
    confidence: float
    speech_s: float
    first_audio_ms: int
    first_partial_ms: int | None
    recognition_ms: int


class RecordingWindowFacts(BaseModel):
    """`told`: the device has said aloud that it is recorded."""

    device: str
    until_ms: int
    told: bool


class RecordingFile(BaseModel):
    name: str
    file: str
    bytes: int
    device: str
    at_ms: int
    seconds: float
    text: str
    confidence: float


class RecordingList(BaseModel):
    on: list[RecordingWindowFacts]
    days: int = Field(description="So long a recording is kept")
    files: list[RecordingFile]


class RemovedRecordings(BaseModel):
    removed: int


class ToolFacts(BaseModel):
    """`foreign`: its answer may hold words of others. `skill`: the skill that offers it."""

    name: str
    description: str
    schema_: dict[str, Any] = Field(alias="schema", description="Of its arguments, as JSON Schema")
    permission: str
    effect: str
    foreign: bool
    skill: str | None
    max_argument_bytes: int


class Tools(BaseModel):
    tools: list[ToolFacts]


class ScheduleFacts(BaseModel):
    """`when` as it was said, `next` as a person reads it, `by` who made it; `asks_model`: a model is asked then."""

    schedule: int
    when: str
    what: str
    kind: Literal["once", "every", "cron"]
    asks_model: bool
    tool: str | None
    device: str | None
    problem: str | None
    state: ScheduleState
    why: str | None
    next: str | None
    next_ms: int | None
    zone: str
    missed: Missed
    person: str
    by: str
    channel: str
    chat_id: str


class ScheduleList(BaseModel):
    zone: str
    schedules: list[ScheduleFacts]


class NewSchedule(ScheduleFacts):
    warning: str | None


class ScheduleRun(BaseModel):
    due: str
    state: RunState
    asked_model: bool
    result: str | None


class OneSchedule(ScheduleFacts):
    runs: list[ScheduleRun]


class RemovedSchedule(BaseModel):
    removed: int
    when: str
    what: str


class ImportedJob(BaseModel):
    """`schedule` null: `refused` says why, or it was `known` already."""

    name: str
    schedule: int | None
    known: bool
    refused: str | None


class ImportedJobs(BaseModel):
    jobs: list[ImportedJob]


class SubagentFacts(BaseModel):
    subagent: str
    task: str
    tools: list[str]
    person: str
    state: SubagentState
    result: str | None
    tokens: int
    began_ms: int


class Subagents(BaseModel):
    subagents: list[SubagentFacts]


class CancelledSubagent(BaseModel):
    cancelled: str


class ModelFacts(BaseModel):
    id: str
    object: Literal["model"]
    created: int
    owned_by: str


class ModelList(BaseModel):
    object: Literal["list"]
    data: list[ModelFacts]


class FunctionCall(BaseModel):
    name: str
    arguments: str


class CompletionCall(BaseModel):
    id: str
    type: Literal["function"]
    function: FunctionCall


class CompletionMessage(BaseModel):
    role: Literal["assistant"]
    content: str | None
    refusal: str | None
    tool_calls: list[CompletionCall] | None = None


class CompletionChoice(BaseModel):
    index: int
    message: CompletionMessage
    logprobs: None
    finish_reason: Literal["stop", "length", "tool_calls"]


class CompletionUsage(BaseModel):
    prompt_tokens: int
    completion_tokens: int
    total_tokens: int


class Completion(BaseModel):
    """OpenAI's form; `microclaw` says what the host did, and how it knows (docs/openai.md)."""

    id: str
    object: Literal["chat.completion"]
    created: int
    model: str
    choices: list[CompletionChoice]
    usage: CompletionUsage
    microclaw: dict[str, Any]
