"""A running host, as `up`, the status and the metrics show it."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct, field

from microclaw.agent.conversation import Conversations
from microclaw.api.server import PeoplePlane
from microclaw.apps.parts import Apps
from microclaw.auth.admission import Admission
from microclaw.config.settings import Settings
from microclaw.devices.registry import Registry
from microclaw.link_server.server import LinkServer
from microclaw.virtual_boards.host_boards import VirtualBoards

if TYPE_CHECKING:
    from microclaw.channels.telegram.channel import TelegramState
    from microclaw.voice.operations import VoiceState


class ChannelStates(Struct):
    """`gateway` is its address, `clients` counts its connections, `gateway_open`: it asks nobody for a token,
    `gateway_token` is the file with the local one, None on a network.

    `problems` says why a configured channel is off.
    """

    telegram: TelegramState | None = None
    gateway: str | None = None
    clients: Callable[[], int] = lambda: 0
    problems: list[str] = field(default_factory=list)
    gateway_open: bool = False
    gateway_token: Path | None = None


class Host(Struct, frozen=True, kw_only=True):
    """`plane` is where people and programs call it, `ingress` the port for Home Assistant's, `link` where devices
    connect; None without one. `boards` starts virtual boards. `more_problems` are of parts that fail as they run."""

    settings: Settings
    admission: Admission
    plane: PeoplePlane | None
    ingress: int | None
    link: LinkServer | None
    devices: Registry
    boards: VirtualBoards
    apps: Apps
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
        """The parts that are set and off, and why, a line each."""
        off = [f"{name} is off: {problem}" for name, problem in self.voice.problems.items() if name != "voice"]
        more = [text for text in self.more_problems() if text is not None]
        return [*self.settings.problems, *self.channels.problems, *off, *more]
