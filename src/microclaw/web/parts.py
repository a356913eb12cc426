"""What the control socket's routes work with: the host's ready parts, given by app.py."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Protocol

from microclaw.agent.events import TurnEvent
from microclaw.agent.mail import Mail
from microclaw.agent.tries import Try
from microclaw.apps.catalogue import Catalogue
from microclaw.apps.deploy import Deployer
from microclaw.apps.explore import Explorer
from microclaw.apps.ports import Compile
from microclaw.apps.undo import Undo
from microclaw.bus.events import Inbound
from microclaw.config import Settings
from microclaw.devices.registry import Registry
from microclaw.faces.link.plane import DevicePlane
from microclaw.knowledge.shelf import Knowledge
from microclaw.metrics import Metrics
from microclaw.models.ledger import Ledger
from microclaw.policy.approval import Approvals
from microclaw.policy.gate import Gate
from microclaw.policy.people import People
from microclaw.policy.tokens import Tokens
from microclaw.tools.toolbox import Toolbox
from microclaw.web.jobs import Jobs
from microclaw.web.live_feed import LiveFeed
from microclaw.web.schedule_api import ScheduleParts


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
    explorer: Explorer
    undo: Undo
    catalogue: Catalogue
    compile: Compile
    gate: Gate
    approvals: Approvals
    people: People
    tokens: Tokens
    toolbox: Toolbox
    jobs: Jobs
    metrics: Metrics
    live: LiveFeed
    link: DevicePlane | None
    tries: Callable[[int], Awaitable[tuple[Try, ...]]]
    status: Callable[[], Awaitable[dict[str, Any]]]
    usage: Ledger | None = None
    knowledge: Knowledge | None = None
    schedules: ScheduleParts | None = None
