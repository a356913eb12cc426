"""The forms of answers about tasks, devices, approvals, apps and changes, for the OpenAPI document.

A field may be added to any of them: a client leaves alone what it does not know.
"""

from __future__ import annotations

from typing import Any, Literal, TypeAlias

from pydantic import BaseModel, Field

from microclaw.apps.catalogue import AppCondition
from microclaw.apps.changes import ChangeKind
from microclaw.apps.deferred import DeferredKind
from microclaw.auth.approved_acts import EndState
from microclaw.events import ProgramKind
from microclaw.store.apps import ChangeState
from microclaw.store.tasks import TaskEnding, TaskState

Responses: TypeAlias = dict[int | str, dict[str, Any]]


def answers(form: type[BaseModel], status: int = 200) -> Responses:
    """`responses` of a route whose answer has this form."""
    return {status: {"model": form}}


class TaskFileFacts(BaseModel):
    name: str
    size_bytes: int
    media_type: str


class TaskFacts(BaseModel):
    """A task without what it printed. `not_kept` has the reason for each file that was wanted and not taken out."""

    task: int
    state: TaskState
    ending: TaskEnding | None
    exit_code: int | None
    reason: str | None
    language: str
    by: str
    code_bytes: int
    code_sha256: str
    files_in: list[str]
    files: list[TaskFileFacts]
    not_kept: dict[str, str]
    allow: str | None = Field(description="Its name in the allowlist; null: no network")
    limits: dict[str, float]
    output_bytes: int
    created_ms: int
    started_ms: int | None
    ended_ms: int | None
    cpu_s: float | None
    memory_peak_bytes: int | None


class TaskWithOutput(TaskFacts):
    """`output` are its bytes from `output_begins` to `output_ends`, as text; `output_more`: the next page is there."""

    output: str
    output_begins: int
    output_ends: int
    output_more: bool


class Tasks(BaseModel):
    tasks: list[TaskFacts]


class LinkFacts(BaseModel):
    online: bool
    last_seen_ms: int | None
    address: str | None
    firmware: str | None
    rtt_ms: float | None
    connections: int
    rssi: int | None = Field(description="In dBm")
    refused_events: int | None
    updates: dict[str, Any] | None
    host: str | None = Field(description="The other host of the cluster that it is connected to")


class FirmwareFacts(BaseModel):
    """What is known of its firmware, described or from the board's profile."""

    described: list[str]
    native_groups: list[str]
    natives_added: list[str]
    natives_lacking: list[str]
    nodes: list[str]
    files: bool
    max_apps: int | None
    max_heap_bytes: int | None
    max_memory_bytes: int | None
    max_module_bytes: int | None
    max_timers: int | None
    attributes: int | str | bool | None


class DeviceFacts(BaseModel):
    device_id: str
    name: str
    board: str
    title: str
    chip: str
    transports: list[str]
    labels: list[str]
    capabilities: list[str] = Field(description="The methods that it can be called with")
    kinds: list[ProgramKind]
    firmware: FirmwareFacts
    free_pins: list[int]
    power_cut: str
    voice_only: bool
    never_reached: bool
    link: LinkFacts | None = Field(description="null: it has no link to this host")


class ListedDevice(DeviceFacts):
    revoked: bool


class LastValue(BaseModel):
    key: str
    unit: str | None
    value: float | str | bool
    at_ms: int


class PinFacts(BaseModel):
    """`reserved` and `caution` say why a pin is not to be used, or with care; `refused` why nothing may drive it."""

    pin: int
    name: str | None = Field(description="What the board has wired to it")
    labels: list[str] = Field(description="The names that the device's labels give it: pin-5=lamp")
    uses: list[str]
    reserved: str | None
    caution: str | None
    refused: str | None


class HeaderPlace(BaseModel):
    label: str = Field(description="What is printed there")
    gpio: int | None = Field(description="null: power, ground, reset")


class HeaderRow(BaseModel):
    name: str
    side: Literal["left", "right"]
    pins: list[HeaderPlace] = Field(description="From the upper end to the lower")


class BoardLayout(BaseModel):
    """The headers as they lie on the board, seen from above."""

    usb: Literal["top", "bottom"]
    headers: list[HeaderRow]
    source: str


class OneDevice(ListedDevice):
    """`today`: what works on such boards; `xiaozhi`: of a device with that firmware."""

    today: dict[str, Any] | None
    xiaozhi: dict[str, Any] | None
    pins: list[PinFacts]
    layout: BoardLayout | None = Field(description="null: how the pins lie is not known, or it has no headers")
    problem: str | None
    telemetry: list[LastValue]


class PendingPairing(BaseModel):
    address: str
    board: str
    seconds_left: float


