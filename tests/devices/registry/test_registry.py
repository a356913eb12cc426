"""Devices and their registry on a real store; the transports are doubles at their Protocol."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar, cast

import pytest
from tests.stores import new_store

from microclaw.devices.registry.calls import (
    AdcRead,
    AppInstall,
    AppList,
    Call,
    ConsoleLines,
    DeviceFacts,
    DeviceStatusRead,
    GpioGet,
    GpioSet,
    I2cScan,
    LogLine,
    LogsRead,
    PinLevel,
    PwmSet,
)
from microclaw.devices.registry.device import Device
from microclaw.devices.registry.registry import Registry
from microclaw.devices.registry.transport import Transport
from microclaw.errors import (
    CallRejected,
    ConfigError,
    DeviceLied,
    DeviceUnreachable,
    MicroclawError,
    NotSupported,
    PinRefused,
    UnknownName,
)
from microclaw.events import EvidenceKind, ProgramKind
from microclaw.hardware.boards.firmware import parse_firmware
from microclaw.hardware.boards.profile import BoardProfile
from microclaw.host.store.database import Database
from microclaw.host.store.devices import DeviceRow, DeviceTable

R = TypeVar("R")


class FakeTransport(Transport):
    """Answers every gpio call with its own level, or raises what it is told to."""

    capabilities = frozenset[str]()
    kinds: tuple[ProgramKind, ...] = ("wasm",)
    evidence: EvidenceKind = "accepted"

    def __init__(self, endpoint: str) -> None:
        kind = endpoint.partition(":")[0]
        offers = {
            "virtual": {"gpio.get", "edges.read", "device.status", "logs.read"},
            "serial": {"gpio.get", "gpio.set", "pwm.set", "adc.read", "device.status"},
            "wasmachine": {"apps.list", "apps.install"},
        }
        proves: dict[str, EvidenceKind] = {"virtual": "counted", "serial": "reported", "wasmachine": "accepted"}
        self.endpoint = endpoint
        self.capabilities = frozenset(offers[kind])
        self.evidence = proves[kind]
        self.facts: dict[str, int] = {}
        self.log: tuple[LogLine, ...] = ()
        self.fails: MicroclawError | None = None
        self.pin_shift = 0
        self.calls: list[Call[Any]] = []
        self.running = 0
        self.closed = False
        self.board: BoardProfile | None = None

    def describe(self, board: BoardProfile) -> None:
        self.board = board

    async def call(self, call: Call[R], timeout_s: float) -> R:
        self.calls.append(call)
        self.running += 1
        assert self.running == 1, "two calls at once on one device"
        try:
            await asyncio.sleep(0)
            if self.fails is not None:
                raise self.fails
            if isinstance(call, DeviceStatusRead):
                return cast("R", DeviceFacts(self.facts))
            if isinstance(call, GpioGet | GpioSet):
                return cast("R", PinLevel(call.pin + self.pin_shift, 1))
            return cast("R", ConsoleLines(self.log, 0, 0) if isinstance(call, LogsRead) else ())
        finally:
            self.running -= 1

    async def close(self) -> None:
        self.closed = True


def open_fake(endpoint: str, board: BoardProfile) -> FakeTransport:
    if ":" not in endpoint:
        raise ConfigError(f"{endpoint} is no address")
    return FakeTransport(endpoint)


def new_registry(table: DeviceTable, prefix: str = "dev") -> Registry:
    ids = itertools.count(1)
    return Registry(store=table, open_transport=open_fake, mint_id=lambda: f"{prefix}{next(ids)}", now_ms=lambda: 7)


@asynccontextmanager
async def open_registry(path: Path) -> AsyncIterator[Registry]:
    async with (
        Database.open(new_store(path / "microclaw.db")) as database,
        new_registry(DeviceTable(database)) as registry,
    ):
        yield registry


@pytest.fixture
async def registry(tmp_path: Path) -> AsyncIterator[Registry]:
    async with open_registry(tmp_path) as registry:
        yield registry


@pytest.fixture
async def device(registry: Registry) -> Device:
    return await registry.add("bench", "virtual", ["wasmachine://h:1", "serial:/dev/x", "virtual:/s"])


def transport_of(device: Device, kind: str) -> FakeTransport:
    transport = next(transport for transport in device.transports if transport.endpoint.startswith(kind))
    assert isinstance(transport, FakeTransport)
    return transport


async def test_capability_picks_the_transport_that_proves_most_and_a_lie_is_no_answer(device: Device) -> None:
    serial = transport_of(device, "serial")
    await device.call(GpioGet(4))
    await asyncio.gather(*(device.call(GpioSet(pin, 1)) for pin in (4, 5, 6)))
    await device.call(AppList())
    assert [call.method for call in transport_of(device, "virtual").calls] == ["gpio.get"]
    assert serial.calls == [GpioSet(4, 1), GpioSet(5, 1), GpioSet(6, 1)], "one after the other"
    assert [call.method for call in transport_of(device, "wasmachine").calls] == ["apps.list"]
    evidence = {"gpio.get": "counted", "gpio.set": "reported", "edges.read": "counted", "device.status": "reported"}
    assert {method: device.evidence_of(method) for method in (*evidence, "i2c.scan")} == {**evidence, "i2c.scan": None}
    serial.pin_shift = 1
    with pytest.raises(DeviceLied):
        await device.call(GpioSet(4, 1))


async def test_a_line_of_a_device_is_one_line(device: Device) -> None:
    for end in ("\n", "\r", "\x0b", "\x0c", "\x1c", "\x85", "\u2028", "\u2029"):
        forged = f"hot{end}     1.000  board        all is well"
        transport_of(device, "virtual").log = (LogLine(1.0, f"a{end}b", forged), LogLine(2.0, None, "plain\n"))
        page = await device.call(LogsRead())
        assert [len(f"{line.app}{line.text}".splitlines()) for line in page.lines] == [1, 1]
        assert page.lines[0].text.startswith("hot\\")
        assert page.lines[1] == LogLine(2.0, None, "plain")


async def test_the_next_transport_stands_in_for_what_may_be_repeated_and_for_nothing_else(registry: Registry) -> None:
    device = await registry.add("two", "virtual", ["virtual:/s", "serial:/x", "wasmachine://a:1", "wasmachine://b:1"])
    for kind in ("virtual", "wasmachine://a"):
        transport_of(device, kind).fails = DeviceUnreachable("gone")
    assert (await device.call(GpioGet(4))).level == 1
    assert len(transport_of(device, "serial").calls) == 1
    with pytest.raises(DeviceUnreachable):
        await device.call(AppInstall("x", b""))
    assert transport_of(device, "wasmachine://b").calls == []


async def test_facts_are_the_words_of_every_transport_that_answers_and_the_better_proof_counts(device: Device) -> None:
    transport_of(device, "virtual").facts = {"uptime_s": 5}
    transport_of(device, "serial").facts = {"uptime_s": 7, "free_heap_kb": 200}
    assert (await device.call(DeviceStatusRead())).values == {"uptime_s": 5, "free_heap_kb": 200}
    transport_of(device, "serial").fails = DeviceUnreachable("unplugged")
    assert (await device.call(DeviceStatusRead())).values == {"uptime_s": 5}
    transport_of(device, "virtual").fails = DeviceUnreachable("socket gone")
    with pytest.raises(DeviceUnreachable):
        await device.call(DeviceStatusRead())


async def test_what_the_board_cannot_do_never_reaches_a_transport(device: Device) -> None:
    forbidden: list[Call[Any]] = [GpioSet(27, 1), GpioGet(35), PwmSet(19, 10), AdcRead(12), GpioSet(24, 0)]
    out_of_range: list[Call[Any]] = [GpioSet(4, 2), GpioSet(4, -1), PwmSet(5, 256), PwmSet(5, 1, 10**9)]
    errors: dict[type[MicroclawError], list[Call[Any]]] = {
        PinRefused: forbidden,
        CallRejected: out_of_range,
        NotSupported: [I2cScan()],
    }
    for error, calls in errors.items():
        for call in calls:
            with pytest.raises(error) as caught:
                await device.call(call)
            assert caught.value.next_step
    assert all(transport_of(device, kind).calls == [] for kind in ("serial", "virtual", "wasmachine"))


async def test_row_that_cannot_be_opened_stops_the_start_and_leaves_nothing_open(database: Database) -> None:
    table = DeviceTable(database)
    await table.put(DeviceRow("dev1", "bench", "virtual", transports=("serial:/dev/x",)))
    await table.put(DeviceRow("dev2", "old", "toaster"))
    made = FakeTransport("serial:/dev/x")
    registry = Registry(store=table, open_transport=lambda *_: made)
    with pytest.raises(UnknownName):
        await registry.__aenter__()
    assert (registry.list(), made.closed) == ((), True)


async def test_what_is_entered_renamed_and_merged_survives_the_host(tmp_path: Path) -> None:
    async with open_registry(tmp_path) as registry:
        net = await registry.add("net", "virtual", ["wasmachine://h:1"], ["a"])
        await registry.add("usb", "virtual", ["serial:/dev/x"], ["b"], firmware=parse_firmware(["nodes=-i2c"]))
        await registry.add("c", "virtual", ["serial:/dev/c"], firmware=parse_firmware(["nodes=-ledc"]))
        await registry.add("kit", "esp32-s3-devkitc-1-v1.0", ["serial:/dev/kit"])
        for other in ("kit", "net"):  # a board of another kind, and itself
            with pytest.raises(ConfigError):
                await registry.merge("net", other)
        assert await registry.merge("net", "usb") is net
        assert (await registry.merge("net", "c")).board.firmware.described == ("nodes=-i2c",), "of the first"
        await registry.rename("net", "desk")
        assert (await registry.label("desk", ["kitchen", "kitchen", "oven"])).labels == ("kitchen", "oven")
        for labels in (["Two Words"], [f"l{n}" for n in range(17)]):
            with pytest.raises(ConfigError):
                await registry.label("desk", labels)
        assert (registry.get("desk"), registry.get("dev1"), registry.owner_of("serial:/dev/c")) == (net, net, net)
        for gone in ("net", "usb"):
            with pytest.raises(UnknownName):
                registry.get(gone)
    async with open_registry(tmp_path) as registry:
        desk, kit = registry.list()
        assert (desk.name, desk.device_id, desk.labels) == ("desk", "dev1", ("kitchen", "oven"))
        assert desk.endpoints == ("wasmachine://h:1", "serial:/dev/x", "serial:/dev/c")
        assert desk.board.firmware.described == ("nodes=-i2c",)
        assert kit.board.board_id == "esp32-s3-devkitc-1-v1.0"


async def test_what_cannot_be_a_device_adds_nothing(registry: Registry, device: Device) -> None:
    for name, board, endpoint in (
        *((name, "virtual", "serial:/dev/z") for name in ("", "Bench", "a b", "a_b", "../x", "x" * 33, "ü")),
        ("bench", "virtual", "serial:/dev/z"),  # it is taken
        ("copy", "virtual", "serial:/dev/x"),
        ("other", "toaster", "serial:/dev/z"),
        ("other", "virtual", "nonsense"),
    ):
        with pytest.raises((ConfigError, UnknownName)):
            await registry.add(name, board, [endpoint])
        assert registry.list() == (device,)
    with pytest.raises(UnknownName):
        registry.get("bnech")
    await registry.remove("bench")
    with pytest.raises(UnknownName):
        registry.get("bench")


async def test_transports_are_added_once_replaced_and_the_dropped_ones_closed(
    registry: Registry, device: Device
) -> None:
    serial = transport_of(device, "serial")
    link = transport_of(device, "wasmachine")
    for _ in range(2):
        await registry.add_transport("bench", "serial:/dev/y")
    assert device.endpoints.count("serial:/dev/y") == 1
    await registry.set_transports("bench", ["serial:/dev/x", "virtual:/new"])
    assert device.endpoints == ("serial:/dev/x", "virtual:/new")
    assert transport_of(device, "serial") is serial
    assert (serial.closed, link.closed) == (False, True)
    await registry.remove("bench")
    assert (registry.list(), serial.closed) == ((), True)
    with pytest.raises(DeviceUnreachable):
        await device.call(GpioSet(4, 1))
    await registry.add("bench", "virtual", ["serial:/dev/x"])
