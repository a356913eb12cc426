"""A running host, for `up`, the status and the metrics."""

from __future__ import annotations

import time

from msgspec import Struct, field

from microclaw.agent.turn.conversation import Conversations
from microclaw.devices.link.server import LinkServer
from microclaw.devices.registry.registry import Registry
from microclaw.devices.virtual_boards.host_boards import VirtualBoards
from microclaw.host.auth.admission import Admission
from microclaw.host.builder.hooks import HostHooks
from microclaw.host.config.settings import Settings
from microclaw.interfaces.api.server import PeoplePlane
from microclaw.programs.changes.services import AppServices


class HostInfo(Struct, frozen=True, kw_only=True):
    """The parts of a running host.

    `plane` is the address of people and programs, `ingress` the port for Home Assistant, `link` the server of devices;
    None if it is off. `boards` starts virtual boards. `hooks` are what the rooms show of themselves.
    """

    settings: Settings
    admission: Admission
    plane: PeoplePlane | None
    ingress: int | None
    link: LinkServer | None
    devices: Registry
    boards: VirtualBoards
    apps: AppServices
    conversations: Conversations
    hooks: HostHooks
    began_s: float = field(default_factory=time.monotonic)

    @property
    def http(self) -> str | None:
        """The address of the API."""
        if self.plane is None:
            return None
        return self.plane.urls[0]

    @property
    def problems(self) -> list[str]:
        """The parts that are configured but off, and why, one a line."""
        return [*self.settings.problems, *self.hooks.read_problems()]
