"""Opens MQTT: the buffer, the connection, commands (docs/mqtt.md). It sends nothing itself."""

from __future__ import annotations

import secrets
from collections.abc import AsyncGenerator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Final

from microclaw.agent.toolbox import Toolbox
from microclaw.api.event_routes import LiveFeed
from microclaw.app.devices import Base, Devices
from microclaw.apps.changes import ChangeLog
from microclaw.apps.parts import Apps
from microclaw.auth.gate import Gate
from microclaw.auth.people import MQTT, WithAutomation
from microclaw.clock import now_ms
from microclaw.events import AppDeployed, AppEnded, DeviceConnected, DeviceLeft, LiveEvent
from microclaw.ota.offers import Offers
from microclaw.store.mqtt import MqttBuffer, MqttPublishedTable
from microclaw.supervision import SupervisedTasks, ended

if TYPE_CHECKING:
    from microclaw.telemetry.mqtt_publisher import MqttPublisher

REFRESH_S: Final = 30.0  # every state is asked anew: a program may have moved a pin, a device was named anew
MAX_LOOKED_AT: Final = 256  # changes of other hosts; an older one is published with the refresh
_CHANGES: Final = (DeviceConnected, DeviceLeft, AppDeployed, AppEnded)  # the others change no state


@asynccontextmanager
async def mqtt_serving(
    base: Base,
    devices: Devices,
    apps: Apps,
    offers: Offers,
    tools: Toolbox,
    tasks: SupervisedTasks,
    live: LiveFeed,
) -> AsyncGenerator[MqttPublisher | None]:
    """Inside, what happens is published; None without `mqtt.url`. Enter it after the devices and the tools."""
    settings, people = base.settings.mqtt, base.admission.people
    if settings.url is None:
        yield None
        return
    from microclaw.app.mqtt_devices import CommandActor, HostDevices
    from microclaw.telemetry.mqtt_broker import read_options
    from microclaw.telemetry.mqtt_commands import MqttCommands
    from microclaw.telemetry.mqtt_discovery import Discovery
    from microclaw.telemetry.mqtt_feed import MqttFeed
    from microclaw.telemetry.mqtt_publisher import MqttPublisher
    from microclaw.telemetry.mqtt_topics import Topics

    published, buffer = MqttPublishedTable(base.database), MqttBuffer(base.database)
    await buffer.open()
    topics = Topics(settings.topic, await published.host_id(f"h-{secrets.token_hex(4)}"))
    feed, told = MqttFeed(buffer), HostDevices(devices, apps, offers.newest_for)
    async with AsyncExitStack() as stack:
        commands, discovery = None, None
        if settings.home_assistant:
            discovery = Discovery(settings.discovery_prefix, topics, settings.commands)
        if settings.commands:
            always_ask = base.settings.agent.approvals == "always"
            gate = Gate(WithAutomation(people, MQTT), always_ask=always_ask, record=base.audit.record)
            commands = MqttCommands(
                act=CommandActor(devices.registry, tools, gate).act,
                answer=lambda device, name, data: feed.add_event(device, name, data, now_ms()),
                is_known=lambda name: told.id_of(name) is not None,
            )
            await stack.enter_async_context(commands.serving())
        publisher = MqttPublisher(
            options=partial(read_options, settings, topics),
            topics=topics,
            discovery=discovery,
            commands=commands,
            devices=told,
            feed=feed,
            buffer=buffer,
            published=published,
        )

        def on_event(event: LiveEvent, is_own: bool) -> None:
            if is_own:  # another host of a cluster puts its own into the buffer
                feed.take_live(event)
            if isinstance(event, _CHANGES) and (device_id := told.id_of(event.device)) is not None:
                publisher.changed(device_id)

        async def refresh() -> None:
            publisher.changed()

        reports = devices.links.parts.reports
        reports.keep_event, reports.pass_event, reports.pass_telemetry = feed.keep_event, feed.kept, feed.take_telemetry
        live.listen(on_event)
        apps.change_log.report_to(lambda change, _state, _person_id: publisher.changed(change.device_id))
        base.database.follow(("changes",), ChangesElsewhere(apps.change_log, publisher.changed).look)
        for task in (
            tasks.start("mqtt buffer", feed.run),
            tasks.start("mqtt", base.duty("mqtt", publisher.run)),
            tasks.start("mqtt refresh", refresh, every_s=REFRESH_S),
        ):
            stack.push_async_callback(ended, task)
        yield publisher


class ChangesElsewhere:
    """Tells `changed` the devices on which another host of the cluster made a change; `look` after each news of one."""

    def __init__(self, change_log: ChangeLog, changed: Callable[[str], None]) -> None:
        self._change_log = change_log
        self._changed = changed
        self._states: dict[int, str] = {}  # of the newest

    async def look(self) -> None:
        """The first time each device of a recent change: that costs no more than the refresh."""
        now = {row.change_id: row for row in await self._change_log.changes(limit=MAX_LOOKED_AT)}
        before, self._states = self._states, {change_id: row.state for change_id, row in now.items()}
        for device_id in {row.device_id for row in now.values() if before.get(row.change_id) != row.state}:
            self._changed(device_id)
