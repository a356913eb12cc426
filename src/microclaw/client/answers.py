"""The forms of the host's answers. Made from microclaw.api by `make docs`: change them there.

A host may send more fields than these.
"""

from __future__ import annotations

from typing import Any, Literal, NotRequired, TypedDict


class ActEndFacts(TypedDict):
    state: Literal["done", "failed", "unknown"] | Literal["under_way"]
    why: NotRequired[str | None]
    code: NotRequired[str | None]
    next: NotRequired[str | None]


class AppFacts(TypedDict):
    """A program on a device. `foreign`: this host did not install it."""

    name: str
    device: str
    condition: Literal[
        "running", "listed", "ended", "trapped", "dead", "missing", "unreachable", "stopped", "deferred", "waiting"
    ]
    foreign: bool
    heap_bytes: int
    pins: list[int]
    size_bytes: int | None
    sha256: str | None
    error: str | None
    installed_ms: int | None
    kind: Literal["wasm", "py"] | None
    origin: AppOrigin | None
    deferred: DeferredFacts | None
    runs: AppRuns | None  # null: it simply runs on


class AppOrigin(TypedDict):
    """The entry of a catalogue that it is."""

    entry: str
    version: str
    catalog: str
    params: dict[str, int | str]


class AppRuns(TypedDict):
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


class AppWithSource(TypedDict):
    """`proof`: what was expected of it, and the edges of the trial and of the board."""

    name: str
    device: str
    condition: Literal[
        "running", "listed", "ended", "trapped", "dead", "missing", "unreachable", "stopped", "deferred", "waiting"
    ]
    foreign: bool
    heap_bytes: int
    pins: list[int]
    size_bytes: int | None
    sha256: str | None
    error: str | None
    installed_ms: int | None
    kind: Literal["wasm", "py"] | None
    origin: AppOrigin | None
    deferred: DeferredFacts | None
    runs: AppRuns | None  # null: it simply runs on
    source: str | None
    proof: dict[str, Any] | None
    before: FormerVersion | None  # null: this host put no other version there


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


class AskedProgramFacts(TypedDict):
    """The program that would be installed: exactly the image `sha256`."""

    device: str
    name: str
    sha256: str
    pins: list[int]
    edges: list[list[Any]]  # Of its trial, the first 400: ms, pin, level
    trial_ms: float
    replaces: str | None  # The image of this host that is there, by its sha256
    diff: list[str]  # Unified diff from the source that is there; empty: nothing to compare


class BoardLayout(TypedDict):
    """The headers as they lie on the board, seen from above."""

    usb: Literal["top", "bottom"]
    headers: list[HeaderRow]
    source: str


class ChangeFacts(TypedDict):
    change_id: int
    at_ms: int
    device: str
    kind: Literal[
        "app.deploy",
        "app.upgrade",
        "app.remove",
        "app.stop",
        "app.start",
        "app.restart",
        "app.restore",
        "app.explore",
        "gpio.set",
        "pwm.set",
    ]
    summary: str
    state: Literal["planned", "done", "failed", "unknown"]
    undoes: int | None
    undone_by: int | None
    turn: str | None
    person: str | None


class CheckedProgram(TypedDict):
    """`ok` false: it is no program for this board; `message` and `next` say why, `findings` where."""

    ok: bool
    board: str
    findings: list[FindingFacts]
    message: NotRequired[str | None]
    next: NotRequired[str | None]
    kind: NotRequired[Literal["wasm", "py"] | None]
    compiler: NotRequired[str | None]
    size_bytes: NotRequired[int | None]
    pins: NotRequired[list[int]]  # Those that the source names
    text: NotRequired[str | None]  # What the checks found, in one line


class ClusterAnswer(TypedDict):
    """`cluster` None: this host is alone."""

    cluster: ClusterFacts | None


class ClusterDuty(TypedDict):
    """What one host does for all. `holder` None: nobody at the moment."""

    name: str
    holder: str | None
    fence: int


class ClusterFacts(TypedDict):
    """`host` is this one's id; `member` says whether its lease is good. `nats`: the servers' addresses as it got them.

    `streams` is empty, and `snapshot` None, while NATS cannot be asked. `seen_s`: how old its news of the hosts are.
    """

    name: str
    host: str
    connected: bool
    member: bool
    server: str | None
    servers: list[str]
    nats: str
    seen_s: float
    position: int
    behind: int
    conflicts: int
    hosts: list[ClusterHost]
    ended: list[EndedHost]
    streams: list[ClusterStream]
    snapshot: ClusterSnapshot | None
    duties: list[ClusterDuty]
    problems: list[ClusterProblem]


