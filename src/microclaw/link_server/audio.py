"""Sends a device's audio to its listener (voice/link_device.py), or to nobody. It carries no audio itself."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol, TypeAlias

from microclaw.wire.link import actions
from microclaw.wire.link.messages import AudioFormat, CancelStream, StartAsr, StopAsr

if TYPE_CHECKING:
    from microclaw.link_server.connection import Connection
    from microclaw.link_server.device_link import DeviceLink


class AudioStreams(Protocol):
    """The streams of one connection. No method waits."""

    def took(self, message: StartAsr | StopAsr | CancelStream) -> None: ...

    def heard(self, hear: actions.Hear) -> None: ...

    def left(self) -> None: ...


Open: TypeAlias = "Callable[[DeviceLink, Connection, AudioFormat], AudioStreams]"


class DeviceAudio:
    """`open` is called for each device that has audio when it connects; None: this host takes no audio."""

    def __init__(self) -> None:
        self.open: Open | None = None
