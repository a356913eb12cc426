"""The forms of answers about devices and their programs, for the OpenAPI document; the routes make the answers.

As in answers.py: a field may be added to any of them.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeAlias

from pydantic import BaseModel, Field

from microclaw.agent.attempts import Attempt
from microclaw.api.answers import DeferredFacts, LastValue, PendingPairing
from microclaw.api.jobs import CancelState
from microclaw.devices.calls import ConsoleLine, LogLine
from microclaw.devices.examine import CheckLine, TransportReach
from microclaw.events import EvidenceKind, ProgramKind
from microclaw.link_server.linked_devices import Noted
from microclaw.store.crashes import CrashKind
from microclaw.store.telemetry import Source

EdgeNumbers: TypeAlias = Annotated[
    list[float], Field(min_length=3, max_length=3)
]  # a tuple is too much for many readers


class DiagnosticFacts(BaseModel):
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


class FailureFacts(BaseModel):
    """As `Failure` of the lines of streams: what went wrong on one of many."""

    code: str
    message: str
    next: str | None
    diagnostics: list[DiagnosticFacts] | None = None
    exit_code: int


class EvidenceFacts(BaseModel):
    kind: EvidenceKind
    text: str
    edges: list[EdgeNumbers] = Field(description="Each: t_ms, pin, level")


class Removed(BaseModel):
    removed: str = Field(description="The name of what is gone")


class ProvisionedDevice(BaseModel):
    """`text` is for people, `file` for the device; `only_local`: the link is not open to the network."""

    name: str
    host: str
    only_local: bool
    port: int
    ca_sha256: str
    secret: str | None
    expires_ms: int | None
    text: str
    file: str
    qr: str | None


class ProvisionedBoard(BaseModel):
    name: str
    host: str
    port: int
    ca_sha256: str
    secret: str | None
    line: str = Field(description="What its QR code says")
    expires: str = Field(description="A day, UTC")


class ProvisionedBoards(BaseModel):
    boards: list[ProvisionedBoard]
    expires_ms: int | None
    only_local: bool


class Pairings(BaseModel):
    pairings: list[PendingPairing]


class RevokedDevice(BaseModel):
    device: str
    revoked: int = Field(description="How many credentials were still good")


class NotedDevice(BaseModel):
    device: str
    state: Noted


class CallAnswer(BaseModel):
    """`result` is as docs/protocols/link-methods.md has it of the method; the others with what changes something."""

    result: Any
    evidence: EvidenceFacts | None = None
    change_id: int | None = None
    warning: str | None = None


class OneOfMany(BaseModel):
    """`made` is what one device answered, or `error`."""

    device: str
    made: CallAnswer | None = None
    error: FailureFacts | None = None


class CallsOnMany(BaseModel):
    results: list[OneOfMany]
    failed: int
    left_out: list[str] = Field(description="Devices that are meant and cannot do it")


class Logs(BaseModel):
    """Lines of programs; with `console` true those of its serial console, with `open_ms` and `problem` of the port."""

    lines: list[LogLine | ConsoleLine]
    cursor: int = Field(description="Where the next request goes on")
    dropped: int
    console: bool = False
    evidence: Literal["reported"] | None = None
    open_ms: int | None = None
    problem: str | None = None


class Edges(BaseModel):
    edges: list[EdgeNumbers] = Field(description="Each: t_ms, pin, level")
    cursor: int
    dropped: int
    now_ms: float = Field(description="The board's time")


class TelemetryPoint(BaseModel):
    at_ms: int
    min: float
    max: float
    mean: float
    count: int


class TelemetrySeries(BaseModel):
    key: str
    unit: str | None
    points: list[TelemetryPoint]


class RefusedTelemetry(BaseModel):
    reason: str
    count: int
    text: str


class Telemetry(BaseModel):
    """`source`: what the points are made of; `last` are the newest values."""

    device: str
    since_ms: int
    until_ms: int
    bucket_ms: int
    source: Source
    series: list[TelemetrySeries]
    last: list[LastValue]
    refused: list[RefusedTelemetry]


class CrashFacts(BaseModel):
    id: int
    kind: CrashKind
    program: str | None
    version: str | None
    title: str
    fingerprint: str
    count: int
    found_ms: int
    first_ms: int
    last_ms: int
    devices: list[str]


class Crashes(BaseModel):
    crashes: list[CrashFacts]


class CrashReportFacts(BaseModel):
    device: str
    at_ms: int
    firmware: str | None
    trace: str
    log: list[str]


class OneCrash(CrashFacts):
    """`text` and `next`: what it means, where that is known."""

    text: str | None
    next: str | None
    reports: list[CrashReportFacts]


class ClearedCrashes(BaseModel):
    cleared: int


class DeviceExamination(BaseModel):
    """`lines` are what was looked at; `ok`: all of them are."""

    ok: bool
    reached: bool
    device: str
    transports: list[TransportReach]
    programs: list[str] | None
    firmware: str | None
    free_bytes: int | None
    uptime_ms: int | None
    lines: list[CheckLine]


class WifiTrialFacts(BaseModel):
    ssid: str
    state: str = Field(description="trying, kept or failed")
    why: str | None
    seconds: int | None


class WifiNetworksFacts(BaseModel):
    device: str
    online: bool
    networks: list[str]
    ssid: str | None
    trial: WifiTrialFacts | None


class WifiBegun(WifiTrialFacts):
    device: str


class WifiForgotten(BaseModel):
    device: str
    forgotten: str


class XiaozhiUpdate(BaseModel):
    """`xiaozhi`: what it runs, what there is for it, how its update stands (docs/xiaozhi.md)."""

    device: str
    xiaozhi: dict[str, Any]


class XiaozhiUpdateCancelled(BaseModel):
    device: str
    cancelled: str | None = Field(description="The version; null: there was nothing to cancel")


class Tries(BaseModel):
    tries: list[Attempt]


class JobCancelled(BaseModel):
    state: CancelState


class DeferralCancelled(BaseModel):
    device: str
    name: str
    deferred: DeferredFacts


class WantedApp(BaseModel):
    name: str
    device: str
    board: str
    sha256: str
    kind: ProgramKind
    heap_bytes: int
    timers: int | None
    watchdog_ms: int | None
    every_ms: int | None
    stop_after_ms: int | None


class WantedApps(BaseModel):
    apps: list[WantedApp]


class WantedProgram(BaseModel):
    """`source` with the `optimization` that makes the same bytes of it, or the bytes as `wasm` in base64."""

    suffix: str
    source: str | None = None
    optimization: str | None = None
    wasm: str | None = None
    heap_bytes: int
