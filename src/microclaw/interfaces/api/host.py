"""A running host, for `up`, the status and the metrics."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct, field

from microclaw.agent.turn.conversation import Conversations
from microclaw.devices.link.server import LinkServer
from microclaw.devices.registry.registry import Registry
from microclaw.devices.virtual_boards.host_boards import VirtualBoards
from microclaw.host.auth.admission import Admission
from microclaw.host.config.settings import Settings
from microclaw.interfaces.api.server import PeoplePlane
from microclaw.programs.changes.services import AppServices

if TYPE_CHECKING:
    from microclaw.interfaces.channels.telegram.channel import TelegramState
    from microclaw.interfaces.voice.operations import VoiceState


class ChannelStates(Struct):
    """The states of the channels.

    `gateway` is its address, `clients` counts its connections. If `gateway_open`, it needs no token. `gateway_token` is
    the file with the local token, None on a network. `problems` says why a configured channel is off.
    """

    telegram: TelegramState | None = None
    gateway: str | None = None
    clients: Callable[[], int] = lambda: 0
    problems: list[str] = field(default_factory=list)
    gateway_open: bool = False
    gateway_token: Path | None = None


class HostInfo(Struct, frozen=True, kw_only=True):
    """The parts of a running host.

    `plane` is the address of people and programs, `ingress` the port for Home Assistant, `link` the server of devices;
    None if it is off. `boards` starts virtual boards. `more_problems` returns the problems of parts that fail while
    they run.
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
    voice: VoiceState
    channels: ChannelStates
    more_problems: Callable[[], list[str | None]]
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
        problems = [*self.settings.problems, *self.channels.problems]
        for name, problem in self.voice.problems.items():
            if name != "voice":
                problems.append(f"{name} is off: {problem}")
        problems.extend(text for text in self.more_problems() if text is not None)
        return problems
