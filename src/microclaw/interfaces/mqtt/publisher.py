"""Keeps this host connected to the broker: sends the buffer in order, and the newest value of each state.

It asks no device: `devices` has their states. States are not buffered; after each connection all are published.
"""

from __future__ import annotations

import asyncio
import logging
import random
import secrets
from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import asdict
from functools import partial
from typing import Any, Final, Protocol

from microclaw import __version__
from microclaw.backoff import Backoff
from microclaw.errors import BrokerError, MicroclawError
from microclaw.host.config.settings import MqttSettings
from microclaw.host.store.mqtt import MqttPublishedTable, PublishedDevice
from microclaw.interfaces.mqtt.commands import MqttCommands
from microclaw.interfaces.mqtt.connection import BrokerConnection, BrokerStatus
from microclaw.interfaces.mqtt.device_view import OFFLINE, ONLINE, DeviceView, device_messages, json_bytes
from microclaw.interfaces.mqtt.discovery import Discovery, with_sensors
from microclaw.interfaces.mqtt.feed import MqttFeed
from microclaw.interfaces.mqtt.topics import Topics, device_of

BATCH: Final = 500
WATCH_S: Final = 30.0
# A connection that lasted this long resets the backoff.
WELL_AFTER_S: Final = 10.0
# Changes within this time are published once.
TOGETHER_S: Final = 0.25
ASKED_AT_ONCE: Final = 16
_log = logging.getLogger(__name__)


class DeviceSource(Protocol):
    """The devices to publish: the host's registry, or a test's."""

    def ids(self) -> Collection[str]: ...

    def id_of(self, name: str) -> str | None: ...

    async def view(self, device_id: str) -> DeviceView | None:
        """Return the present view of a device, or None if it was just removed."""


