"""The forms of answers about tasks, devices, approvals, apps and changes, for the OpenAPI document.

A field may be added to any of them: a client leaves alone what it does not know.
"""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal, NotRequired, TypeAlias

from pydantic import Field
from typing_extensions import TypedDict

from microclaw.auth.approved_acts import EndState
from microclaw.events import ProgramKind
from microclaw.store.tasks import TaskEnding, TaskState

Responses: TypeAlias = dict[int | str, dict[str, Any]]
FORM: Final = "x-form"


FORMS: Final[dict[str, type]] = {}  # all that a route names


def answers(form: type, status: int = 200) -> Responses:
    """`responses` of a route whose answer has this form; its schema is made when somebody asks for the document."""
    FORMS[form.__name__] = form
    return {status: {FORM: form.__name__}}


def filled(form: type, row: object, **more: Any) -> dict[str, Any]:
    """The fields of `form`: those of `more`, and the row's own of the same names."""
    return {name: more[name] if name in more else getattr(row, name) for name in form.__annotations__}


class TaskFileFacts(TypedDict):
    name: str
    size_bytes: int
    media_type: str


class TaskFacts(TypedDict):
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
    allow: Annotated[str | None, Field(description="Its name in the allowlist; null: no network")]
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


class Tasks(TypedDict):
    tasks: list[TaskFacts]


class LinkFacts(TypedDict):
    online: bool
    last_seen_ms: int | None
    address: str | None
    firmware: str | None
    rtt_ms: float | None
    connections: int
    rssi: Annotated[int | None, Field(description="In dBm")]
    refused_events: int | None
    updates: dict[str, Any] | None
    host: Annotated[str | None, Field(description="The other host of the cluster that it is connected to")]


class FirmwareFacts(TypedDict):
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


class DeviceFacts(TypedDict):
    device_id: str
    name: str
    board: str
    title: str
    chip: str
    transports: list[str]
    labels: list[str]
    capabilities: Annotated[list[str], Field(description="The methods that it can be called with")]
    kinds: list[ProgramKind]
    firmware: FirmwareFacts
    free_pins: list[int]
    power_cut: str
    voice_only: bool
    never_reached: bool
    link: Annotated[LinkFacts | None, Field(description="null: it has no link to this host")]


class ListedDevice(DeviceFacts):
    revoked: bool


class LastValue(TypedDict):
    key: str
    unit: str | None
    value: float | str | bool
    at_ms: int


class PinFacts(TypedDict):
    """`reserved` and `caution` say why a pin is not to be used, or with care; `refused` why nothing may drive it."""

    pin: int
    name: Annotated[str | None, Field(description="What the board has wired to it")]
    labels: Annotated[list[str], Field(description="The names that the device's labels give it: pin-5=lamp")]
    uses: list[str]
    reserved: str | None
    caution: str | None
    refused: str | None


class HeaderPlace(TypedDict):
    label: Annotated[str, Field(description="What is printed there")]
    gpio: Annotated[int | None, Field(description="null: power, ground, reset")]


class HeaderRow(TypedDict):
    name: str
    side: Literal["left", "right"]
    pins: Annotated[list[HeaderPlace], Field(description="From the upper end to the lower")]


class BoardLayout(TypedDict):
    """The headers as they lie on the board, seen from above."""

    usb: Literal["top", "bottom"]
    headers: list[HeaderRow]
    source: str


class OneDevice(ListedDevice):
    """`today`: what works on such boards."""

    today: dict[str, Any] | None
    pins: list[PinFacts]
    layout: Annotated[
        BoardLayout | None, Field(description="null: how the pins lie is not known, or it has no headers")
    ]
    problem: str | None
    telemetry: list[LastValue]


class PendingPairing(TypedDict):
    address: str
    board: str
    seconds_left: float


class Devices(TypedDict):
    devices: list[ListedDevice]
    next: str | None  # where there are more: `after` of the next request
    pairings: list[PendingPairing]


class ActEndFacts(TypedDict):
    state: EndState | Literal["under_way"]
    why: NotRequired[str | None]
    code: NotRequired[str | None]
    next: NotRequired[str | None]


class WaitingApproval(TypedDict):
    approval_id: str
    action: str
    detail: list[str]
    person: str
    channel: str
    risky: Annotated[bool, Field(description="An owner decides it")]
    request: Annotated[str | None, Field(description="The number of this token's own request that waits for it")]
    expires_s: float


class WaitingApprovals(TypedDict):
    approvals: list[WaitingApproval]


class AskedProgramFacts(TypedDict):
    """The program that would be installed: exactly the image `sha256`."""

    device: str
    name: str
    sha256: str
    pins: list[int]
    edges: Annotated[list[tuple[float, int, int]], Field(description="Of its trial, the first 400: ms, pin, level")]
    trial_ms: float
    replaces: Annotated[str | None, Field(description="The image of this host that is there, by its sha256")]
    diff: Annotated[
        list[str], Field(description="Unified diff from the source that is there; empty: nothing to compare")
    ]


class Approval(TypedDict):
    """`outcome` null: it waits. `end`: how the act ended that was said yes to.

    GET has all of the question: `detail` says what would happen, `program` the program that would be installed.
    """

    approval_id: str
    action: str
    outcome: Literal["approved", "declined"] | None
    end: NotRequired[ActEndFacts | None]
    detail: NotRequired[list[str] | None]
    person: NotRequired[str | None]
    channel: NotRequired[str | None]
    risky: NotRequired[bool | None]
    request: NotRequired[str | None]
    expires_s: NotRequired[float | None]
    program: NotRequired[AskedProgramFacts | None]


class WaitedRequest(TypedDict):
    """`waiting` with its `approval_id`, or `ended` with the `status` and the `result` that it would have had."""

    request: str
    state: Literal["waiting", "ended"]
    approval_id: NotRequired[str | None]
    status: NotRequired[int | None]
    result: NotRequired[Any]


class FindingFacts(TypedDict):
    """A finding in a program's source; `line` and `column` count from 1. `text`: as a compiler prints it."""

    severity: Literal["error", "warning", "note"]
    message: str
    file: str
    line: int | None
    column: int | None
    source_line: str | None
    explanation: Annotated[str | None, Field(description="Why it is so, where the message does not say it")]
    next: Annotated[str | None, Field(description="What to do about it")]
    text: str


class CheckedProgram(TypedDict):
    """`ok` false: it is no program for this board; `message` and `next` say why, `findings` where."""

    ok: bool
    board: str
    findings: list[FindingFacts]
    message: NotRequired[str | None]
    next: NotRequired[str | None]
    kind: NotRequired[ProgramKind | None]
    compiler: NotRequired[str | None]
    size_bytes: NotRequired[int | None]
    pins: NotRequired[Annotated[list[int], Field(description="Those that the source names")]]
    text: NotRequired[Annotated[str | None, Field(description="What the checks found, in one line")]]
