"""Opens MQTT for a host: buffer, connection, commands (docs/mqtt.md). It sends nothing itself."""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from typing import Any, Final

from microclaw.agent.turn.toolbox import Toolbox
from microclaw.devices.link.links import LinkRegistry
from microclaw.devices.ota.rollouts import Rollouts
from microclaw.devices.registry.device import Device
from microclaw.devices.registry.registry import Registry
from microclaw.events import AppDeployed, AppEnded, DeviceConnected, DeviceLeft, LiveEvent
from microclaw.host.auth.gate import Gate
from microclaw.host.auth.people import MQTT, WithAutomation
from microclaw.host.builder.builder import HostBuilder
from microclaw.host.store.mqtt import MqttBuffer, MqttPublishedTable
from microclaw.interfaces.api.event_routes import LiveFeed
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


async def open_mqtt(host: HostBuilder, stack: AsyncExitStack) -> Callable[[], Mapping[str, Any]]:
    """Publish events from now on, until `stack` ends. Returns the reader of MQTT's part of the status."""
    settings = host.settings.mqtt
    published = MqttPublishedTable(host.database)
    buffer = MqttBuffer(host.database)
    await buffer.open()
    host_id = await published.host_id(f"h-{secrets.token_hex(4)}")
    feed = MqttFeed(buffer)
    devices = HostDevices(host.need(Registry), host.need(LinkRegistry), host.need(AppServices), _newest_for(host))
    commands = None
    if settings.commands:
        commands = _build_commands(host, devices, feed)
        await stack.enter_async_context(commands.serving())
    publisher = MqttPublisher(settings, host_id, devices=devices, feed=feed, published=published, commands=commands)
    _follow(host, devices, feed, publisher)

    async def refresh() -> None:
        publisher.changed()

    tasks = host.need(SupervisedTasks)
    tasks.start("mqtt buffer", feed.run)
    tasks.start("mqtt", host.duty("mqtt", publisher.run))
    tasks.start("mqtt refresh", refresh, every_s=REFRESH_S)
    return publisher.status_object


def _newest_for(host: HostBuilder) -> Callable[[Device], Awaitable[str | None]]:
    """Return the reader of the newest firmware that is published for a device; a host without updates has none."""

    async def no_release(_device: Device) -> str | None:
        return None

    rollouts = host.find(Rollouts)
    if rollouts is None:
        return no_release
    return rollouts.offers.newest_for


def _build_commands(host: HostBuilder, devices: HostDevices, feed: MqttFeed) -> MqttCommands:
    """Build the commands with a gate that has no approvals: a command that needs a person's yes is refused."""
    people = WithAutomation(host.admission.people, MQTT)
    always_ask = host.settings.agent.approvals == "always"
    gate = Gate(people, always_ask=always_ask, record=host.audit.record)
    return MqttCommands(
        feed=feed,
        act=command_actor(host.need(Registry), host.need(Toolbox), gate),
        is_known=lambda name: devices.id_of(name) is not None,
    )


def _follow(host: HostBuilder, devices: HostDevices, feed: MqttFeed, publisher: MqttPublisher) -> None:
    """Take the messages of devices and the host's events into the feed, and note which states changed."""

    def on_event(event: LiveEvent, is_own: bool) -> None:
        # Another host of a cluster puts its own events into the buffer.
        if is_own:
            feed.take_live(event)
        if isinstance(event, _CHANGES):
            device_id = devices.id_of(event.device)
            if device_id is not None:
                publisher.changed(device_id)

    reports = host.need(LinkRegistry).parts.reports
    reports.keep_event = feed.keep_event
    reports.pass_event = feed.news.set
    reports.pass_telemetry = feed.take_telemetry
    host.need(LiveFeed).listen(on_event)
    change_log = host.need(AppServices).change_log
    change_log.report_to(lambda change, _state, _person_id: publisher.changed(change.device_id))
