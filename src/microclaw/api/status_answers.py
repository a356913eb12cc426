"""The forms of the host's status and health, for the OpenAPI document; status.py makes them. As in answers.py."""

from __future__ import annotations

from typing import Annotated, Any, NotRequired

from pydantic import Field
from typing_extensions import TypedDict

from microclaw.api.answers import PendingPairing
from microclaw.store.rollouts import RolloutState
from microclaw.supervision import TaskState


class Health(TypedDict):
    """`failing`: background tasks that are tried again and again."""

    ok: bool
    version: str
    failing: list[str]


class HttpsFacts(TypedDict):
    urls: list[str]
    local: str | None
    ca_sha256: str | None


class LinkStatus(TypedDict):
    address: str
    connected: list[str]
    pairing: int
    waiting: list[PendingPairing]


class WindowFacts(TypedDict):
    tokens: int
    configured_tokens: int
    named_tokens: int | None
    retry_in_s: float
    text: str | None


class UsageToday(TypedDict):
    requests: int
    tokens: int
    cost_usd: float
    day_usd: float | None
    day_tokens: int | None


class ModelOutage(TypedDict):
    model: str
    instead: str | None
    fault: str
    reason: str
    next: str | None
    retry_in_s: float
    text: str


class Alarm(TypedDict):
    kind: str
    device: str
    at_ms: int
    text: str
    next: str | None


class ChannelFacts(TypedDict):
    """`bot` is Telegram's; `clients`, `open` and `token_file` are the gateway's."""

    name: str
    state: str
    text: str | None
    bot: NotRequired[str | None]
    clients: NotRequired[int | None]
    open: NotRequired[bool | None]
    token_file: NotRequired[str | None]


class DueSchedule(TypedDict):
    id: int
    said: str
    what: str
    next_ms: int


class ScheduleCounts(TypedDict):
    active: int
    paused: int
    next: list[DueSchedule]


class OpenRolloutFacts(TypedDict):
    rollout: int
    version: str
    state: RolloutState
    text: str


class FirstApproval(TypedDict):
    approval_id: str
    action: str
    asked_by: str


class ApprovalCounts(TypedDict):
    pending: int
    first: list[FirstApproval]


class WaitingAct(TypedDict):
    text: str
    since_ms: int


class EndedAct(TypedDict):
    text: str
    state: str
    outcome: str | None
    ended_ms: int


class DeferredActs(TypedDict):
    waiting: list[WaitingAct]
    ended: list[EndedAct]


class CrashCounts(TypedDict):
    kinds: int
    boards: int


class RefusedOfDevice(TypedDict):
    device: str
    reason: str
    count: int
    text: str


class BoardProcess(TypedDict):
    state: str
    restarts: int
    last_ms: int | None
    reason: str | None
    next: str | None


class DeviceStatus(TypedDict):
    """`reachable` null: it was not used yet. `process`: of a virtual board that this host runs."""

    name: str
    board: str
    transports: list[str]
    apps: list[str]
    reachable: bool | None
    never_reached: bool
    problem: str | None
    process: BoardProcess | None


class HostFacts(TypedDict):
    """Who is no owner gets it without the fields that are optional here."""

    version: str
    host: Annotated[str | None, Field(description="What it is called in its cluster; null: it is alone")]
    http: str | None
    https: HttpsFacts
    link: LinkStatus | None
    xiaozhi: dict[str, Any]
    wyoming: dict[str, Any]
    up_s: float
    rss_mb: float
    model: str
    model_hint: str | None
    context: WindowFacts
    deferred: DeferredActs
    crashes: CrashCounts
    telemetry: list[RefusedOfDevice]
    devices: list[DeviceStatus]
    pid: NotRequired[int | None]
    home: NotRequired[str | None]
    problems: NotRequired[list[str] | None]
    alarms: NotRequired[list[Alarm] | None]
    channels: NotRequired[list[ChannelFacts] | None]
    mcp_servers: NotRequired[dict[str, str] | None]
    tasks: NotRequired[list[TaskState] | None]
    schedules: NotRequired[ScheduleCounts | None]
    approvals: NotRequired[ApprovalCounts | None]
    usage: NotRequired[UsageToday | None]
    model_outages: NotRequired[list[ModelOutage] | None]
    mqtt: NotRequired[dict[str, Any] | None]
    backup: NotRequired[dict[str, Any] | None]
    rollouts: NotRequired[list[OpenRolloutFacts] | None]
    code: NotRequired[dict[str, Any] | None]
