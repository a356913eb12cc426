"""The broker's buffer on disk: events and telemetry of devices, the host's own events. It sends nothing.

An event that the store keeps is buffered in the same transaction. Everything else waits in memory for the next write,
for milliseconds and up to a limit: messages above it are lost and counted.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Mapping
from itertools import islice
from typing import Any, Final

from msgspec.structs import asdict

from microclaw.events import Alarm, AppDeployed, AppEnded, DeviceConnected, DeviceLeft, LiveEvent
from microclaw.host.store.mqtt import BufferedMessage, MqttBuffer
from microclaw.host.store.sql import Sql
from microclaw.interfaces.mqtt.device_view import json_bytes
from microclaw.interfaces.mqtt.topics import device_topic
from microclaw.text import clean_text
from microclaw.wire.link.messages import Event, Telemetry

MAX_IN_MEMORY: Final = 4_096
MAX_GROUP: Final = 256
COMMAND_EVENT: Final = "mqtt.command"
DROPPED_EVENT: Final = "mqtt.commands_dropped"
# A device's own events have their data.
_HOST_KINDS: Final = (DeviceConnected, DeviceLeft, AppDeployed, AppEnded, Alarm)
HOST_EVENTS: Final = frozenset({*(event.kind for event in _HOST_KINDS), COMMAND_EVENT, DROPPED_EVENT})
_NOT_FACTS: Final = frozenset({"device", "at_ms", "number"})


class MqttFeed:
    """`news` is set when the buffer has more."""

    def __init__(self, buffer: MqttBuffer) -> None:
        self.buffer = buffer
        self.news = asyncio.Event()
        self.lost = 0
        self._waiting: deque[BufferedMessage] = deque()
        self._arrived = asyncio.Event()
        self._writing = asyncio.Lock()
        buffer.listen(self.news.set)

    @property
    def waiting(self) -> int:
        """The number of messages that are only in memory."""
        return len(self._waiting)

    def keep_event(self, connection: Sql, device: str, message_id: bytes, event: Event, at_ms: int) -> None:
        """In the transaction that keeps the event. Set `news` when it is committed."""
        body = {"name": _board_name(event.name), "data": event.data, "at_ms": at_ms, "id": message_id.hex()}
        self.buffer.add_to(connection, BufferedMessage("event", device_topic(device, "event"), json_bytes(body)))

    def take_telemetry(self, device: str, telemetry: Telemetry, at_ms: int) -> None:
        values = {name: value for name, value in asdict(telemetry).items() if name != "apps" and value is not None}
        payload = json_bytes({**values, "at_ms": at_ms})
        self._put(BufferedMessage("telemetry", device_topic(device, "telemetry"), payload))

    def take_live(self, event: LiveEvent) -> None:
        """Keep an event of the host itself. Events from a device come by `keep_event`."""
        if isinstance(event, _HOST_KINDS):
            facts = {name: value for name, value in asdict(event).items() if name not in _NOT_FACTS}
            self.add_event(event.device, event.kind, facts, event.at_ms)

    def add_event(self, device: str | None, name: str, data: Mapping[str, Any], at_ms: int) -> None:
        """Keep an event of a device, or of the host if the device is None."""
        if device is None:
            topic = "event"
        else:
            topic = device_topic(device, "event")
        body = {"name": name, "data": data, "at_ms": at_ms}
        self._put(BufferedMessage("event", topic, json_bytes(body)))

    def buffer_object(self) -> dict[str, int]:
        """Count the waiting and the lost messages, for the host's status."""
        sizes = self.buffer.sizes
        return {
            "events": sizes["event"].messages,
            "telemetry": sizes["telemetry"].messages,
            "bytes": sum(size.size_bytes for size in sizes.values()),
            "lost_events": sizes["event"].lost,
            "lost_telemetry": sizes["telemetry"].lost,
            "lost_unwritten": self.lost,
        }

    async def run(self) -> None:
        """Write waiting messages until it is cancelled, then the rest. After a StoreError they still wait."""
        try:
            while True:
                await self._arrived.wait()
                await asyncio.shield(self._write())
        except asyncio.CancelledError:
            await self._write()
            raise

    async def _write(self) -> None:
        async with self._writing:
            while group := list(islice(self._waiting, MAX_GROUP)):
                await self.buffer.add(group)
                for _ in group:
                    self._waiting.popleft()
                self.news.set()
            self._arrived.clear()

    def _put(self, message: BufferedMessage) -> None:
        if len(self._waiting) >= MAX_IN_MEMORY:
            self.lost += 1
        else:
            self._waiting.append(message)
            self._arrived.set()


def _board_name(name: str) -> str:
    """Return the name for publishing a board's event: never one of the host's own, or similar to one."""
    shown = clean_text(name, one_line=True)
    is_plain = shown.isascii() and "".join(shown.split()).lower() not in HOST_EVENTS
    if is_plain:
        return shown
    return f"board.{shown}"
