"""The parts of the host that the API's routes work with; app/ builds them. It does nothing itself."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from microclaw.agent.attempts import Attempt
from microclaw.agent.client_turn import ClientTurns
from microclaw.agent.conversation import Conversations
from microclaw.api.backup_routes import ReadHome
from microclaw.api.event_routes import LiveFeed, Watching
from microclaw.api.jobs import Jobs
from microclaw.api.live_pins import LivePins
from microclaw.api.metrics import MetricSources
from microclaw.api.schedule_routes import ScheduleParts
from microclaw.api.waiting import WaitingRequests
from microclaw.apps.building import Compile
from microclaw.apps.catalogue import Catalogue
from microclaw.apps.deferring import Deferrals
from microclaw.apps.deploy import Deployer
from microclaw.apps.direct_io import DirectIo
from microclaw.apps.explorer import Explorer
from microclaw.apps.lifecycle import Lifecycle
from microclaw.apps.source_log import SourceLog
from microclaw.apps.trial import Try
from microclaw.apps.undo import Undo
from microclaw.apps.upgrade import Upgrader
from microclaw.auth.approvals import Approvals
from microclaw.auth.gate import Gate
from microclaw.auth.people import People
from microclaw.auth.sign_ins import SignIns
from microclaw.auth.tokens import PersonTokens
from microclaw.config.settings import Settings
from microclaw.devices.registry import Registry
from microclaw.errors import MicroclawError
from microclaw.knowledge.knowledge_base import Knowledge
from microclaw.link_server.linked_devices import LinkedDevices
from microclaw.models.usage import UsageLog
from microclaw.ota.offers import Offers
from microclaw.ota.publisher import Publisher
from microclaw.ota.rollout_service import RolloutService
from microclaw.tasks.service import TaskService
from microclaw.telemetry.history import TelemetryHistory
from microclaw.telemetry.reported import CrashLog
from microclaw.tools.toolbox import Toolbox

if TYPE_CHECKING:
    from microclaw.api.requests_elsewhere import RequestsElsewhere
    from microclaw.cluster.questions import RemoteQuestions
    from microclaw.voice.service import VoiceService
    from microclaw.voice.xiaozhi.updates import Updates


@dataclass(frozen=True, slots=True)
class HostParts:
    settings: Settings
    conversations: Conversations
    client_turns: ClientTurns
    devices: Registry
    publisher: Publisher
    offers: Offers
    rollouts: RolloutService
    deployer: Deployer
    lifecycle: Lifecycle
    deferrals: Deferrals
    upgrader: Upgrader
    direct_io: DirectIo
    undo: Undo
    explorer: Explorer
    catalogue: Catalogue
    source_log: SourceLog
    compile: Compile
    builders: Callable[[], int] | None  # live hosts that build for this one; None: it builds itself
    try_image: Try
    gate: Gate
    approvals: Approvals
    people: People
    tokens: PersonTokens
    sign_ins: SignIns
    watching: Watching
    toolbox: Toolbox
    jobs: Jobs
    metrics: MetricSources
    live: LiveFeed
    pins: LivePins
    link: LinkedDevices | None
    voice: Callable[[], VoiceService | None]
    voice_problem: Callable[[], str | None]
    xiaozhi: Callable[[], Updates | None]
    attempts: Callable[[int], Awaitable[tuple[Attempt, ...]]]
    status: Callable[[], Awaitable[dict[str, Any]]]
    failing: Callable[[], tuple[str, ...]]
    usage: UsageLog
    knowledge: Knowledge
    schedules: ScheduleParts
    erase: Callable[[str], Awaitable[str]]
    history: TelemetryHistory
    crashes: CrashLog
    read_home: ReadHome
    code: TaskService
    cluster: Callable[[], Awaitable[dict[str, Any]]] | None = None  # None in a host that is alone
    no_agent: Callable[[], MicroclawError] | None = None  # that other hosts of a cluster answer what people write
    elsewhere: RemoteQuestions | None = None  # what waits for a yes at the other hosts of a cluster
    requests: WaitingRequests = field(default_factory=WaitingRequests)
    requests_elsewhere: RequestsElsewhere | None = None  # what came in at the other hosts
