"""The forms of the host's status and health, for the OpenAPI document; status.py makes them. As in answers.py."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, Field

from microclaw.api.answers import PendingPairing
from microclaw.api.device_answers import RefusedTelemetry
from microclaw.ota.rollout import RolloutState
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
    host: str | None = Field(description="What it is called in its cluster; null: it is alone")
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
