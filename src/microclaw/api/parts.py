"""The parts of the host that the API's routes work with; app/ builds them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from fastapi.responses import StreamingResponse

from microclaw.agent.attempts import Attempt
from microclaw.agent.client_turn import ClientTurns
from microclaw.agent.conversation import Conversations
from microclaw.api.backup_routes import ReadHome
from microclaw.api.caller import Caller
from microclaw.api.event_routes import LiveFeed, Watching
from microclaw.api.jobs import Jobs, Work, stream_response
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
from microclaw.errors import StoreUnwritable
from microclaw.knowledge.knowledge_base import Knowledge
from microclaw.link_server.server import LinkServer
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
    link: LinkServer | None
    voice: Callable[[], VoiceService | None]
    voice_problem: Callable[[], str | None]
    attempts: Callable[[int], Awaitable[tuple[Attempt, ...]]]
    status: Callable[[], Awaitable[dict[str, Any]]]
    failing: Callable[[], tuple[str, ...]]
    refusal: Callable[[], Awaitable[StoreUnwritable | None]]
    usage: UsageLog
    knowledge: Knowledge
    schedules: ScheduleParts
    erase: Callable[[str], Awaitable[str]]
    history: TelemetryHistory
    crashes: CrashLog
    read_home: ReadHome
    code: TaskService
    cluster: Callable[[], Awaitable[dict[str, Any]]] | None = None  # None in a host that is alone
    elsewhere: RemoteQuestions | None = None  # what waits for a yes at the other hosts of a cluster
    requests: WaitingRequests = field(default_factory=WaitingRequests)
    requests_elsewhere: RequestsElsewhere | None = None  # what came in at the other hosts

    def stream(self, by: Caller, name: str, work: Work, *, cancellable: bool = False) -> StreamingResponse:
        """Begin a job of the caller's; the answer is its events as JSON lines."""
        feed = self.jobs.start(
            name, work, token=by.token, person_id=by.person_id, number=by.job, cancellable=cancellable
        )
        return stream_response(feed, self.settings.limits.keepalive_s)
