"""Opens MQTT: buffer, connection, commands (docs/mqtt.md); a device as MQTT tells it. It sends nothing itself."""

from __future__ import annotations

import asyncio
import json
import secrets
import time
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import AsyncExitStack, suppress
from typing import Any, Final
from weakref import WeakKeyDictionary

from msgspec import Struct, field

from microclaw.agent.models.protocol import ToolCall
from microclaw.agent.turn.action_record import action_of
from microclaw.agent.turn.toolbox import Toolbox
from microclaw.app.devices import Base, DeviceServices
from microclaw.devices.link.device_link import DeviceLink
from microclaw.devices.ota.offers import Offers
from microclaw.devices.registry.calls import AppList, Call, DeviceInfo, GpioGet, I2cRead
from microclaw.devices.registry.device import Device
from microclaw.devices.registry.registry import Registry
from microclaw.devices.telemetry.mqtt_commands import Command, CommandOutcome, MqttCommands
from microclaw.devices.telemetry.mqtt_device import DeviceView, FirmwareVersions, MqttPin, MqttProgram
from microclaw.devices.telemetry.mqtt_feed import MqttFeed
from microclaw.devices.telemetry.mqtt_publisher import MqttPublisher
from microclaw.errors import MicroclawError, UnknownName
from microclaw.events import AppDeployed, AppEnded, DeviceConnected, DeviceLeft, LiveEvent
from microclaw.hardware.boards.pins import labelled_pins
from microclaw.hardware.boards.profile import BoardProfile
from microclaw.host.auth.gate import Gate
from microclaw.host.auth.people import MQTT, WithAutomation
from microclaw.host.operations.tool import ToolContext
from microclaw.host.store.mqtt import MqttBuffer, MqttPublishedTable
from microclaw.interfaces.api.event_routes import LiveFeed
from microclaw.programs.changes.catalogue import AppListing
from microclaw.programs.changes.change_log import ChangeOrigin, DesiredApp, change_origin
from microclaw.programs.changes.direct_io import sees_pins
from microclaw.programs.changes.services import AppServices
from microclaw.supervision import SupervisedTasks

LED: Final = "led"
ASK_S: Final = 3.0
ASK_EVERY_S: Final = 60.0
_RUNS: Final = ("running", "waiting", "listed")  # also between two runs; "listed" is all that stock firmware tells
_WANTED: Final = ("unreachable", "deferred", "stopped")  # conditions that the board did not tell
_TOOLS: Final = frozenset({"gpio-set", "switch-program", "undo"})
REFRESH_S: Final = 30.0  # every state is asked again: a program or another host may have moved a pin
_CHANGES: Final = (DeviceConnected, DeviceLeft, AppDeployed, AppEnded)  # the others change no state


