"""Devices and their registry on a real store; the transports are doubles at their Protocol."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar, cast

import pytest

from microclaw.audit.event import AuditEvent, Record, line_of, no_record
from microclaw.boards import BoardProfile, load_board, parse_firmware
from microclaw.devices.call_text import what_offers
from microclaw.devices.calls import (
    AdcRead,
    AppInstall,
    AppList,
    Call,
    DeviceFacts,
    DeviceStatus,
    GpioGet,
    GpioSet,
    LogLine,
    LogPage,
    LogsRead,
    PinLevel,
    PwmSet,
)
from microclaw.devices.device import Device
from microclaw.devices.registry import Registry
from microclaw.devices.transport import Transport
from microclaw.errors import (
    CallRejected,
    ConfigError,
    DeviceLied,
    DeviceTimeout,
    DeviceUnreachable,
    MicroclawError,
    NotSupported,
    PinRefused,
    UnknownName,
)
from microclaw.events import EvidenceKind, ProgramKind
from microclaw.store.database import Database
from microclaw.store.devices import DeviceRow, DeviceTable

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
        self.hangs = False
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
            if self.hangs:
                await self._hang(timeout_s)
            if self.fails is not None:
                raise self.fails
            if isinstance(call, DeviceStatus):
                return cast("R", DeviceFacts(self.facts))
            if isinstance(call, GpioGet | GpioSet):
                return cast("R", PinLevel(call.pin + self.pin_shift, 1))
            return cast("R", LogPage(self.log, 0, 0) if isinstance(call, LogsRead) else ())
        finally:
            self.running -= 1

    async def _hang(self, timeout_s: float) -> None:
        try:
            async with asyncio.timeout(timeout_s):
                await asyncio.Event().wait()
        except TimeoutError as exc:
            raise DeviceTimeout(f"{self.endpoint} was silent for {timeout_s:.1f} s") from exc

    async def close(self) -> None:
        self.closed = True


def open_fake(endpoint: str, board: BoardProfile) -> FakeTransport:
    if ":" not in endpoint:
        raise ConfigError(f"{endpoint} is no address")
    return FakeTransport(endpoint)


def build_registry(table: DeviceTable, record: Record = no_record) -> Registry:
    ids = itertools.count(1)
    return Registry(
        store=table,
        open_transport=open_fake,
        mint_id=lambda: f"dev{next(ids)}",
        now_ms=lambda: 1_700_000_000_000,
        record=record,
    )


async def test_the_security_log_has_the_profile_of_a_device_that_is_added(tmp_path: Path) -> None:
    told: list[AuditEvent] = []
    async with (
        Database.open(tmp_path / "microclaw.db") as database,
        build_registry(DeviceTable(database), told.append) as registry,
    ):
        await registry.add("lamp", "esp32-s3-devkitc-1-v1.1", ())
    assert json.loads(line_of(told[0], 0))["text"] == "esp32-s3-devkitc-1-v1.1"


@asynccontextmanager
async def open_registry(path: Path) -> AsyncIterator[Registry]:
    async with (
        Database.open(path / "microclaw.db") as database,
        build_registry(DeviceTable(database)) as registry,
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


async def test_capability_picks_the_transport_that_proves_most(device: Device) -> None:
    await device.call(GpioGet(4))
    await device.call(GpioSet(4, 1))
    await device.call(AppList())
    assert [call.method for call in transport_of(device, "virtual").calls] == ["gpio.get"]
    assert [call.method for call in transport_of(device, "serial").calls] == ["gpio.set"]
    assert [call.method for call in transport_of(device, "wasmachine").calls] == ["apps.list"]
    assert device.evidence_of("gpio.get") == "counted"
    assert device.evidence_of("gpio.set") == "reported"
    assert device.evidence_of("i2c.scan") is None


@pytest.mark.parametrize("end", ["\n", "\r", "\x0b", "\x0c", "\x1c", "\x85", "\u2028", "\u2029"])
async def test_a_line_of_a_device_is_one_line(device: Device, end: str) -> None:
    forged = f"hot{end}     1.000  board        all is well"
    transport_of(device, "virtual").log = (LogLine(1.0, f"a{end}b", forged), LogLine(2.0, None, "plain\n"))
    page = await device.call(LogsRead())
    assert [len(f"{line.app}{line.text}".splitlines()) for line in page.lines] == [1, 1]
    assert page.lines[0].text.startswith("hot\\")
    assert page.lines[1] == LogLine(2.0, None, "plain")


async def test_unreachable_transport_is_replaced_by_the_next_for_what_may_be_repeated(device: Device) -> None:
    transport_of(device, "virtual").fails = DeviceUnreachable("socket gone")
    assert (await device.call(GpioGet(4))).level == 1
    assert len(transport_of(device, "serial").calls) == 1


async def test_facts_are_the_words_of_every_transport_and_the_better_proof_counts(device: Device) -> None:
    transport_of(device, "virtual").facts = {"uptime_s": 5}
    transport_of(device, "serial").facts = {"uptime_s": 7, "free_heap_kb": 200}
    assert (await device.call(DeviceStatus())).values == {"uptime_s": 5, "free_heap_kb": 200}


async def test_facts_of_a_transport_that_fails_are_left_out_unless_all_do(device: Device) -> None:
    transport_of(device, "serial").fails = DeviceUnreachable("unplugged")
    transport_of(device, "virtual").facts = {"uptime_s": 5}
    assert (await device.call(DeviceStatus())).values == {"uptime_s": 5}
    transport_of(device, "virtual").fails = DeviceUnreachable("socket gone")
    with pytest.raises(DeviceUnreachable):
        await device.call(DeviceStatus())


async def test_call_with_a_lasting_effect_is_never_tried_twice(registry: Registry) -> None:
    device = await registry.add("two", "virtual", ["wasmachine://a:1", "wasmachine://b:1"])
    transport_of(device, "wasmachine://a").fails = DeviceUnreachable("gone")
    with pytest.raises(DeviceUnreachable):
        await device.call(AppInstall("x", b""))
    assert transport_of(device, "wasmachine://b").calls == []


@pytest.mark.parametrize("call", [GpioSet(27, 1), GpioGet(35), PwmSet(19, 10), AdcRead(12), GpioSet(24, 0)])
async def test_forbidden_pin_never_reaches_a_transport(call: Call[Any], device: Device) -> None:
    with pytest.raises(PinRefused) as caught:
        await device.call(call)
    assert caught.value.next_step
    assert all(transport_of(device, kind).calls == [] for kind in ("serial", "virtual", "wasmachine"))


@pytest.mark.parametrize("call", [GpioSet(4, 2), GpioSet(4, -1), PwmSet(5, 256), PwmSet(5, 10, 0), PwmSet(5, 1, 10**9)])
async def test_value_out_of_range_is_refused_with_the_range(call: Call[Any], device: Device) -> None:
    with pytest.raises(CallRejected) as caught:
        await device.call(call)
    assert caught.value.next_step


async def test_missing_capability_names_the_transports_and_what_would_offer_it(registry: Registry) -> None:
    device = await registry.add("far", "virtual", ["wasmachine://h:1"])
    with pytest.raises(NotSupported) as caught:
        await device.call(GpioSet(4, 1))
    assert "serial" in str(caught.value.next_step)


async def test_calls_of_one_device_run_one_at_a_time_in_order(device: Device) -> None:
    await asyncio.gather(*(device.call(GpioSet(pin, 1)) for pin in (4, 5, 6, 7)))
    assert [cast("GpioSet", call).pin for call in transport_of(device, "serial").calls] == [4, 5, 6, 7]


async def test_device_that_hangs_does_not_delay_another(registry: Registry, device: Device) -> None:
    other = await registry.add("other", "virtual", ["serial:/dev/y"])
    transport_of(device, "serial").hangs = True
    hanging = asyncio.create_task(device.call(GpioSet(4, 1), 0.2), name="hanging")
    assert (await other.call(GpioSet(4, 1), 5.0)).level == 1
    with pytest.raises(DeviceTimeout):
        await hanging


async def test_call_that_waited_past_its_limit_is_never_sent(device: Device) -> None:
    serial = transport_of(device, "serial")
    serial.hangs = True
    first = asyncio.create_task(device.call(GpioSet(4, 1), 0.2), name="first")
    await asyncio.sleep(0)
    with pytest.raises(DeviceTimeout) as caught:
        await device.call(GpioSet(5, 1), 0.1)
    assert caught.value.next_step
    with pytest.raises(DeviceTimeout):
        await first
    assert [cast("GpioSet", call).pin for call in serial.calls] == [4]


@pytest.mark.parametrize(
    ("method", "needs"),
    [
        ("edges.read", "virtual board"),
        ("pwm.read", "virtual board"),
        ("apps.states", "virtual board"),
        ("apps.list", "--wasmachine HOST"),
        ("i2c.scan", "--serial"),
        ("device.restart", "microclaw's own link"),
        ("wifi.set", "own firmware and a radio"),
        ("display.show", "device show"),
    ],
)
def test_each_method_says_what_would_offer_it(method: str, needs: str) -> None:
    assert needs in what_offers(method, "bench")


async def test_labels_are_replaced_and_checked(registry: Registry, device: Device) -> None:
    assert (await registry.label("bench", ["kitchen", "kitchen", "oven"])).labels == ("kitchen", "oven")
    with pytest.raises(ConfigError):
        await registry.label("bench", ["Two Words"])
    with pytest.raises(ConfigError):
        await registry.label("bench", [f"l{n}" for n in range(17)])
    assert device.labels == ("kitchen", "oven")


async def test_transport_is_added_once(registry: Registry, device: Device) -> None:
    await registry.add_transport("bench", "serial:/dev/y")
    await registry.add_transport("bench", "serial:/dev/y")
    assert device.endpoints.count("serial:/dev/y") == 1


async def test_row_that_cannot_be_opened_stops_the_start_and_leaves_nothing_open(tmp_path: Path) -> None:
    async with Database.open(tmp_path / "microclaw.db") as database:
        table = DeviceTable(database)
        await table.put(DeviceRow("dev1", "bench", "virtual", transports=("serial:/dev/x",)))
        await table.put(DeviceRow("dev2", "old", "toaster"))
        made = FakeTransport("serial:/dev/x")
        registry = Registry(store=table, open_transport=lambda *_: made)
        with pytest.raises(UnknownName):
            async with registry:
                pytest.fail("it started")
        assert registry.list() == ()
        assert made.closed


async def test_devices_survive_the_host(tmp_path: Path) -> None:
    async with open_registry(tmp_path) as registry:
        await registry.add("bench", "esp32-s3-devkitc-1-v1.1", ["serial:/dev/x", "wasmachine://h:1"], ["kitchen"])
    async with open_registry(tmp_path) as registry:
        (device,) = registry.list()
        assert (device.name, device.device_id, device.labels) == ("bench", "dev1", ("kitchen",))
        assert device.board.board_id == "esp32-s3-devkitc-1-v1.1"
        assert device.endpoints == ("serial:/dev/x", "wasmachine://h:1")


async def test_description_of_the_firmware_survives_the_host_and_reaches_board_and_transports(tmp_path: Path) -> None:
    described = parse_firmware(["nodes=-i2c", "max_apps=2"])
    async with open_registry(tmp_path) as registry:
        added = await registry.add("bench", "virtual", ["serial:/dev/x"], firmware=described)
        assert added.board.firmware.device_nodes == {"gpio", "ledc"}
    async with open_registry(tmp_path) as registry:
        (device,) = registry.list()
        assert device.board.firmware.described == ("nodes=-i2c", "max_apps=2")
        changed = await registry.describe_firmware("bench", parse_firmware(["nodes=-ledc"]))
        assert changed.board.firmware.device_nodes == {"gpio", "i2c"}
        assert changed.board.firmware.max_apps == 3
        (await registry.describe_firmware("bench", parse_firmware(["stock"])))
        assert device.board == load_board("virtual")


async def test_transports_get_the_described_board(registry: Registry, device: Device) -> None:
    await registry.describe_firmware("bench", parse_firmware(["image=1000"]))
    board = transport_of(device, "wasmachine").board
    assert board is not None
    assert board.firmware.max_module_bytes == 1000


async def test_merged_device_keeps_its_description_or_takes_the_others(tmp_path: Path) -> None:
    async with open_registry(tmp_path) as registry:
        await registry.add("a", "virtual", ["serial:/dev/a"])
        await registry.add("b", "virtual", ["serial:/dev/b"], firmware=parse_firmware(["nodes=-i2c"]))
        await registry.add("c", "virtual", ["serial:/dev/c"], firmware=parse_firmware(["nodes=-ledc"]))
        assert (await registry.merge("a", "b")).board.firmware.described == ("nodes=-i2c",)
        assert (await registry.merge("a", "c")).board.firmware.described == ("nodes=-i2c",)


async def test_device_is_found_by_name_and_by_id(registry: Registry, device: Device) -> None:
    assert registry.get("bench") is device
    assert registry.get(device.device_id) is device
    assert registry.owner_of("serial:/dev/x") is device


async def test_unknown_device_names_the_near_ones(registry: Registry, device: Device) -> None:
    with pytest.raises(UnknownName):
        registry.get("bnech")


async def test_unknown_device_on_an_empty_host_says_how_to_add_one(registry: Registry) -> None:
    with pytest.raises(UnknownName):
        registry.get("bench")


@pytest.mark.parametrize("name", ["", "Bench", "a b", "a_b", "../x", "x" * 33, "ü"])
async def test_name_of_another_form_is_refused_with_a_usable_one(name: str, registry: Registry) -> None:
    with pytest.raises(ConfigError) as caught:
        await registry.add(name, "virtual", ["serial:/dev/x"])
    assert str(caught.value.next_step).startswith("try ")
    assert registry.list() == ()


async def test_names_and_transports_are_unique(registry: Registry, device: Device) -> None:
    with pytest.raises(ConfigError):
        await registry.add("bench", "virtual", ["serial:/dev/z"])
    with pytest.raises(ConfigError) as caught:
        await registry.add("copy", "virtual", ["serial:/dev/x"])
    assert "merge" in str(caught.value.next_step)
    assert len(registry.list()) == 1


async def test_renamed_device_keeps_its_id_and_answers_to_the_new_name(tmp_path: Path) -> None:
    async with open_registry(tmp_path) as registry:
        device = await registry.add("bench", "virtual", ["serial:/dev/x"])
        await registry.rename("bench", "desk")
        assert registry.get("desk") is device
        with pytest.raises(UnknownName):
            registry.get("bench")
    async with open_registry(tmp_path) as registry:
        assert registry.get("desk").device_id == "dev1"


async def test_merged_devices_are_one_with_all_transports(tmp_path: Path) -> None:
    async with open_registry(tmp_path) as registry:
        await registry.add("net", "virtual", ["wasmachine://h:1"], ["a"])
        await registry.add("usb", "virtual", ["serial:/dev/x"], ["b"])
        merged = await registry.merge("net", "usb")
        assert merged.endpoints == ("wasmachine://h:1", "serial:/dev/x")
        await merged.call(GpioSet(4, 1))
        with pytest.raises(UnknownName):
            registry.get("usb")
    async with open_registry(tmp_path) as registry:
        (device,) = registry.list()
        assert (device.endpoints, device.labels) == (("wasmachine://h:1", "serial:/dev/x"), ("a", "b"))


async def test_boards_of_two_kinds_cannot_be_merged(registry: Registry, device: Device) -> None:
    await registry.add("kit", "esp32-s3-devkitc-1-v1.0", ["serial:/dev/kit"])
    with pytest.raises(ConfigError):
        await registry.merge("bench", "kit")
    with pytest.raises(ConfigError):
        await registry.merge("bench", "bench")


async def test_transports_are_replaced_and_the_dropped_ones_closed(registry: Registry, device: Device) -> None:
    serial, link = transport_of(device, "serial"), transport_of(device, "wasmachine")
    await registry.set_transports("bench", ["serial:/dev/x", "virtual:/new"])
    assert device.endpoints == ("serial:/dev/x", "virtual:/new")
    assert transport_of(device, "serial") is serial
    assert not serial.closed
    assert link.closed


async def test_removed_device_is_gone_and_closed(registry: Registry, device: Device) -> None:
    serial = transport_of(device, "serial")
    await registry.remove("bench")
    assert registry.list() == ()
    assert serial.closed
    with pytest.raises(DeviceUnreachable):
        await device.call(GpioSet(4, 1))
    await registry.add("bench", "virtual", ["serial:/dev/x"])


async def test_unknown_board_or_transport_adds_nothing(registry: Registry) -> None:
    with pytest.raises(UnknownName):
        await registry.add("bench", "toaster", ["serial:/dev/x"])
    with pytest.raises(ConfigError):
        await registry.add("bench", "virtual", ["nonsense"])
    assert registry.list() == ()


async def test_answer_about_another_pin_is_no_answer_and_readings_are_never_counted(device: Device) -> None:
    transport_of(device, "serial").pin_shift = 1
    with pytest.raises(DeviceLied):
        await device.call(GpioSet(4, 1))
    assert device.evidence_of("device.status") == "reported"
    assert device.evidence_of("edges.read") == "counted"


async def test_a_device_that_takes_only_python_has_our_firmware(device: Device) -> None:
    assert device.board == load_board("virtual")
    transport_of(device, "wasmachine").kinds = ("py",)
    assert device.board.firmware.max_apps == 8
    transport_of(device, "wasmachine").kinds = ("wasm", "py")
    assert device.board == load_board("virtual")
