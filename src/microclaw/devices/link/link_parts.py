"""The parts of the links that app/ joins: tasks, updates, reports, fetches, audio. Does nothing itself."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, TypeAlias

from msgspec import field

from microclaw.devices.link.connection import LinkConnection
from microclaw.devices.link.device_link import DeviceLink
from microclaw.devices.link.device_reports import DeviceReports
from microclaw.devices.link.fetches import DeviceFetches
from microclaw.devices.link.linked_device import LinkContext
from microclaw.devices.link.tasks import DeviceTasks
from microclaw.devices.link.update_windows import DeviceUpdates
from microclaw.wire.link.actions import Hear
from microclaw.wire.link.messages import AudioFormat, CancelStream, StartAsr, StopAsr


class AudioStreams(Protocol):
    """The listener to the audio of one connection (interfaces/voice/link_device.py). No method waits."""

    def receive(self, message: StartAsr | StopAsr | CancelStream) -> None: ...

    def receive_audio(self, hear: Hear) -> None: ...

    def end(self) -> None: ...


OpenAudio: TypeAlias = Callable[[DeviceLink, LinkConnection, AudioFormat], AudioStreams]


class LinkParts(LinkContext, kw_only=True):
    """The parts of every device's link.

    `open_audio` is called for each device that has audio when it connects; None: this host takes no audio.
    """

    tasks: DeviceTasks
    open_audio: OpenAudio | None = None
    reports: DeviceReports = field(default_factory=DeviceReports)
    updates: DeviceUpdates = field(default_factory=DeviceUpdates)
    fetches: DeviceFetches = field(default_factory=DeviceFetches)
