"""Opens MQTT: the buffer, the connection, commands (docs/mqtt.md). It sends nothing itself."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from microclaw.app.devices import Apps, Base, Devices
from microclaw.app.firmware import Firmware
from microclaw.apps.changes import Change
from microclaw.auth.gate import Gate
from microclaw.auth.people import MQTT, WithAutomation
from microclaw.clock import now_ms
from microclaw.events import AppDeployed, AppEnded, DeviceConnected, DeviceLeft, LiveEvent
from microclaw.link_server.effects import DeviceReports
from microclaw.store.apps import AppTable
from microclaw.store.mqtt import MqttBuffer, MqttPublishedTable
from microclaw.supervision import SupervisedTasks
from microclaw.tools.toolbox import Toolbox

if TYPE_CHECKING:
    from microclaw.app.mqtt_devices import HostDevices
    from microclaw.telemetry.mqtt_commands import MqttCommands
    from microclaw.telemetry.mqtt_feed import MqttFeed
    from microclaw.telemetry.mqtt_publisher import MqttPublisher

REFRESH_S: Final = 30.0  # every state is asked anew: a program may have moved a pin
LOOK_S: Final = 1.0  # devices that came, went, or were named anew; nobody is asked
MAX_LOOKED_AT: Final = 256  # changes of other hosts; an older one is published with the refresh
_CHANGES: Final = (DeviceConnected, DeviceLeft, AppDeployed, AppEnded)  # the others change no state


class HostMqtt:
    """Off without `mqtt.url`. Outside of `serving` it takes nothing."""

    def __init__(self) -> None:
        self.host_id: str | None = None
        self._buffer: MqttBuffer | None = None
        self._feed: MqttFeed | None = None
        self._publisher: MqttPublisher | None = None
        self._commands: MqttCommands | None = None
        self._devices: HostDevices | None = None

    def publishing(self, publish: Callable[[LiveEvent], None]) -> Callable[[LiveEvent], None]:
        """`publish` for every part of the host, which MQTT hears, too."""

        def both(event: LiveEvent) -> None:
            publish(event)
            if self._feed is not None:
                self._feed.take_live(event)
            self._note(event)

        return both

    def hearing(self, deliver: Callable[[LiveEvent], None]) -> Callable[[LiveEvent], None]:
        """`deliver` for events of other hosts of a cluster: the one where it happened has put it into the buffer."""

        def both(event: LiveEvent) -> None:
            deliver(event)
            self._note(event)

        return both

    def _note(self, event: LiveEvent) -> None:
        if self._publisher is None or self._devices is None or not isinstance(event, _CHANGES):
            return
        if (device_id := self._devices.id_of(event.device)) is not None:
            self._publisher.changed(device_id)

    def completing(self, completed: Callable[[Change], None]) -> Callable[[Change], None]:
        """The same of changes on devices."""

        def both(change: Change) -> None:
            completed(change)
            if self._publisher is not None:
                self._publisher.changed(change.device_id)

        return both

    def status_object(self) -> dict[str, Any]:
        """For the host's status and its metrics."""
        publisher, buffer, feed = self._publisher, self._buffer, self._feed
        if publisher is None or buffer is None or feed is None:
            return {"state": "off", "text": None}
        from microclaw.telemetry.mqtt_broker_state import buffer_object

        state, commands = publisher.state, self._commands
        return {
            "state": state.phase,
            "text": state.reason or state.warning,
            "next": state.next_step,
            "address": state.address,
            "id": self.host_id,
            "others": sorted(state.others),
            "connections": state.connections,
            "acknowledged": state.acknowledged,
            "received": state.received,
            "refused": state.refused,
            "too_large": state.too_large,
            "buffer": dict(buffer_object(buffer, feed)),
            "commands": None if commands is None else {**commands.counts, "dropped": commands.dropped},
        }

    @asynccontextmanager
    async def serving(
        self, base: Base, devices: Devices, apps: Apps, firmware: Firmware, tools: Toolbox, tasks: SupervisedTasks
    ) -> AsyncGenerator[None]:
        """Inside, what happens is published. Enter it after the devices and the tools, so that it ends before them."""
        if base.settings.mqtt.url is None:
            yield
            return
        reports = devices.links.parts.reports
        async with AsyncExitStack() as stack:
            await self._open(base, devices, apps, firmware, tools, tasks, stack)
            try:
                yield
            finally:
                none = DeviceReports()
                reports.keep_event = None
                reports.pass_event, reports.pass_telemetry = none.pass_event, none.pass_telemetry
                self._publisher = self._feed = self._commands = self._devices = None

    async def _open(
        self,
        base: Base,
        devices: Devices,
        apps: Apps,
        firmware: Firmware,
        tools: Toolbox,
        tasks: SupervisedTasks,
        stack: AsyncExitStack,
    ) -> None:
        from microclaw.app.mqtt_devices import HostDevices
        from microclaw.telemetry.mqtt_broker import read_options
        from microclaw.telemetry.mqtt_discovery import Discovery
        from microclaw.telemetry.mqtt_feed import MqttFeed
        from microclaw.telemetry.mqtt_publisher import MqttPublisher
        from microclaw.telemetry.mqtt_topics import Topics

        settings = base.settings.mqtt
        published, buffer = MqttPublishedTable(base.database), MqttBuffer(base.database)
        await buffer.open()
        self.host_id = await published.host_id(f"h-{secrets.token_hex(4)}")
        topics = Topics(settings.topic, self.host_id)
        feed = MqttFeed(buffer)
        told = HostDevices(devices.registry, devices.links, apps.change_log, apps.catalogue, firmware.newest_for)
        if settings.commands:
            self._commands = await stack.enter_async_context(_commands(base, devices, told, tools, feed))
        discovery = Discovery(settings.discovery_prefix, topics, settings.commands) if settings.home_assistant else None
        publisher = MqttPublisher(
            options=partial(read_options, settings, topics),
            topics=topics,
            discovery=discovery,
            commands=self._commands,
            devices=told,
            feed=feed,
            buffer=buffer,
            published=published,
        )
        reports = devices.links.parts.reports
        reports.keep_event, reports.pass_event, reports.pass_telemetry = feed.keep_event, feed.kept, feed.take_telemetry
        self._buffer, self._feed, self._publisher, self._devices = buffer, feed, publisher, told

        base.database.follow(("changes",), ChangesElsewhere(base.app_table, publisher.changed).look)

        async def refresh() -> None:
            publisher.changed()

        async def look() -> None:
            for device_id in told.changed():
                publisher.changed(device_id)

        for task in (
            tasks.start("mqtt buffer", feed.run),
            tasks.start("mqtt", base.duty("mqtt", publisher.run)),
            tasks.start("mqtt refresh", refresh, every_s=REFRESH_S),
            tasks.start("mqtt devices", look, every_s=LOOK_S),
        ):
            stack.push_async_callback(_ended, task)


