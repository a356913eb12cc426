"""The host's devices as MQTT publishes them: it asks the registry, the links and the boards. It publishes nothing."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import suppress
from typing import Any, Final
from weakref import WeakKeyDictionary

from msgspec import Struct, field

from microclaw.devices.link.device_link import DeviceLink
from microclaw.devices.link.links import LinkRegistry
from microclaw.devices.registry.calls import AppList, Call, DeviceInfo, GpioGet, I2cRead
from microclaw.devices.registry.device import Device
from microclaw.devices.registry.registry import Registry
from microclaw.errors import MicroclawError, UnknownName
from microclaw.hardware.parts.named_parts import SwitchedPin, switched_pins
from microclaw.hardware.parts.readable import readable_sensors
from microclaw.interfaces.mqtt.device_view import DeviceView, FirmwareVersions, MqttPin, MqttProgram
from microclaw.programs.changes.catalogue import AppListing
from microclaw.programs.changes.change_log import DesiredApp
from microclaw.programs.changes.direct_io import sees_pins
from microclaw.programs.changes.services import AppServices

LED: Final = "led"
ASK_S: Final = 3.0
ASK_EVERY_S: Final = 60.0
# A program also runs between two of its runs; stock firmware reports only that it lists a program.
_RUNS: Final = ("running", "waiting", "listed")
# Conditions that the board did not report.
_WANTED: Final = ("unreachable", "deferred", "stopped")


class LastReport(Struct):
    """The last report of a device.

    `asked_s` is monotonic; `keys` are of its telemetry since the host started; `readings` are its sensors' values.
    """

    asked_s: float = float("-inf")
    keys: frozenset[str] = frozenset()
    readings: dict[str, Mapping[str, float | None]] = field(default_factory=dict)


class HostDevices:
    """The registry's devices as they are now; of a device that does not answer within ASK_S, the last known state.

    `newest_for` returns the newest firmware that is published for a device.
    """

    def __init__(
        self,
        registry: Registry,
        links: LinkRegistry,
        apps: AppServices,
        newest_for: Callable[[Device], Awaitable[str | None]],
    ) -> None:
        self._registry = registry
        self._links = links
        self._apps = apps
        self._newest_for = newest_for
        self._reports: WeakKeyDictionary[Device, LastReport] = WeakKeyDictionary()

    def ids(self) -> Collection[str]:
        return [device.device_id for device in self._registry.list()]

    def id_of(self, name: str) -> str | None:
        for device in self._registry.list():
            if device.name == name:
                return device.device_id
        return None

    async def view(self, device_id: str) -> DeviceView | None:
        try:
            device = self._registry.get(device_id)
        except UnknownName:
            return None
        links = [self._links.link(link_id) for link_id in device.link_ids]
        report = self._reports.setdefault(device, LastReport())
        await _ask(device, report)
        is_online = _is_online(device)
        report.keys |= _telemetry_keys(links)
        wanted = await self._apps.change_log.desired(device_id)
        return DeviceView(
            device_id=device_id,
            name=device.name,
            board=device.board.title,
            chip=device.board.chip,
            is_online=is_online,
            firmware=_firmware(links, await self._newest_for(device)),
            pins=await _pins(device, wanted),
            programs=await self._programs(device, wanted, is_online=is_online),
            sensors=report.keys,
            readings=await _read_sensors(device, report.readings),
        )

    async def _programs(
        self, device: Device, wanted: Sequence[DesiredApp], *, is_online: bool
    ) -> tuple[MqttProgram, ...]:
        """Return this host's programs on a device; as the host wants them if the device does not answer."""
        stopped = await self._apps.change_log.desired(device.device_id, stopped=True)
        if is_online and (wanted or stopped):
            with suppress(MicroclawError, TimeoutError):
                async with asyncio.timeout(2 * ASK_S):
                    listings = await self._apps.catalogue.list_apps(device.device_id)
                return tuple(_program(listing) for listing in listings if not listing.foreign)
        programs = []
        for app in wanted:
            programs.append(MqttProgram(app.name, runs=True, evidence="accepted"))
        for app in stopped:
            programs.append(MqttProgram(app.name, runs=False, evidence="accepted"))
        return tuple(sorted(programs, key=lambda program: program.name))