class Devices(BaseModel):
    devices: list[ListedDevice]
    next: str | None  # where there are more: `after` of the next request
    pairings: list[PendingPairing]


class ActEndFacts(BaseModel):
    state: EndState | Literal["under_way"]
    why: str | None = None
    code: str | None = None
    next: str | None = None


class WaitingApproval(BaseModel):
    approval_id: str
    action: str
    detail: list[str]
    person: str
    channel: str
    risky: bool = Field(description="An owner decides it")
    request: str | None = Field(description="The number of this token's own request that waits for it")
    expires_s: float


class WaitingApprovals(BaseModel):
    approvals: list[WaitingApproval]


class AskedProgramFacts(BaseModel):
    """The program that would be installed: exactly the image `sha256`."""

    device: str
    name: str
    sha256: str
    pins: list[int]
    edges: list[tuple[float, int, int]] = Field(description="Of its trial, the first 400: ms, pin, level")
    trial_ms: float
    replaces: str | None = Field(description="The image of this host that is there, by its sha256")
    diff: list[str] = Field(description="Unified diff from the source that is there; empty: nothing to compare")


class Approval(BaseModel):
    """`outcome` null: it waits. `end`: how the act ended that was said yes to.

    GET has all of the question: `detail` says what would happen, `program` the program that would be installed.
    """

    approval_id: str
    action: str
    outcome: Literal["approved", "declined"] | None
    end: ActEndFacts | None = None
    detail: list[str] | None = None
    person: str | None = None
    channel: str | None = None
    risky: bool | None = None
    request: str | None = None
    expires_s: float | None = None
    program: AskedProgramFacts | None = None


class WaitedRequest(BaseModel):
    """`waiting` with its `approval_id`, or `ended` with the `status` and the `result` that it would have had."""

    request: str
    state: Literal["waiting", "ended"]
    approval_id: str | None = None
    status: int | None = None
    result: Any = None


class AppOrigin(BaseModel):
    """The entry of a catalogue that it is."""

    entry: str
    version: str
    catalog: str
    params: dict[str, int | str]


class DeferredFacts(BaseModel):
    act: DeferredKind
    since_ms: int
    person: str


class AppRuns(BaseModel):
    """When it runs, and how that went; Unix times in ms."""

    every_ms: int | None
    stop_after_ms: int | None
    kept_by: Literal["board", "host"]
    text: str
    next_ms: int | None
    running_since_ms: int | None
    last_ms: int | None
    last_took_ms: int | None
    last_how: str | None
    runs: int
    missed: int
    problem: str | None


class AppFacts(BaseModel):
    """A program on a device. `foreign`: this host did not install it."""

    name: str
    device: str
    condition: AppCondition
    foreign: bool
    heap_bytes: int
    pins: list[int]
    size_bytes: int | None
    sha256: str | None
    error: str | None
    installed_ms: int | None
    kind: ProgramKind | None
    origin: AppOrigin | None
    deferred: DeferredFacts | None
    runs: AppRuns | None = Field(description="null: it simply runs on")


class Apps(BaseModel):
    apps: list[AppFacts]


class FormerVersion(BaseModel):
    """The change that put it there, and the unified diff of the sources from it to now."""

    change_id: int
    at_ms: int
    sha256: str
    diff: list[str] = Field(description="Empty where the sources are the same, or one is not kept")


class AppWithSource(AppFacts):
    """`proof`: what was expected of it, and the edges of the trial and of the board."""

    source: str | None
    proof: dict[str, Any] | None
    before: FormerVersion | None = Field(description="null: this host put no other version there")


class ChangeFacts(BaseModel):
    change_id: int
    at_ms: int
    device: str
    kind: ChangeKind
    summary: str
    state: ChangeState
    undoes: int | None
    undone_by: int | None
    turn: str | None
    person: str | None


class Changes(BaseModel):
    changes: list[ChangeFacts]


class FindingFacts(BaseModel):
    """A finding in a program's source; `line` and `column` count from 1. `text`: as a compiler prints it."""

    severity: Literal["error", "warning", "note"]
    message: str
    file: str
    line: int | None
    column: int | None
    source_line: str | None
    explanation: str | None = Field(description="Why it is so, where the message does not say it")
    next: str | None = Field(description="What to do about it")
    text: str


class CheckedProgram(BaseModel):
    """`ok` false: it is no program for this board; `message` and `next` say why, `findings` where."""

    ok: bool
    board: str
    findings: list[FindingFacts]
    message: str | None = None
    next: str | None = None
    kind: ProgramKind | None = None
    compiler: str | None = None
    size_bytes: int | None = None
    pins: list[int] = Field([], description="Those that the source names")
    text: str | None = Field(None, description="What the checks found, in one line")
