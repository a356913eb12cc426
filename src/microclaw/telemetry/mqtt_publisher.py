"""Keeps this host at the broker: connects again and again, sends the buffer in order and of each state the newest.

It asks no device: `devices` tells how they are. States are not buffered; after each connection all are told again.
"""

from __future__ import annotations

import asyncio
import json
import logging
import random
import secrets
from collections import deque
from collections.abc import Awaitable, Callable, Collection, Iterable, Sequence
from typing import Any, Final, Protocol

from microclaw import __version__
from microclaw.backoff import Backoff
from microclaw.errors import BrokerError, MicroclawError
from microclaw.store.mqtt import BufferedMessage, MqttBuffer, MqttPublishedTable, PublishedDevice
from microclaw.telemetry.mqtt_broker import BrokerOptions
from microclaw.telemetry.mqtt_broker_state import COUNTS, BrokerState
from microclaw.telemetry.mqtt_commands import MqttCommands
from microclaw.telemetry.mqtt_device import OFFLINE, ONLINE, DeviceView, device_messages, json_bytes
from microclaw.telemetry.mqtt_discovery import Discovery, with_sensors
from microclaw.telemetry.mqtt_feed import MqttFeed
from microclaw.telemetry.mqtt_session import GOODBYE_S, Acknowledgement, Incoming, MqttSession
from microclaw.telemetry.mqtt_topics import Topics

BATCH: Final = 500
WATCH_S: Final = 30.0
WELL_AFTER_S: Final = 10.0  # a connection that lasted so long
TOGETHER_S: Final = 0.25  # changes that come so close are told once
ASKED_AT_ONCE: Final = 16
_log = logging.getLogger(__name__)


class ToldDevices(Protocol):
    """The devices as they are told: the host's registry, or a test's."""

    def ids(self) -> Collection[str]: ...

    async def view(self, device_id: str) -> DeviceView | None:
        """None for a device that has just gone."""