def named_pins(device: Device) -> Mapping[str, SwitchedPin]:
    """Return each pin with a name that switches something: the board's LED, and those of wired parts by their ids."""
    pins: dict[str, SwitchedPin] = {}
    led = device.board.led
    if led is not None and led.kind == "simple":
        pins[LED] = SwitchedPin(LED, led.pin, led.active_level)
    for pin in switched_pins(device.wiring):
        pins.setdefault(pin.part_id, pin)
    return pins


def _is_online(device: Device) -> bool:
    own = [transport for transport in device.transports if transport.connects_itself]
    if any(transport.online for transport in own):
        return True
    has_others = len(own) < len(device.transports)
    return has_others and bool(device.reachable)


async def _ask(device: Device, report: LastReport) -> None:
    """Ask a device that does not connect by itself, once in ASK_EVERY_S: it is online if it answers."""
    if any(transport.connects_itself for transport in device.transports):
        return
    now_s = time.monotonic()
    if now_s - report.asked_s < ASK_EVERY_S:
        return
    report.asked_s = now_s
    call: Call[Any] = AppList()
    if not device.supports(call.method):
        call = DeviceInfo()
    # The device is published as offline; `device check` gives the reason.
    with suppress(MicroclawError):
        await device.call(call, ASK_S, wait=False)


def _telemetry_keys(links: Sequence[DeviceLink]) -> frozenset[str]:
    """Return the keys of the last telemetry that have a value."""
    keys: set[str] = set()
    for link in links:
        if link.telemetry is not None:
            values = link.telemetry
            keys |= {key for key in values.__struct_fields__ if getattr(values, key) is not None}
    return frozenset(keys)


async def _read_sensors(
    device: Device, readings: dict[str, Mapping[str, float | None]]
) -> Mapping[str, Mapping[str, float | None]]:
    """Read the wired sensors into `readings`, if that puts no program of ours onto the board."""
    is_readable = _is_online(device) and device.supports(I2cRead.method) and sees_pins(device)
    if is_readable:
        named = set[str]()
        for sensor, part in readable_sensors(device.wiring, device.board).items():
            # The first part of a kind has the topic of its kind, each further one that of its id.
            name = part.part
            if name in named:
                name = part.id
            named.add(name)
            try:
                reading = await device.call(I2cRead(sensor), ASK_S, wait=False)
                readings[name] = dict(reading.values)
            except MicroclawError:
                # It is not wired, or no longer.
                if name in readings:
                    readings[name] = dict.fromkeys(readings[name])
    return dict(readings)


def _firmware(links: Sequence[DeviceLink], latest: str | None) -> FirmwareVersions | None:
    """Return the version that the device reported, and the highest version that is published for it."""
    for link in links:
        if link.presence is not None and link.presence.firmware:
            title, _, installed = link.presence.firmware.rpartition(" ")
            return FirmwareVersions(title or "firmware", installed, latest)
    return None


async def _pins(device: Device, wanted: Sequence[DesiredApp]) -> tuple[MqttPin, ...]:
    """Return the pins with a name; `is_on` is unknown if reading it would change something."""
    if not device.board.pins:
        return ()
    drivers: dict[int, str] = {}
    for app in wanted:
        drivers |= dict.fromkeys(app.version.pins, app.name)
    is_readable = _is_online(device) and device.supports(GpioGet.method) and sees_pins(device)
    pins = []
    for name, pin in named_pins(device).items():
        is_on: bool | None = None
        if is_readable:
            # The device's own page says why it does not answer.
            with suppress(MicroclawError):
                state = await device.call(GpioGet(pin.gpio), ASK_S, wait=False)
                is_on = state.level == pin.active_level
        pins.append(MqttPin(name, pin.gpio, is_on, drivers.get(pin.gpio), pin.label))
    return tuple(pins)


def _program(listing: AppListing) -> MqttProgram:
    condition = listing.condition
    if condition in _WANTED:
        is_running = condition == "unreachable"
        return MqttProgram(listing.name, is_running, "accepted", condition)
    return MqttProgram(listing.name, condition in _RUNS, "reported", condition)