class ChangesElsewhere:
    """Tells `changed` the devices on which another host of the cluster made a change; `look` after each news of one."""

    def __init__(self, table: AppTable, changed: Callable[[str], None]) -> None:
        self._table = table
        self._changed = changed
        self._states: dict[int, str] = {}  # of the newest

    async def look(self) -> None:
        """The first time each device of a recent change: that costs no more than the refresh."""
        now = {row.change_id: row for row in await self._table.changes(limit=MAX_LOOKED_AT)}
        before, self._states = self._states, {change_id: row.state for change_id, row in now.items()}
        for device_id in {row.device_id for row in now.values() if before.get(row.change_id) != row.state}:
            self._changed(device_id)


async def _ended(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.wait((task,))


@asynccontextmanager
async def _commands(
    base: Base, devices: Devices, told: HostDevices, tools: Toolbox, feed: MqttFeed
) -> AsyncGenerator[MqttCommands]:
    from microclaw.app.mqtt_devices import CommandActor
    from microclaw.telemetry.mqtt_commands import MqttCommands

    people, always_ask = base.admission.people, base.settings.agent.approvals == "always"
    gate = Gate(WithAutomation(people, MQTT), always_ask=always_ask, record=base.audit.record)
    actor = CommandActor(devices.registry, tools, gate)

    def answer(device: str | None, name: str, data: Mapping[str, Any]) -> None:
        feed.add_event(device, name, data, now_ms())

    commands = MqttCommands(act=actor.act, answer=answer, is_known=told.is_known)
    async with commands.serving():
        yield commands
