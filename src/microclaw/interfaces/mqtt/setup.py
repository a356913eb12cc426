"""Opens MQTT for a host: buffer, connection, commands (docs/mqtt.md). It sends nothing itself."""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from typing import Any, Final, TypeAlias

from msgspec import Struct

from microclaw.agent.turn.toolbox import Toolbox
from microclaw.devices.link.links import LinkRegistry
from microclaw.devices.ota.offers import Offers
from microclaw.devices.registry.registry import Registry
from microclaw.events import AppDeployed, AppEnded, DeviceConnected, DeviceLeft, LiveEvent
from microclaw.host.audit.event import Record
from microclaw.host.auth.admission import Admission
from microclaw.host.auth.gate import Gate
from microclaw.host.auth.people import MQTT, WithAutomation
from microclaw.host.config.settings import Settings
from microclaw.host.store.database import Database
from microclaw.host.store.mqtt import MqttBuffer, MqttPublishedTable
from microclaw.interfaces.mqtt.command_calls import command_actor
from microclaw.interfaces.mqtt.commands import MqttCommands
from microclaw.interfaces.mqtt.feed import MqttFeed
from microclaw.interfaces.mqtt.host_devices import HostDevices
from microclaw.interfaces.mqtt.publisher import MqttPublisher
from microclaw.programs.changes.services import AppServices
from microclaw.supervision import SupervisedTasks

# All states are read again: a program or another host may have moved a pin.
REFRESH_S: Final = 30.0
# The other events change no state that is published.
_CHANGES: Final = (DeviceConnected, DeviceLeft, AppDeployed, AppEnded)
Work: TypeAlias = Callable[[], Awaitable[None]]


class MqttServices(Struct, frozen=True):
    """The parts of the host that MQTT works with.

    `listen` calls its argument with each live event, and with whether it happened at this host. `duty` makes work that
    one host of a cluster does at a time.
    """

    settings: Settings
    database: Database
    admission: Admission
    record: Record
    registry: Registry
    links: LinkRegistry
    apps: AppServices
    offers: Offers
    tools: Toolbox
    listen: Callable[[Callable[[LiveEvent, bool], None]], None]
    duty: Callable[[str, Work], Work]


async def open_mqtt(
    host: MqttServices, tasks: SupervisedTasks, stack: AsyncExitStack
) -> Callable[[], Mapping[str, Any]]:
    """Publish events from now on, until `stack` ends. Returns the reader of MQTT's part of the status."""
    settings = host.settings.mqtt
    published = MqttPublishedTable(host.database)
    buffer = MqttBuffer(host.database)
    await buffer.open()
    host_id = await published.host_id(f"h-{secrets.token_hex(4)}")
    feed = MqttFeed(buffer)
    devices = HostDevices(host.registry, host.links, host.apps, host.offers.newest_for)
    commands = None
    if settings.commands:
        commands = _build_commands(host, devices, feed)
        await stack.enter_async_context(commands.serving())
    publisher = MqttPublisher(settings, host_id, devices=devices, feed=feed, published=published, commands=commands)
    _follow(host, devices, feed, publisher)

    async def refresh() -> None:
        publisher.changed()

    tasks.start("mqtt buffer", feed.run)
    tasks.start("mqtt", host.duty("mqtt", publisher.run))
    tasks.start("mqtt refresh", refresh, every_s=REFRESH_S)
    return publisher.status_object


def _build_commands(host: MqttServices, devices: HostDevices, feed: MqttFeed) -> MqttCommands:
    """Build the commands with a gate that has no approvals: a command that needs a person's yes is refused."""
    people = WithAutomation(host.admission.people, MQTT)
    always_ask = host.settings.agent.approvals == "always"
    gate = Gate(people, always_ask=always_ask, record=host.record)
    return MqttCommands(
        feed=feed,
        act=command_actor(host.registry, host.tools, gate),
        is_known=lambda name: devices.id_of(name) is not None,
    )


def _follow(host: MqttServices, devices: HostDevices, feed: MqttFeed, publisher: MqttPublisher) -> None:
    """Take the messages of devices and the host's events into the feed, and note which states changed."""

    def on_event(event: LiveEvent, is_own: bool) -> None:
        # Another host of a cluster puts its own events into the buffer.
        if is_own:
            feed.take_live(event)
        if isinstance(event, _CHANGES):
            device_id = devices.id_of(event.device)
            if device_id is not None:
                publisher.changed(device_id)

    reports = host.links.parts.reports
    reports.keep_event = feed.keep_event
    reports.pass_event = feed.news.set
    reports.pass_telemetry = feed.take_telemetry
    host.listen(on_event)
    host.apps.change_log.report_to(lambda change, _state, _person_id: publisher.changed(change.device_id))
