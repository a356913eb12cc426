"""The parts of the host that the API's routes work with; app/ builds them."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from starlette.responses import StreamingResponse

from microclaw.agent.conversation import Conversations
from microclaw.api.caller import Caller
from microclaw.api.event_routes import LiveFeed
from microclaw.api.jobs import Jobs, Work, stream_response
from microclaw.api.live_pins import LivePins
from microclaw.api.server import PeoplePlane
from microclaw.api.waiting import WaitingRequests
from microclaw.apps.parts import Apps
from microclaw.audit import AuditLog
from microclaw.auth.admission import Admission
from microclaw.backup.scheduled import ScheduledBackups
from microclaw.config.settings import Settings
from microclaw.devices.registry import Registry
from microclaw.egress.proxy import EgressProxy
from microclaw.knowledge.knowledge_base import Knowledge
from microclaw.link_server.server import LinkServer
from microclaw.models.usage import UsageLog
from microclaw.ota.rollout_service import RolloutService
from microclaw.schedules.operations import Schedules
from microclaw.store.database import Database
from microclaw.supervision import SupervisedTasks
from microclaw.tasks.service import TaskService
from microclaw.telemetry.history import TelemetryHistory
from microclaw.virtual_boards.host_boards import VirtualBoards

if TYPE_CHECKING:
    from microclaw.api.requests_elsewhere import RequestsElsewhere
    from microclaw.api.status import ChannelStates
    from microclaw.cluster.status import ClusterView
    from microclaw.voice.state import VoiceState


@dataclass(frozen=True, slots=True, kw_only=True)
class HostParts:
    """`plane` is where people and programs call the host, None without the API's port; `link` where devices connect,
    `ingress` the port for Home Assistant's; None without one. `boards` starts virtual boards."""

    settings: Settings
    database: Database
    audit: AuditLog
    admission: Admission
    plane: PeoplePlane | None
    ingress: int | None
    devices: Registry
    link: LinkServer | None
    boards: VirtualBoards
    rollouts: RolloutService
    apps: Apps
    usage: UsageLog
    conversations: Conversations
    knowledge: Knowledge
    schedules: Schedules
    services: Mapping[str, Any]  # of the rooms with declared acts, by their nouns (operations)
    tasks: SupervisedTasks
    jobs: Jobs
    live: LiveFeed
    pins: LivePins
    voice: VoiceState
    channels: ChannelStates
    mqtt: Callable[[], Mapping[str, Any]]
    mcp_servers: Callable[[], Mapping[str, str]]
    history: TelemetryHistory
    backups: ScheduledBackups
    code: TaskService
    egress: EgressProxy
    cluster: ClusterView | None = None  # None in a host that is alone
    requests: WaitingRequests = field(default_factory=WaitingRequests)
    requests_elsewhere: RequestsElsewhere | None = None  # what came in at the other hosts
    began_s: float = field(default_factory=time.monotonic)

    @property
    def http(self) -> str | None:
        """The address of the API."""
        return None if self.plane is None else self.plane.urls[0]

    def stream(self, by: Caller, name: str, work: Work, *, cancellable: bool = False) -> StreamingResponse:
        """Begin a job of the caller's; the answer is its events as JSON lines."""
        feed = self.jobs.start(
            name, work, token=by.token, person_id=by.person_id, number=by.job, cancellable=cancellable
        )
        return stream_response(feed, self.settings.limits.keepalive_s)