class MqttPublisher:
    """The publisher; `run` is a task. `host` is this host's id in the topics."""

    def __init__(  # noqa: PLR0913, RUF100 - `sleep` and `watch_s` are for tests
        self,
        settings: MqttSettings,
        host: str,
        *,
        devices: DeviceSource,
        feed: MqttFeed,
        published: MqttPublishedTable,
        commands: MqttCommands | None = None,
        backoff: Backoff | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        watch_s: float = WATCH_S,
    ) -> None:
        self._settings = settings
        self._topics = Topics(settings.topic, host)
        self._discovery = None
        if settings.home_assistant:
            self._discovery = Discovery(settings.discovery_prefix, self._topics, settings.commands)
        self._devices = devices
        self._feed = feed
        self._published = published
        self._commands = commands
        self._backoff = backoff or Backoff(random.random)
        self._sleep = sleep
        self._watch_s = watch_s
        # None means all devices.
        self._changed: set[str] | None = None
        self._some_changed = asyncio.Event()
        # Numbers in the buffer.
        self._acknowledged: list[int] = []
        self._some_acknowledged = asyncio.Event()
        # The payload of each topic that this connection has published.
        self._payloads: dict[str, bytes] = {}
        self._devices_at_broker: dict[str, PublishedDevice] = {}
        self._run_id = secrets.token_hex(8)
        self.status = BrokerStatus()

    def changed(self, device_id: str | None = None) -> None:
        """Note that the state of this device, or of any if None, may have changed."""
        if device_id is None:
            self._changed = None
        elif self._changed is not None:
            self._changed.add(device_id)
        self._some_changed.set()

    def status_object(self) -> dict[str, Any]:
        """For the host's status and its metrics."""
        commands = self._commands
        return {
            **asdict(self.status),
            "id": self._topics.host,
            "publishes": f"{self._topics.root}/...: states, telemetry and events of every device",
            "buffer": self._feed.buffer_object(),
            "commands": None if commands is None else {**commands.counts, "dropped": commands.dropped},
        }

    async def run(self) -> None:
        """Run until it is cancelled; the broker then publishes that this host is offline."""
        loop = asyncio.get_running_loop()
        status = self.status
        while True:
            began_s = loop.time()
            error: BaseException | None = None
            try:
                await self._serve()
            except* MicroclawError as errors:
                # Of the broker, the settings, or the store: a full disk.
                error = errors.exceptions[0]
            finally:
                was_on = status.state == "on"
                status.state = "disturbed"
            assert isinstance(error, MicroclawError)
            if was_on and loop.time() - began_s >= WELL_AFTER_S:
                self._backoff.succeeded()
            wait_s = self._backoff.next_wait_s()
            # The same error is not logged again.
            if status.text != error.message:
                _log.warning("MQTT: %s; tried again, the first time in %.1f s", error.message, wait_s)
            status.text = error.message
            status.next = error.next_step
            await self._sleep(wait_s)

    # One connection.

    async def _serve(self) -> None:
        """Connect and publish. Ends with the connection, by the reason."""
        opened = BrokerConnection.opened(self._settings, self._topics, self.status, self._received)
        async with opened as connection, asyncio.TaskGroup() as group:
            self._connection = connection
            group.create_task(connection.read(), name="mqtt read")
            group.create_task(self._watch(), name="mqtt watch")
            self._payloads.clear()
            self._acknowledged.clear()
            self._devices_at_broker = {row.device_id: row for row in await self._published.list()}
            self.status.state = "on"
            self.status.text = None
            self.status.next = None
            self.status.connections += 1
            _log.info("MQTT: connected to %s", self.status.address)
            self.changed()
            commands = () if self._commands is None else self._topics.commands
            connection.subscribe((self._topics.of_host("status"), self._topics.of_host("info"), *commands))
            about = json_bytes({"id": self._topics.host, "version": __version__, "run": self._run_id})
            await self._publish(self._topics.of_host("info"), about)
            await self._publish(self._topics.of_host("status"), ONLINE)
            group.create_task(self._drain(), name="mqtt buffer")
            group.create_task(self._remove(), name="mqtt acknowledged")
            group.create_task(self._publish_changes(), name="mqtt states")

    async def _drain(self) -> None:
        """Send what the buffer has, in order."""
        sent = 0
        while True:
            self._feed.news.clear()
            batch = await self._feed.buffer.after(sent, BATCH)
            for message in batch:
                sent = message.number
                topic = f"{self._topics.root}/{message.topic}"
                # nothing is retained of a device that went or has another name meanwhile
                is_known = self._devices.id_of(device_of(message.topic)) is not None
                retain = message.kind == "telemetry" and is_known
                answer = await self._connection.publish(topic, message.payload, retain=retain)
                answer.add_done_callback(partial(self._answered, message.number))
            if not batch:
                await self._feed.news.wait()

    def _answered(self, number: int, answer: asyncio.Future[bool]) -> None:
        """Keep in the buffer what the broker refused: it is sent at the next connection."""
        if answer.result():
            self._acknowledged.append(number)
            self._some_acknowledged.set()

    async def _remove(self) -> None:
        """Take what the broker has out of the buffer, many at once."""
        while True:
            await self._some_acknowledged.wait()
            self._some_acknowledged.clear()
            numbers = self._acknowledged
            self._acknowledged = []
            await self._feed.buffer.remove(numbers)

    async def _watch(self) -> None:
        """Keep the connection alive; BrokerError if the broker confirms nothing."""
        pause_s = min(self._watch_s, self._connection.keepalive_s / 2)
        while True:
            await asyncio.sleep(pause_s)
            try:
                async with asyncio.timeout(self._watch_s):
                    await (await self._connection.publish(self._topics.of_host("status"), ONLINE))
            except TimeoutError as exc:
                raise BrokerError(f"the broker confirmed nothing for {self._watch_s:g} s") from exc

    async def _publish_changes(self) -> None:
        while True:
            await self._some_changed.wait()
            self._some_changed.clear()
            changed = self._changed
            self._changed = set()
            await self._publish(self._topics.of_host("status"), ONLINE)
            ids = set(self._devices.ids())
            for removed_id in self._devices_at_broker.keys() - ids:
                # Nothing of the device stays at the broker; its entities are removed first.
                topics = self._devices_at_broker.pop(removed_id).topics
                entities_first = sorted(topics, key=lambda topic: topic.startswith(self._topics.root))
                await self._publish_all(dict.fromkeys(entities_first, b""))
                await self._published.delete(removed_id)
            changed_ids = sorted(ids if changed is None else changed & ids)
            for start in range(0, len(changed_ids), ASKED_AT_ONCE):
                group = changed_ids[start : start + ASKED_AT_ONCE]
                for view in await asyncio.gather(*map(self._devices.view, group)):
                    if view is not None:
                        await self._publish_device(view)
            await self._sleep(TOGETHER_S)

    async def _publish_device(self, view: DeviceView) -> None:
        """Publish a device. Its topics are stored before they are sent, so that they can always be removed again."""
        before = self._devices_at_broker.get(view.device_id, PublishedDevice(view.device_id, "", ()))
        # After a start, the first telemetry takes a while.
        view = with_sensors(view, before.components)
        messages = {f"{self._topics.root}/{topic}": payload for topic, payload in device_messages(view).items()}
        platforms: dict[str, str] = {}
        if self._discovery is not None:
            components = self._discovery.components(view)
            platforms = {key: component["p"] for key, component in components.items()}
            former = {key: platform for key, platform in before.components.items() if key not in platforms}
            if components or former:
                messages[self._discovery.topic(view.device_id)] = self._discovery.message(view, components, former)
        topics = (*messages, self._topics.of_device(view.name, "telemetry"))
        stale = [topic for topic in before.topics if topic not in topics]
        after = PublishedDevice(view.device_id, view.name, topics, platforms)
        if before != after:
            both = {**before.components, **platforms}
            await self._store(PublishedDevice(view.device_id, view.name, (*topics, *stale), both))
        await self._publish_all(messages)
        # The entities were changed first, because they read these topics.
        await self._publish_all(dict.fromkeys(stale, b""))
        if before != after:
            await self._store(after)

    async def _store(self, device: PublishedDevice) -> None:
        await self._published.put(device)
        self._devices_at_broker[device.device_id] = device

    async def _publish_all(self, messages: Mapping[str, bytes]) -> None:
        """Publish messages and wait until the broker has all of them."""
        answers = [await self._publish(topic, payload) for topic, payload in messages.items()]
        for answer in answers:
            if answer is not None:
                await answer

    async def _publish(self, topic: str, payload: bytes) -> asyncio.Future[bool] | None:
        """Publish a retained message, unless this connection has published the same before."""
        if self._payloads.get(topic) == payload:
            return None
        self._payloads[topic] = payload
        return await self._connection.publish(topic, payload)

    def _received(self, topic: str, payload: bytes, is_retained: bool) -> None:
        if topic == self._topics.of_host("status"):
            # The last will of an older connection arrived late, so the status is published again.
            if payload == OFFLINE and not is_retained:
                self._payloads.pop(topic, None)
                self._some_changed.set()
        elif topic == self._topics.of_host("info"):
            is_of_an_older_run = is_retained and self.status.connections == 1
            if b'"run"' in payload and not is_of_an_older_run and self._run_id.encode() not in payload:
                self.status.warn("another host uses this host's id, from a copied data folder: they end each other")
        elif self._commands is not None:
            self._commands.take(topic.removeprefix(f"{self._topics.root}/"), payload, retained=is_retained)
