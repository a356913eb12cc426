"""The forms of answers about the host: status, compilers, voice, schedules, tools, OpenAI's. As in answers.py."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, Field

from microclaw.agent.background.subagents import SubagentState
from microclaw.api.answers import PendingPairing
from microclaw.api.device_answers import DiagnosticFacts, RefusedTelemetry
from microclaw.builds.confinement import Confinement
from microclaw.ota.rollout import RolloutState
from microclaw.store.schedules import Missed, RunState, ScheduleState
from microclaw.supervision import TaskState


class Health(BaseModel):
    """`failing`: background tasks that are tried again and again."""

    ok: bool
    version: str
    failing: list[str]


class HttpsFacts(BaseModel):
    urls: list[str]
    local: str | None
    ca_sha256: str | None


class LinkStatus(BaseModel):
    address: str
    connected: list[str]
    pairing: int
    waiting: list[PendingPairing]


class WindowFacts(BaseModel):
    tokens: int
    configured_tokens: int
    named_tokens: int | None
    retry_in_s: float
    text: str | None


class UsageToday(BaseModel):
    requests: int
    tokens: int
    cost_usd: float
    day_usd: float | None
    day_tokens: int | None


class ModelOutage(BaseModel):
    model: str
    instead: str | None
    fault: str
    reason: str
    next: str | None
    retry_in_s: float
    text: str


class Alarm(BaseModel):
    kind: str
    device: str
    at_ms: int
    text: str
    next: str | None


class ChannelFacts(BaseModel):
    """`bot` is Telegram's; `clients`, `open` and `token_file` are the gateway's."""

    name: str
    state: str
    text: str | None
    bot: str | None = None
    clients: int | None = None
    open: bool | None = None
    token_file: str | None = None


class DueSchedule(BaseModel):
    id: int
    said: str
    what: str
    next_ms: int


class ScheduleCounts(BaseModel):
    active: int
    paused: int
    next: list[DueSchedule]


class OpenRolloutFacts(BaseModel):
    rollout: int
    version: str
    state: RolloutState
    text: str


class FirstApproval(BaseModel):
    approval_id: str
    action: str
    asked_by: str


class ApprovalCounts(BaseModel):
    pending: int
    first: list[FirstApproval]


class WaitingAct(BaseModel):
    text: str
    since_ms: int


class EndedAct(BaseModel):
    text: str
    state: str
    outcome: str | None
    ended_ms: int


class DeferredActs(BaseModel):
    waiting: list[WaitingAct]
    ended: list[EndedAct]


class CrashCounts(BaseModel):
    kinds: int
    boards: int


class RefusedOfDevice(RefusedTelemetry):
    device: str


class BoardProcess(BaseModel):
    state: str
    restarts: int
    last_ms: int | None
    reason: str | None
    next: str | None


class DeviceStatus(BaseModel):
    """`reachable` null: it was not used yet. `process`: of a virtual board that this host runs."""

    name: str
    board: str
    transports: list[str]
    apps: list[str]
    reachable: bool | None
    never_reached: bool
    problem: str | None
    process: BoardProcess | None


class HostFacts(BaseModel):
    """Who is no owner gets it without the fields that are optional here."""

    version: str
    http: str | None
    https: HttpsFacts
    link: LinkStatus | None
    xiaozhi: dict[str, Any]
    wyoming: dict[str, Any]
    recording: list[dict[str, Any]]
    up_s: float
    rss_mb: float
    model: str
    model_hint: str | None
    context: WindowFacts
    deferred: DeferredActs
    crashes: CrashCounts
    telemetry: list[RefusedOfDevice]
    devices: list[DeviceStatus]
    pid: int | None = None
    home: str | None = None
    problems: list[str] | None = None
    alarms: list[Alarm] | None = None
    channels: list[ChannelFacts] | None = None
    mcp_servers: dict[str, str] | None = None
    tasks: list[TaskState] | None = None
    schedules: ScheduleCounts | None = None
    approvals: ApprovalCounts | None = None
    usage: UsageToday | None = None
    model_outages: list[ModelOutage] | None = None
    mqtt: dict[str, Any] | None = None
    backup: dict[str, Any] | None = None
    rollouts: list[OpenRolloutFacts] | None = None
    code: dict[str, Any] | None = None


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
    """`when` as it was said, `next` as a person reads it; `asks_model`: a model is asked then."""

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
