"""What the control socket's routes work with: the host's ready parts, given by app.py."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Protocol

from microclaw.agent.mail import Mail
from microclaw.agent.tries import Try
from microclaw.api.event_routes import LiveFeed
from microclaw.api.jobs import Jobs
from microclaw.api.metrics import MetricSources
from microclaw.api.schedule_routes import ScheduleParts
from microclaw.apps.catalogue import Catalogue
from microclaw.apps.deploy import Deployer
from microclaw.apps.direct_io import DirectIo
from microclaw.apps.trial import Compile
from microclaw.apps.undo import Undo
from microclaw.auth.approvals import Approvals
from microclaw.auth.gate import Gate
from microclaw.auth.people import People
from microclaw.auth.tokens import Tokens
from microclaw.config import Settings
from microclaw.devices.registry import Registry
from microclaw.events import Inbound, TurnEvent
from microclaw.knowledge.knowledge_base import Knowledge
from microclaw.link_server.plane import DevicePlane
from microclaw.models.usage import Ledger
from microclaw.tools.toolbox import Toolbox


class Chats(Protocol):
    """agent.AgentLoop."""

    @property
    def mail(self) -> Mail: ...

    def chat(self, inbound: Inbound) -> AsyncIterator[TurnEvent]: ...


@dataclass(frozen=True, slots=True)
class HostParts:
    settings: Settings
    chats: Chats
    devices: Registry
    deployer: Deployer
    direct_io: DirectIo
    undo: Undo
    catalogue: Catalogue
    compile: Compile
    gate: Gate
    approvals: Approvals
    people: People
    tokens: Tokens
    toolbox: Toolbox
    jobs: Jobs
    metrics: MetricSources
    live: LiveFeed
    link: DevicePlane | None
    tries: Callable[[int], Awaitable[tuple[Try, ...]]]
    status: Callable[[], Awaitable[dict[str, Any]]]
    usage: Ledger
    knowledge: Knowledge
    schedules: ScheduleParts