async def open_mqtt(
    base: Base,
    devices: DeviceServices,
    apps: AppServices,
    offers: Offers,
    tools: Toolbox,
    tasks: SupervisedTasks,
    live: LiveFeed,
    stack: AsyncExitStack,
) -> Callable[[], Mapping[str, Any]]:
    """Publish events from now on. Gives its part of the status."""
    settings = base.settings.mqtt
    people = base.admission.people
    published = MqttPublishedTable(base.database)
    buffer = MqttBuffer(base.database)
    await buffer.open()
    host = await published.host_id(f"h-{secrets.token_hex(4)}")
    feed = MqttFeed(buffer)
    told = HostDevices(devices, apps, offers.newest_for)
    commands = None
    if settings.commands:
        always_ask = base.settings.agent.approvals == "always"
        gate = Gate(WithAutomation(people, MQTT), always_ask=always_ask, record=base.audit.record)
        commands = MqttCommands(
            feed=feed,
            act=_command_actor(devices.registry, tools, gate),
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
    reports.keep_event = feed.keep_event
    reports.pass_event = feed.news.set
    reports.pass_telemetry = feed.take_telemetry
    live.listen(on_event)
    apps.change_log.report_to(lambda change, _state, _person_id: publisher.changed(change.device_id))
    tasks.start("mqtt buffer", feed.run)
    tasks.start("mqtt", base.duty("mqtt", publisher.run))
    tasks.start("mqtt refresh", refresh, every_s=REFRESH_S)
    return publisher.status_object


class _Told(Struct):
    """The last report of one device: its time, the keys of telemetry since the host started, its sensors' values."""

    asked_s: float = float("-inf")
    keys: frozenset[str] = frozenset()
    readings: dict[str, Mapping[str, float | None]] = field(default_factory=dict)


class HostDevices:
    """The registry's devices as they are now; one that does not answer within ASK_S as far as it is known."""

    def __init__(
        self, devices: DeviceServices, apps: AppServices, latest: Callable[[Device], Awaitable[str | None]]
    ) -> None:
        self._devices = devices.registry
        self._links = devices.links
        self._apps = apps
        self._latest = latest
        self._told: WeakKeyDictionary[Device, _Told] = WeakKeyDictionary()

    def ids(self) -> Collection[str]:
        return [device.device_id for device in self._devices.list()]

    def id_of(self, name: str) -> str | None:
        return next((device.device_id for device in self._devices.list() if device.name == name), None)

    async def view(self, device_id: str) -> DeviceView | None:
        try:
            device = self._devices.get(device_id)
        except UnknownName:
            return None
        links = [self._links.link(link_id) for link_id in device.link_ids]
        told = self._told.setdefault(device, _Told())
        await _ask(device, told)
        is_online = _is_online(device)
        for values in (link.telemetry for link in links if link.telemetry is not None):
            told.keys |= {key for key in values.__struct_fields__ if getattr(values, key) is not None}
        wanted = await self._apps.change_log.desired(device_id)
        return DeviceView(
            device_id=device_id,
            name=device.name,
            board=device.board.title,
            chip=device.board.chip,
            is_online=is_online,
            firmware=_firmware(links, await self._latest(device)),
            pins=await _pins(device, wanted) if device.board.pins else (),
            programs=await self._programs(device, wanted, is_online=is_online),
            sensors=told.keys,
            readings=await _read_sensors(device, told.readings),
        )

    async def _programs(
        self, device: Device, wanted: Sequence[DesiredApp], *, is_online: bool
    ) -> tuple[MqttProgram, ...]:
        """The programs of this host on it; where it is away or does not answer, as the host wants them."""
        stopped = await self._apps.change_log.desired(device.device_id, stopped=True)
        if is_online and (wanted or stopped):
            with suppress(MicroclawError, TimeoutError):  # as the host wants them, then
                async with asyncio.timeout(2 * ASK_S):
                    listed = await self._apps.catalogue.list_apps(device.device_id)
                return tuple(_program(listing) for listing in listed if not listing.foreign)
        found = [MqttProgram(app.name, True, "accepted") for app in wanted]
        found += [MqttProgram(app.name, False, "accepted") for app in stopped]
        return tuple(sorted(found, key=lambda program: program.name))


def _command_actor(devices: Registry, tools: Toolbox, gate: Gate) -> Callable[[Command], Awaitable[CommandOutcome]]:
    """Carries commands out with the agent's own tools: the same gate, claims, change log and evidence.

    `gate` has no approvals: what needs a person's yes is refused.
    """
    allowed = Toolbox((tool for tool in tools.tools if tool.name in _TOOLS), gate)

    async def act(command: Command) -> CommandOutcome:
        try:
            device = devices.get(command.device)
            name, arguments = _call(device, command)
        except MicroclawError as exc:
            return CommandOutcome("refused", exc.message, exc.next_step)
        context = ToolContext(MQTT.person_id, lambda _step: None, device.name, channel="mqtt", chat_id="mqtt")
        with change_origin(ChangeOrigin(f"mqtt-{secrets.token_hex(8)}", MQTT.person_id)):
            call = ToolCall("", name, json.dumps({"device": device.name, **arguments}))
            result = await allowed.call(name, call.arguments, context)
        action = action_of(call, allowed.effect_of(name), result)
        return CommandOutcome(action.outcome, action.reason, result.next_step, result.evidence)

    return act


def named_pins(board: BoardProfile, labels: Collection[str]) -> Mapping[str, tuple[int, int]]:
    """GPIO and active level of each pin with a name: the board's LED, and labels such as `pin-5=lamp`."""
    found: dict[str, tuple[int, int]] = {}
    if board.led is not None and board.led.kind == "simple":
        found[LED] = (board.led.pin, board.led.active_level)
    for name, pin in labelled_pins(board, labels).items():
        found.setdefault(name, (pin, 1))
    return found


def _call(device: Device, command: Command) -> tuple[str, dict[str, Any]]:
    """The tool's call that the command is. Raises UnknownName for a pin that has no such name."""
    name = command.name
    is_on = command.switch == "on"
    match command.target:
        case "pin":
            named = named_pins(device.board, device.labels)
            if name in named:
                gpio, active = named[name]
            elif name.isascii() and name.isdecimal() and len(name) <= 3:
                gpio = int(name)
                active = 1
            else:
                raise UnknownName(
                    f"{device.name} has no pin named {name[:40]!r}",
                    next_step=f"pins with a name: {', '.join(named) or 'none'}; or a GPIO's number",
                )
            return "gpio-set", {"pin": gpio, "level": active if is_on else 1 - active}
        case "program":
            return "switch-program", {"appName": name, "switch": "start" if is_on else "stop"}
        case "undo":
            return "undo", {}


def _is_online(device: Device) -> bool:
    own = [transport for transport in device.transports if transport.connects_itself]
    return any(transport.online for transport in own) or (len(own) < len(device.transports) and bool(device.reachable))


async def _ask(device: Device, told: _Told) -> None:
    """A device that does not connect by itself is there when it answers: nobody else may have asked it."""
    now_s = time.monotonic()
    if any(transport.connects_itself for transport in device.transports):
        return
    if now_s - told.asked_s < ASK_EVERY_S:
        return
    told.asked_s = now_s
    calls: tuple[Call[Any], ...] = (AppList(), DeviceInfo())
    call = next((call for call in calls if device.supports(call.method)), None)
    if call is not None:
        with suppress(MicroclawError):  # it is told as offline; `device check` says why
            await device.call(call, ASK_S, wait=False)


async def _read_sensors(
    device: Device, found: dict[str, Mapping[str, float | None]]
) -> Mapping[str, Mapping[str, float | None]]:
    """The sensors of its profile that have answered, where reading puts no program of ours onto the board."""
    is_read = _is_online(device) and device.supports(I2cRead.method) and sees_pins(device)
    for sensor in device.board.i2c.sensors if device.board.i2c is not None and is_read else ():
        try:
            found[sensor] = dict((await device.call(I2cRead(sensor), ASK_S, wait=False)).values)
        except MicroclawError:  # not wired, or not any more
            if sensor in found:
                found[sensor] = dict.fromkeys(found[sensor])
    return dict(found)


def _firmware(links: Sequence[DeviceLink], latest: str | None) -> FirmwareVersions | None:
    """The version that the device reported, and the highest version that is published for it."""
    for link in links:
        if link.presence is not None and link.presence.firmware:
            title, _, installed = link.presence.firmware.rpartition(" ")
            return FirmwareVersions(title or "firmware", installed, latest)
    return None


async def _pins(device: Device, wanted: Sequence[DesiredApp]) -> tuple[MqttPin, ...]:
    drivers = {pin: app.name for app in wanted for pin in app.version.pins}
    found: list[MqttPin] = []
    for name, (gpio, active) in named_pins(device.board, device.labels).items():
        is_on: bool | None = None  # where nobody can tell, or reading would change something
        if _is_online(device) and device.supports(GpioGet.method) and sees_pins(device):
            with suppress(MicroclawError):  # its own page says why it does not answer; here it is unknown
                is_on = (await device.call(GpioGet(gpio), ASK_S, wait=False)).level == active
        found.append(MqttPin(name, gpio, is_on, drivers.get(gpio)))
    return tuple(found)


def _program(listing: AppListing) -> MqttProgram:
    condition = listing.condition
    if condition in _WANTED:
        return MqttProgram(listing.name, condition == "unreachable", "accepted", condition)
    return MqttProgram(listing.name, condition in _RUNS, "reported", condition)
