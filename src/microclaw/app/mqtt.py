"""Opens MQTT: the buffer, the connection, commands (docs/mqtt.md). It sends nothing itself."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from typing import Any, Final

from microclaw.agent.toolbox import Toolbox
from microclaw.api.event_routes import LiveFeed
from microclaw.app.devices import Base, Devices
from microclaw.apps.parts import Apps
from microclaw.auth.gate import Gate
from microclaw.auth.people import MQTT, WithAutomation
from microclaw.events import AppDeployed, AppEnded, DeviceConnected, DeviceLeft, LiveEvent
from microclaw.ota.offers import Offers
from microclaw.store.mqtt import MqttBuffer, MqttPublishedTable
from microclaw.supervision import SupervisedTasks

REFRESH_S: Final = 30.0  # every state is asked again: a program or another host may have moved a pin
OFF: Final = {"state": "off", "text": None}
_CHANGES: Final = (DeviceConnected, DeviceLeft, AppDeployed, AppEnded)  # the others change no state


async def open_mqtt(
    base: Base,
    devices: Devices,
    apps: Apps,
    offers: Offers,
    tools: Toolbox,
    tasks: SupervisedTasks,
    live: LiveFeed,
    stack: AsyncExitStack,
) -> Callable[[], Mapping[str, Any]]:
    """Publish events from now on; nothing without `mqtt.url`. Gives its part of the status."""
    settings, people = base.settings.mqtt, base.admission.people
    if settings.url is None:
        return lambda: OFF
    from microclaw.app.mqtt_devices import CommandActor, HostDevices
    from microclaw.telemetry.mqtt_commands import MqttCommands
    from microclaw.telemetry.mqtt_feed import MqttFeed
    from microclaw.telemetry.mqtt_publisher import MqttPublisher

    published, buffer = MqttPublishedTable(base.database), MqttBuffer(base.database)
    await buffer.open()
    host = await published.host_id(f"h-{secrets.token_hex(4)}")
    feed, told = MqttFeed(buffer), HostDevices(devices, apps, offers.newest_for)
    commands = None
    if settings.commands:
        always_ask = base.settings.agent.approvals == "always"
        gate = Gate(WithAutomation(people, MQTT), always_ask=always_ask, record=base.audit.record)
        commands = MqttCommands(
            feed=feed,
            act=CommandActor(devices.registry, tools, gate).act,
            is_known=lambda name: told.id_of(name) is not None,
        )
        await stack.enter_async_context(commands.serving())
    publisher = MqttPublisher(settings, host, devices=told, feed=feed, published=published, commands=commands)

    def on_event(event: LiveEvent, is_own: bool) -> None:
        if is_own:  # another host of a cluster puts its own into the buffer
            feed.take_live(event)
        if isinstance(event, _CHANGES) and (device_id := told.id_of(event.device)) is not None:
            publisher.changed(device_id)

    async def refresh() -> None:
        publisher.changed()

    reports = devices.links.parts.reports
    reports.keep_event, reports.pass_event, reports.pass_telemetry = feed.keep_event, feed.news.set, feed.take_telemetry
    live.listen(on_event)
    apps.change_log.report_to(lambda change, _state, _person_id: publisher.changed(change.device_id))
    tasks.start("mqtt buffer", feed.run)
    tasks.start("mqtt", base.duty("mqtt", publisher.run))
    tasks.start("mqtt refresh", refresh, every_s=REFRESH_S)
    return publisher.status_object
