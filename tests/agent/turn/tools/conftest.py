"""The real tools over a device on paper, the real gate; what deploys and undoes is on paper too."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, cast

import pytest

from microclaw.agent.turn.setup import build_toolbox
from microclaw.agent.turn.toolbox import Toolbox
from microclaw.devices.registry.calls import (
    AdcRead,
    AdcReading,
    Call,
    DeviceFacts,
    DeviceInfo,
    DeviceRestart,
    DeviceStatusRead,
    GpioGet,
    GpioSet,
    I2cAddresses,
    I2cRead,
    I2cScan,
    LogLine,
    PinLevel,
    PwmSet,
    PwmState,
    Restart,
    SensorReading,
)
from microclaw.devices.registry.device import Device
from microclaw.devices.registry.device_entry import unknown_device_error, with_wiring
from microclaw.devices.registry.transport import Transport
from microclaw.errors import AppNotFound
from microclaw.events import Evidence, EvidenceKind, ProgramKind, Report, Step
from microclaw.hardware.boards.reader import load_board
from microclaw.hardware.parts.wiring import Wiring
from microclaw.host.auth.gate import Gate
from microclaw.host.operations.tool import ToolContext, ToolResult
from microclaw.host.store.devices import DeviceRow
from microclaw.programs.changes.catalogue import AppListing
from microclaw.programs.changes.change_log import Change, RemoveApp, SetLevel
from microclaw.programs.changes.claims import PinConflict
from microclaw.programs.changes.deployment import ChangeRequest, ChangeResult, Deployment
from microclaw.programs.changes.direct_io import PinChange
from microclaw.programs.changes.reconciler import DeviceCheck
from microclaw.programs.changes.results import RevertedChange, Undone
from microclaw.programs.changes.services import AppServices
from microclaw.programs.changes.undo import UndoChoice
from microclaw.programs.proof.trial import Trial
from microclaw.programs.wasm.wasm_image import MemoryUse, WasmImage
from microclaw.wire.host_api import EvidenceObject


@dataclass
class PaperTransport(Transport):
    endpoint: str
    kinds: tuple[ProgramKind, ...] = ("wasm",)
    evidence: EvidenceKind = "reported"
    values: dict[str, float] = field(default_factory=lambda: {"temperature_c": 22.512345})
    facts: dict[str, Any] = field(default_factory=lambda: {"firmware": "1.2", "free_heap": 1000})
    capabilities: frozenset[str] = frozenset(
        {"gpio.get", "adc.read", "i2c.read", "i2c.scan", "device.info", "device.status"}
    )

    async def call(self, call: Call[Any], timeout_s: float) -> Any:
        match call:
            case GpioGet(pin):
                return PinLevel(pin, 1)
            case AdcRead(pin):
                return AdcReading(pin, 1234, 0.9945)
            case I2cRead(sensor):
                return SensorReading(sensor, self.values)
            case I2cScan():
                return I2cAddresses((0x40, 0x76, 0x23))
            case DeviceRestart():
                return Restart(2.5)
            case DeviceInfo() | DeviceStatusRead():
                return DeviceFacts(self.facts)
        raise AssertionError(call)

    async def close(self) -> None:
        pass


@dataclass
class PaperRegistry:
    devices: list[Device] = field(default_factory=list)

    def list(self) -> Sequence[Device]:
        return self.devices

    def get(self, reference: str) -> Device:
        for device in self.devices:
            if reference in (device.name, device.device_id):
                return device
        raise unknown_device_error(reference, [d.name for d in self.devices])

    async def change_wiring(self, reference: str, change: Callable[[Wiring], Wiring], *, by: str) -> Device:
        device = self.get(reference)
        row = with_wiring(device.row, change(device.wiring))
        device.replace_row(row, device.board, device.transports)
        return device


IMAGE = WasmImage("blink", b"\0asm", "ab" * 32, (), ("on_init",), MemoryUse(65536, 0, 4096), (2,), "zig", False, 20.0)
TRIAL = Trial(
    ok=True,
    ended="running",
    lines=(LogLine(1.0, "blink", "hello"),),
    roles={2: "output", 3: "idle"},
    warnings=("no edge",),
    board_ms=10_000,
    took_ms=100,
)


@dataclass
class PaperApps:
    """Changes, catalogue, direct_io and undo in one, keeping what they were asked."""

    asked: list[object] = field(default_factory=list)
    listed: tuple[AppListing, ...] = ()
    conflicts: dict[int, PinConflict] = field(default_factory=dict)
    cautions: dict[int, str] = field(default_factory=dict)
    held: set[tuple[str, str]] = field(default_factory=set)  # device id and program

    async def deploy(self, request: ChangeRequest, report: Report) -> Deployment:
        self.asked.append(request)
        report(Step("deploy", "on paper"))
        proof = Evidence("counted", "20 edges")
        return Deployment(
            "d-1", request.device, request.name, proof, 7, image=IMAGE, heap_bytes=16384, trial=TRIAL, replaced=False
        )

    async def apply(self, request: ChangeRequest, report: Report) -> ChangeResult:
        if request.act == "install":
            return await self.deploy(request, report)
        device = request.device
        name = request.name
        act = request.act
        if name == "nobody":
            raise AppNotFound("no app 'nobody'", next_step="apps: none")
        off = Evidence("reported", "no longer listed")
        on = Evidence("counted", "2 on pin 2")
        if act == "uninstall":
            self.asked.append(("remove", device, name))
            return ChangeResult("d-1", device, name, off, 8)
        self.asked.append((act, device, name))
        seen = off if act == "stop" else on
        return ChangeResult(
            device_id=device, device_name="virtual-1", name=name, evidence=seen, sha256="ab" * 32, change_id=11
        )

    def status(self) -> tuple[DeviceCheck, ...]:
        return ()

    async def changes(self, _device_id: str, _count: int) -> tuple[Change, ...]:
        return ()

    async def holds(self, device_id: str, name: str) -> bool:
        return (device_id, name) in self.held

    async def drop_draft(self, device_id: str, name: str) -> None:
        assert (device_id, name) not in self.held

    async def list_apps(self, device: str | None = None) -> tuple[AppListing, ...]:
        return self.listed

    async def conflict(self, device: str, call: Call[Any], *, asks: bool = True) -> PinConflict | None:
        """With or without `asks` this double asks no device."""
        return self.conflicts.get(getattr(call, "pin", -1))

    async def caution(self, _device: str, call: Call[Any]) -> str | None:
        return self.cautions.get(getattr(call, "pin", -1))

    async def act(self, device: str, call: GpioSet | PwmSet, *, insist: tuple[str, ...] = ()) -> PinChange:
        if isinstance(call, PwmSet):
            self.asked.append(("pwm", device, call.pin, call.duty, call.frequency_hz))
            state = PwmState(call.pin, call.duty, call.frequency_hz)
            return PinChange(device, state, Evidence("accepted", "accepted only"), 10)
        self.asked.append(("set", device, call.pin, call.level, *insist))
        level = PinLevel(call.pin, call.level)
        evidence = Evidence("counted", "read back")
        return PinChange(device, level, evidence, 9, "strapping pin")

    async def chosen(self, choice: UndoChoice) -> tuple[Change, ...]:
        return (
            Change(3, 0, "d-1", "gpio.set", "set pin 5 high", None, SetLevel(5, 1), SetLevel(5, 0), "done"),
            Change(2, 0, "d-1", "gpio.set", "set pin 4 high", None, SetLevel(4, 1), SetLevel(4, 0), "done"),
            Change(1, 0, "d-1", "app.remove", "remove other", None, RemoveApp("other"), None, "done"),
        )

    async def undo(self, choice: UndoChoice, report: Report) -> Undone:
        self.asked.append(("undo", choice.change_id, choice.device_id))
        changes = await self.chosen(choice)
        taken = [
            RevertedChange(
                undone=c.change_id, by=c.change_id, evidence=EvidenceObject("counted", f"read back {c.change_id}", ())
            )
            for c in changes[:2]
        ]
        return Undone(text="undone: set pin 5 high, set pin 4 high", taken=taken)


@dataclass
class Bench:
    """A toolbox with what stands behind it. `call` gives the result and its content as an object."""

    tools: Toolbox
    apps: PaperApps
    registry: PaperRegistry
    stack: AsyncExitStack
    steps: list[Step] = field(default_factory=list)

    async def add(
        self, name: str, transport: PaperTransport, board: str = "virtual", labels: tuple[str, ...] = ()
    ) -> Device:
        device = Device(DeviceRow(f"d-{name}", name, board, labels), load_board(board), (transport,))
        self.stack.push_async_callback(device.close)
        self.registry.devices.append(device)
        return device

    async def call(
        self, name: str, arguments: dict[str, Any] | str | None = None, device: str | None = None
    ) -> tuple[ToolResult, dict[str, Any]]:
        if isinstance(arguments, str):
            text = arguments
        else:
            text = json.dumps(arguments or {})
        result = await self.tools.call(name, text, ToolContext("owner", self.steps.append, device))
        return result, cast(dict[str, Any], json.loads(result.content))


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    """One device, virtual-1 at 192.168.1.100:18080."""
    async with AsyncExitStack() as stack:
        apps = PaperApps()
        registry = PaperRegistry()
        names = ("changes", "change_log", "catalogue", "direct_io", "undo", "reconciler")
        tools = build_toolbox(
            cast("AppServices", SimpleNamespace(registry=registry, **dict.fromkeys(names, apps))), Gate()
        )
        made = Bench(tools, apps, registry, stack)
        await made.add("virtual-1", PaperTransport("wasmachine://192.168.1.100:18080"))
        yield made