class MqttPublisher:
    """`run` it in a task. `options` is called for each connection: it reads the password's file."""

    def __init__(
        self,
        *,
        options: Callable[[], BrokerOptions],
        topics: Topics,
        discovery: Discovery | None,
        commands: MqttCommands | None,
        devices: ToldDevices,
        feed: MqttFeed,
        buffer: MqttBuffer,
        published: MqttPublishedTable,
        backoff: Backoff | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        watch_s: float = WATCH_S,
    ) -> None:
        self._options, self._topics, self._discovery = options, topics, discovery
        self._commands, self._devices, self._feed = commands, devices, feed
        self._buffer, self._published = buffer, published
        self._backoff = backoff or Backoff(random.random)
        self._sleep, self._watch_s = sleep, watch_s
        self._changed: set[str] | None = None  # None: all
        self._some_changed = asyncio.Event()
        self._acked: list[int] = []
        self._some_acked = asyncio.Event()
        self._has_room = asyncio.Event()
        self._session: MqttSession | None = None
        self._told: dict[str, bytes] = {}  # on this connection
        self._known: dict[str, PublishedDevice] = {}
        self._gone: set[str] = set()  # topics of devices that went or have other names: nothing is retained there
        self._logged: str | None = None  # the failure that was logged last: one that goes on is not logged again
        self._run_id = secrets.token_hex(8)
        self.state = BrokerState()

    def changed(self, device_id: str | None = None) -> None:
        """This device, or any of them, may be told otherwise now."""
        if device_id is None:
            self._changed = None
        elif self._changed is not None:
            self._changed.add(device_id)
        self._some_changed.set()

    def status_object(self) -> dict[str, Any]:
        """For the host's status and its metrics."""
        state, commands = self.state, self._commands
        return {
            "state": state.phase,
            "text": state.reason or state.warning,
            "next": state.next_step,
            "address": state.address,
            "id": self._topics.host,
            "others": sorted(state.others),
            **{name: getattr(state, name) for name in COUNTS},
            "buffer": self._feed.buffer_object(),
            "commands": None if commands is None else {**commands.counts, "dropped": commands.dropped},
        }

    async def run(self) -> None:
        """Until it is cancelled: then the broker is told that this host is offline."""
        loop = asyncio.get_running_loop()
        while True:
            began_s = loop.time()
            try:
                options = await asyncio.to_thread(self._options)
                self.state.address = options.address
                opened = MqttSession.opened(
                    options, acknowledged=self._acknowledged, received=self._received, deaf=self.state.note_deaf
                )
                async with opened as session:
                    error: MicroclawError = await self._serve(session)
            except MicroclawError as exc:  # the broker's, the settings', or the store's: a full disk
                error = exc
            finally:
                self._session, was_on = None, self.state.phase == "on"
                self.state.phase = "disturbed"
            if was_on and loop.time() - began_s >= WELL_AFTER_S:
                self._backoff.succeeded()
                self._logged = None
            wait_s = self._backoff.next_wait_s()
            if self._logged != error.message:
                self._logged = error.message
                _log.warning("MQTT: %s; tried again, the first time in %.1f s", error.message, wait_s)
            self.state.reason, self.state.next_step = error.message, error.next_step
            self.state.others.clear()
            await self._sleep(wait_s)

    # One connection.

    async def _serve(self, session: MqttSession) -> MicroclawError:
        self._session = session
        self._told.clear()
        self._acked.clear()
        self.state.warning = None
        self._known = {row.device_id: row for row in await self._published.list()}
        self.changed()
        own = (self._topics.every_status, self._topics.of_host("info"))
        session.subscribe((*own, *(self._topics.commands if self._commands is not None else ())))
        try:
            about = json_bytes({"id": self._topics.host, "version": __version__, "run": self._run_id})
            await self._say(self._topics.of_host("info"), about)
            await self._say(self._topics.of_host("status"), ONLINE)
            self.state.phase, self.state.reason, self.state.next_step = "on", None, None
            self.state.connections += 1
            if self._logged is not None or self.state.connections == 1:
                _log.info("MQTT: connected to %s", self.state.address)
            failed = await self._work(session)
            return failed or session.ended.result()
        except asyncio.CancelledError:
            if not session.ended.done():
                await self._say_goodbye()
            raise

    async def _work(self, session: MqttSession) -> MicroclawError | None:
        """All that a connection does, until it ends; what of the host itself ended it, such as a full disk."""
        failed: list[MicroclawError] = []
        try:
            async with asyncio.TaskGroup() as group:
                working = [
                    group.create_task(self._drain(session), name="mqtt buffer"),
                    group.create_task(self._remove(), name="mqtt acknowledged"),
                    group.create_task(self._tell(), name="mqtt states"),
                    group.create_task(self._watch(session), name="mqtt watch"),
                ]
                await asyncio.wait((session.ended,))  # it stays as it is where this is cancelled
                for task in working:
                    task.cancel()
        except* MicroclawError as group_of_errors:
            failed += [error for error in group_of_errors.exceptions if isinstance(error, MicroclawError)]
        return failed[0] if failed else None

    async def _say_goodbye(self) -> None:
        """A connection that is closed in order has no last will."""
        try:
            async with asyncio.timeout(GOODBYE_S):
                await (await self._publish(self._topics.of_host("status"), OFFLINE))
                await self._buffer.remove(self._take_acked())
        except TimeoutError:
            _log.warning("MQTT: the broker did not confirm that this host goes offline")

    async def _drain(self, session: MqttSession) -> None:
        """Send what the buffer has, in order."""
        sent = 0
        batch: deque[BufferedMessage] = deque()
        while True:
            if not batch:
                self._feed.news.clear()
                batch.extend(await self._buffer.after(sent, BATCH))
                if not batch:
                    await self._feed.news.wait()
                    continue
            await self._room(session)
            while batch and session.room > 0:
                message = batch.popleft()
                sent = message.number
                topic = f"{self._topics.root}/{message.topic}"
                retain = message.kind == "telemetry" and topic not in self._gone
                if session.fits(topic, message.payload):
                    session.publish(topic, message.payload, message.number, retain=retain)
                else:  # it would end every connection
                    self.state.note_too_large(topic, len(message.payload))
                    self._acked.append(message.number)
                    self._some_acked.set()

    async def _watch(self, session: MqttSession) -> None:
        """A broker that answers the library's pings and confirms nothing is no broker."""
        while True:
            await asyncio.sleep(self._watch_s)
            try:
                async with asyncio.timeout(self._watch_s):
                    await (await self._publish(self._topics.of_host("status"), ONLINE))
            except TimeoutError:
                session.end(BrokerError(f"the broker confirmed nothing for {self._watch_s:g} s"))
                return

    async def _remove(self) -> None:
        """Take what the broker has out of the buffer, many at once."""
        while True:
            await self._some_acked.wait()
            self._some_acked.clear()
            if numbers := self._take_acked():
                await self._buffer.remove(numbers)

    def _take_acked(self) -> Sequence[int]:
        numbers, self._acked = self._acked, []
        return numbers

    async def _tell(self) -> None:
        while True:
            await self._some_changed.wait()
            self._some_changed.clear()
            changed, self._changed = self._changed, set()
            await self._say(self._topics.of_host("status"), ONLINE)
            ids = set(self._devices.ids())
            for gone in self._known.keys() - ids:
                await self._take_back(self._known[gone])
            wanted = sorted(ids if changed is None else changed & ids)
            for start in range(0, len(wanted), ASKED_AT_ONCE):
                asked = (self._devices.view(device_id) for device_id in wanted[start : start + ASKED_AT_ONCE])
                for view in await asyncio.gather(*asked):
                    if view is not None:
                        await self._tell_device(view)
            await self._sleep(TOGETHER_S)

    async def _tell_device(self, view: DeviceView) -> None:
        """Its topics are written down before they are sent: what the broker holds can always be reverted."""
        before = self._known.get(view.device_id, PublishedDevice(view.device_id, "", ()))
        view = with_sensors(view, before.components)  # after a start its telemetry takes a while
        messages = {f"{self._topics.root}/{topic}": payload for topic, payload in device_messages(view).items()}
        platforms: dict[str, str] = {}
        if self._discovery is not None:
            components = self._discovery.components(view)
            platforms = {key: str(component["p"]) for key, component in components.items()}
            gone = {key: platform for key, platform in before.components.items() if key not in platforms}
            if components or gone:
                messages[self._discovery.topic(view.device_id)] = self._discovery.message(view, components, gone)
        topics = (*messages, self._topics.of_device(view.name, "telemetry"))
        after = PublishedDevice(view.device_id, view.name, topics, platforms)
        stale = [topic for topic in before.topics if topic not in topics]
        if before != after:
            both = {**before.components, **platforms}
            await self._keep(PublishedDevice(view.device_id, view.name, (*topics, *stale), both))
        self._gone.difference_update(topics)
        self._gone.update(stale)
        await _all_of([await self._say(topic, payload) for topic, payload in messages.items()])
        await _all_of([await self._say(topic, b"") for topic in stale])  # the entities first: they read these topics
        if before != after:
            await self._keep(after)

    async def _take_back(self, device: PublishedDevice) -> None:
        """A device is gone: nothing of it stays at the broker."""
        del self._known[device.device_id]
        self._gone.update(device.topics)
        entities_first = sorted(device.topics, key=lambda topic: topic.startswith(self._topics.root))
        await _all_of([await self._say(topic, b"") for topic in entities_first])
        await self._published.delete(device.device_id)

    async def _keep(self, device: PublishedDevice) -> None:
        await self._published.put(device)
        self._known[device.device_id] = device

    async def _say(self, topic: str, payload: bytes) -> asyncio.Future[None] | None:
        """Publish, retained, what this connection has not said already."""
        if self._told.get(topic) == payload:
            return None
        self._told[topic] = payload
        return await self._publish(topic, payload)

    async def _publish(self, topic: str, payload: bytes) -> asyncio.Future[None]:
        assert self._session is not None
        await self._room(self._session)
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if not self._session.fits(topic, payload):
            self.state.note_too_large(topic, len(payload))
            done.set_result(None)
            return done
        self._session.publish(topic, payload, done, retain=True)
        return done

    async def _room(self, session: MqttSession) -> None:
        while session.room <= 0:
            self._has_room.clear()
            await self._has_room.wait()

    # Called by the session.

    def _acknowledged(self, answers: Sequence[Acknowledgement]) -> None:
        """Take an acknowledgement; what the broker refused stays in the buffer, and is sent at the next connection."""
        for answer in answers:
            if answer.refused is not None:
                self.state.refused += 1
                self.state.warn(f"the broker refuses what this host publishes: {answer.refused}")
            else:
                self.state.acknowledged += 1
            if isinstance(answer.token, asyncio.Future):
                if not answer.token.done():
                    answer.token.set_result(None)
            elif isinstance(answer.token, int) and answer.refused is None:
                self._acked.append(answer.token)
        self._has_room.set()
        self._some_acked.set()

    def _received(self, messages: Sequence[Incoming], dropped: int) -> None:
        self.state.received += len(messages) + dropped
        if dropped and self._commands is not None:
            self._commands.drop(dropped)
        for message in messages:
            if message.topic == self._topics.of_host("info"):
                self._note_run(message)
                continue
            host = self._topics.host_of_status(message.topic)
            if host is None:
                if self._commands is not None:
                    topic = self._topics.below_root(message.topic)
                    self._commands.take(topic, message.payload, retained=message.retained)
            elif host == self._topics.host:
                self._note_own(message)
            else:
                self.state.note_other(host, self._topics.base, is_online=message.payload == ONLINE)

    def _note_run(self, message: Incoming) -> None:
        """Two hosts with one id throw each other out: the other one's words are there when this one is back."""
        try:
            run_id = json.loads(message.payload)["run"]
        except (ValueError, KeyError, TypeError, RecursionError):
            return
        if (
            run_id != self._run_id
            and (not message.retained or self.state.connections > 1)
            and self._session is not None
        ):
            self._session.end(
                BrokerError(
                    f"another host uses this host's id {self._topics.host}",
                    next_step="a data folder was copied: let one host alone use it, or clear mqtt.url of the other",
                )
            )

    def _note_own(self, message: Incoming) -> None:
        """The last will of an older connection may come after this one's first words: say them again."""
        if message.payload == OFFLINE and not message.retained:
            self._told.pop(message.topic, None)
            self._some_changed.set()


async def _all_of(sent: Iterable[asyncio.Future[None] | None]) -> None:
    """Until the broker has all of them."""
    for done in sent:
        if done is not None:
            await done