class ClusterHost(TypedDict):
    """`devices` are connected to it, `behind` entries of the log it had not yet when it told so, `seen_s` ago.

    `known` false: it was live then; whether it is now this host cannot see. `clock_ahead_s`: of the NATS server's.
    `authority`: the fingerprint of the one that it works with, if any.
    """

    host: str
    name: str
    version: str
    schema_version: int
    roles: list[str]
    devices: int
    position: int
    behind: int
    known: bool
    seen_s: float
    clock_ahead_s: float
    api: str | None
    link: str | None
    authority: str | None
    started_ms: int


class ClusterProblem(TypedDict):
    text: str
    next: str


class ClusterSnapshot(TypedDict):
    """The newest copy of the whole store: as it was at the entry `seq` of the log."""

    seq: int
    at_ms: int


class ClusterStream(TypedDict):
    """A stream of JetStream. `leader` is None for a server alone, or while there is none: `has_leader` tells."""

    name: str
    messages: int
    bytes: int
    first: int
    last: int
    replicas: int
    leader: str | None
    has_leader: bool
    troubled: list[StreamServer]


class CompiledModule(TypedDict):
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


class DeferredFacts(TypedDict):
    act: Literal["install", "upgrade", "uninstall", "stop", "start"]
    since_ms: int
    person: str


class DeviceFacts(TypedDict):
    device_id: str
    name: str
    board: str
    title: str
    chip: str
    transports: list[str]
    labels: list[str]
    capabilities: list[str]  # The methods that it can be called with
    kinds: list[Literal["wasm", "py"]]
    firmware: FirmwareFacts
    free_pins: list[int]
    power_cut: str
    voice_only: bool
    never_reached: bool
    link: LinkFacts | None  # null: it has no link to this host


class DiagnosticFacts(TypedDict):
    """One finding in a source or a file; `text` is all of it for people."""

    severity: str
    message: str
    file: str | None
    line: int | None
    column: int | None
    source_line: str | None
    explanation: str | None
    next: str | None
    text: str


class EndedHost(TypedDict):
    """A host that stopped `in_order`, or whose lease ended, within a day, and is not back. It had `devices` then.

    `ended_ms` is by the NATS server's clock: its goodbye, or its last renewal.
    """

    host: str
    name: str
    devices: int
    in_order: bool
    ended_ms: int
    ended_s: float


class FindingFacts(TypedDict):
    """A finding in a program's source; `line` and `column` count from 1. `text`: as a compiler prints it."""

    severity: Literal["error", "warning", "note"]
    message: str
    file: str
    line: int | None
    column: int | None
    source_line: str | None
    explanation: str | None  # Why it is so, where the message does not say it
    next: str | None  # What to do about it
    text: str


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


class FormerVersion(TypedDict):
    """The change that put it there, and the unified diff of the sources from it to now."""

    change_id: int
    at_ms: int
    sha256: str
    diff: list[str]  # Empty where the sources are the same, or one is not kept


class HeaderPlace(TypedDict):
    label: str  # What is printed there
    gpio: int | None  # null: power, ground, reset


class HeaderRow(TypedDict):
    name: str
    side: Literal["left", "right"]
    pins: list[HeaderPlace]  # From the upper end to the lower


class LastValue(TypedDict):
    key: str
    unit: str | None
    value: float | str | bool
    at_ms: int


class LinkFacts(TypedDict):
    online: bool
    last_seen_ms: int | None
    address: str | None
    firmware: str | None
    rtt_ms: float | None
    connections: int
    rssi: int | None  # In dBm
    refused_events: int | None
    updates: dict[str, Any] | None
    host: str | None  # The other host of the cluster that it is connected to


class ListedDevice(TypedDict):
    device_id: str
    name: str
    board: str
    title: str
    chip: str
    transports: list[str]
    labels: list[str]
    capabilities: list[str]  # The methods that it can be called with
    kinds: list[Literal["wasm", "py"]]
    firmware: FirmwareFacts
    free_pins: list[int]
    power_cut: str
    voice_only: bool
    never_reached: bool
    link: LinkFacts | None  # null: it has no link to this host
    revoked: bool


