"""The forms of answers about devices and their programs, for the OpenAPI document; the routes make the answers.

As in answers.py: a field may be added to any of them.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, NotRequired, TypeAlias

from pydantic import Field
from typing_extensions import TypedDict

from microclaw.api.answers import LastValue, PendingPairing
from microclaw.devices.calls import ConsoleLine, LogLine
from microclaw.devices.examine import CheckLine, TransportReach
from microclaw.events import EvidenceKind
from microclaw.link_server.linked_devices import Noted
from microclaw.store.crashes import CrashKind
from microclaw.store.telemetry import Source

EdgeNumbers: TypeAlias = Annotated[
    list[float], Field(min_length=3, max_length=3)
]  # a tuple is too much for many readers


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


class FailureFacts(TypedDict):
    """As `Failure` of the lines of streams: what went wrong on one of many."""

    code: str
    message: str
    next: str | None
    diagnostics: NotRequired[list[DiagnosticFacts] | None]
    exit_code: int


class EvidenceFacts(TypedDict):
    kind: EvidenceKind
    text: str
    edges: Annotated[list[EdgeNumbers], Field(description="Each: t_ms, pin, level")]


class Removed(TypedDict):
    removed: Annotated[str, Field(description="The name of what is gone")]


class ProvisionedDevice(TypedDict):
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


class ProvisionedBoard(TypedDict):
    name: str
    host: str
    port: int
    ca_sha256: str
    secret: str | None
    line: Annotated[str, Field(description="What its QR code says")]
    expires: Annotated[str, Field(description="A day, UTC")]


class ProvisionedBoards(TypedDict):
    boards: list[ProvisionedBoard]
    expires_ms: int | None
    only_local: bool


class Pairings(TypedDict):
    pairings: list[PendingPairing]


class RevokedDevice(TypedDict):
    device: str
    revoked: Annotated[int, Field(description="How many credentials were still good")]


class NotedDevice(TypedDict):
    device: str
    state: Noted


class CallAnswer(TypedDict):
    """`result` is as docs/protocols/link-methods.md has it of the method; the others with what changes something."""

    result: Any
    evidence: NotRequired[EvidenceFacts | None]
    change_id: NotRequired[int | None]
    warning: NotRequired[str | None]


class OneOfMany(TypedDict):
    """`made` is what one device answered, or `error`."""

    device: str
    made: NotRequired[CallAnswer | None]
    error: NotRequired[FailureFacts | None]


class CallsOnMany(TypedDict):
    results: list[OneOfMany]
    failed: int
    left_out: Annotated[list[str], Field(description="Devices that are meant and cannot do it")]


class Logs(TypedDict):
    """Lines of programs; with `console` true those of its serial console, with `open_ms` and `problem` of the port."""

    lines: list[LogLine | ConsoleLine]
    cursor: Annotated[int, Field(description="Where the next request goes on")]
    dropped: int
    console: NotRequired[bool]
    evidence: NotRequired[Literal["reported"] | None]
    open_ms: NotRequired[int | None]
    problem: NotRequired[str | None]


class Edges(TypedDict):
    edges: Annotated[list[EdgeNumbers], Field(description="Each: t_ms, pin, level")]
    cursor: int
    dropped: int
    now_ms: Annotated[float, Field(description="The board's time")]


class TelemetryPoint(TypedDict):
    at_ms: int
    min: float
    max: float
    mean: float
    count: int


class TelemetrySeries(TypedDict):
    key: str
    unit: str | None
    points: list[TelemetryPoint]


class RefusedTelemetry(TypedDict):
    reason: str
    count: int
    text: str


class Telemetry(TypedDict):
    """`source`: what the points are made of; `last` are the newest values."""

    device: str
    since_ms: int
    until_ms: int
    bucket_ms: int
    source: Source
    series: list[TelemetrySeries]
    last: list[LastValue]
    refused: list[RefusedTelemetry]


class CrashFacts(TypedDict):
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


class Crashes(TypedDict):
    crashes: list[CrashFacts]


class CrashReportFacts(TypedDict):
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


class ClearedCrashes(TypedDict):
    cleared: int


class DeviceExamination(TypedDict):
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


class WifiTrialFacts(TypedDict):
    ssid: str
    state: Annotated[str, Field(description="trying, kept or failed")]
    why: str | None
    seconds: int | None


class WifiNetworksFacts(TypedDict):
    device: str
    online: bool
    networks: list[str]
    ssid: str | None
    trial: WifiTrialFacts | None


class WifiBegun(WifiTrialFacts):
    device: str


class WifiForgotten(TypedDict):
    device: str
    forgotten: str