class ModuleMemory(TypedDict):
    initialBytes: int
    staticBytes: int
    stackBytes: int | None


class OneDevice(TypedDict):
    """`today`: what works on such boards; `xiaozhi`: of a device with that firmware."""

    device_id: str
    name: str
    board: str
    title: str
    chip: str
    transports: list[str]
    labels: list[str]
    capabilities: list[str]  # The methods that it can be called with
    kinds: list[Literal["wasm", "py"]]
    firmware: FirmwareFacts
    free_pins: list[int]
    power_cut: str
    voice_only: bool
    never_reached: bool
    link: LinkFacts | None  # null: it has no link to this host
    revoked: bool
    today: dict[str, Any] | None
    xiaozhi: dict[str, Any] | None
    pins: list[PinFacts]
    layout: BoardLayout | None  # null: how the pins lie is not known, or it has no headers
    problem: str | None
    telemetry: list[LastValue]


class PendingPairing(TypedDict):
    address: str
    board: str
    seconds_left: float


class PinFacts(TypedDict):
    """`reserved` and `caution` say why a pin is not to be used, or with care; `refused` why nothing may drive it."""

    pin: int
    name: str | None  # What the board has wired to it
    labels: list[str]  # The names that the device's labels give it: pin-5=lamp
    uses: list[str]
    reserved: str | None
    caution: str | None
    refused: str | None


class StreamServer(TypedDict):
    """A NATS server that is `behind` with a stream by so many operations, or away; the leader heard it `seen_s` ago."""

    server: str
    away: bool
    behind: int
    seen_s: float


class TaskFacts(TypedDict):
    """A task without what it printed. `not_kept` has the reason for each file that was wanted and not taken out."""

    task: int
    state: Literal["queued", "running", "done", "failed", "cancelled"]
    ending: (
        Literal[
            "",
            "ended",
            "timed_out",
            "out_of_memory",
            "too_much_output",
            "disk_full",
            "killed",
            "cancelled",
            "interrupted",
            "not_run",
        ]
        | None
    )
    exit_code: int | None
    reason: str | None
    language: str
    by: str
    code_bytes: int
    code_sha256: str
    files_in: list[str]
    files: list[TaskFileFacts]
    not_kept: dict[str, str]
    allow: str | None  # Its name in the allowlist; null: no network
    limits: dict[str, float]
    output_bytes: int
    created_ms: int
    started_ms: int | None
    ended_ms: int | None
    cpu_s: float | None
    memory_peak_bytes: int | None


class TaskFileFacts(TypedDict):
    name: str
    size_bytes: int
    media_type: str


class TaskWithOutput(TypedDict):
    """`output` are its bytes from `output_begins` to `output_ends`, as text; `output_more`: the next page is there."""

    task: int
    state: Literal["queued", "running", "done", "failed", "cancelled"]
    ending: (
        Literal[
            "",
            "ended",
            "timed_out",
            "out_of_memory",
            "too_much_output",
            "disk_full",
            "killed",
            "cancelled",
            "interrupted",
            "not_run",
        ]
        | None
    )
    exit_code: int | None
    reason: str | None
    language: str
    by: str
    code_bytes: int
    code_sha256: str
    files_in: list[str]
    files: list[TaskFileFacts]
    not_kept: dict[str, str]
    allow: str | None  # Its name in the allowlist; null: no network
    limits: dict[str, float]
    output_bytes: int
    created_ms: int
    started_ms: int | None
    ended_ms: int | None
    cpu_s: float | None
    memory_peak_bytes: int | None
    output: str
    output_begins: int
    output_ends: int
    output_more: bool


class WaitedRequest(TypedDict):
    """`waiting` with its `approval_id`, or `ended` with the `status` and the `result` that it would have had."""

    request: str
    state: Literal["waiting", "ended"]
    approval_id: NotRequired[str | None]
    status: NotRequired[int | None]
    result: NotRequired[Any]


class WaitingApproval(TypedDict):
    approval_id: str
    action: str
    detail: list[str]
    person: str
    channel: str
    risky: bool  # An owner decides it
    request: str | None  # The number of this token's own request that waits for it
    expires_s: float
