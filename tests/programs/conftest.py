"""A device on paper behind the real registry and store: for failures that a real board shows only by chance."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs
from tests.stores import new_store

from microclaw.devices.registry.calls import (
    AppEntry,
    AppInstall,
    AppList,
    AppState,
    AppStates,
    AppUninstall,
    Call,
    ConsoleLines,
    DeviceFacts,
    DeviceInfo,
    EdgeLog,
    EdgesRead,
    GpioGet,
    GpioSet,
    LogLine,
    LogsRead,
    PinLevel,
    PwmSet,
    PwmState,
)
from microclaw.devices.registry.device import Device
from microclaw.devices.registry.registry import Registry
from microclaw.devices.registry.transport import HeldAs, Transport
from microclaw.devices.transports.open import open_transport
from microclaw.devices.virtual_boards.process import VirtualBoardProcess
from microclaw.errors import AppExists, AppNotFound, InvalidModule, MicroclawError, TooManyApps
from microclaw.events import Edge, EvidenceKind, LiveEvent, ProgramKind, Step
from microclaw.hardware.boards.profile import BoardProfile
from microclaw.hardware.boards.reader import load_board
from microclaw.host.auth.gate import Gate
from microclaw.host.store.database import Database
from microclaw.host.store.devices import DeviceTable
from microclaw.network_use import NO_NETWORK, NetworkUse
from microclaw.programs.building import Compile, ProgramImage, ReadModule, cached_compiler, read_image
from microclaw.programs.builds.cache import BuildCache
from microclaw.programs.changes.catalogue import Catalogue
from microclaw.programs.changes.change_log import ChangeLog
from microclaw.programs.changes.changes import ProgramChanges
from microclaw.programs.changes.deferring import Deferrals, Tell
from microclaw.programs.changes.deployment import ChangeRequest, Deployment, Place
from microclaw.programs.changes.direct_io import DirectIo, PinChange
from microclaw.programs.changes.installer import Installer
from microclaw.programs.changes.pin_cautions import PinCautions
from microclaw.programs.changes.program_state import Act
from microclaw.programs.changes.reconciler import Reconciler
from microclaw.programs.changes.trapped_programs import TrappedPrograms
from microclaw.programs.changes.undo import Undo, UndoChoice
from microclaw.programs.changes.unresponsive_boards import explain_silence
from microclaw.programs.proof.expectation_text import parse_expectations
from microclaw.programs.proof.trial import Trial, TrialOptions, Try, try_image
from microclaw.programs.wasm.pin_program import build_pin_program
from microclaw.programs.wasm.wasm_image import MemoryUse, WasmImage

ACTING = frozenset({"apps.install", "apps.remove", "apps.list", "gpio.set", "pwm.set"})
SEEING = frozenset({"apps.states", "edges.read", "logs.read", "gpio.get"})


@dataclass
class PaperTransport(Transport):
    """Answers as stock firmware would, from memory. `fail[method]` is raised once, `lie` at every call."""

    endpoint: str
    sees: bool = True
    kinds: tuple[ProgramKind, ...] = ("wasm",)
    evidence: EvidenceKind = "counted"
    online: bool = True
    pin_program: str | None = None
    holds: dict[int, HeldAs] = field(default_factory=dict)
    apps: dict[str, AppInstall] = field(default_factory=dict)
    levels: dict[int, int] = field(default_factory=dict)
    fail: dict[str, MicroclawError] = field(default_factory=dict)
    away: MicroclawError | None = None
    refused_wasm: set[bytes] = field(default_factory=set)
    states: dict[str, AppState] = field(default_factory=dict)
    edges: list[Edge] = field(default_factory=list)
    lines: list[LogLine] = field(default_factory=list)
    now_ms: float = 0.0
    calls: list[str] = field(default_factory=list)
    ticks: bool = True
    up_ms: float | None = None
    """How long the board says that it is up; None is a board that does not tell."""
    swallow: bool = False
    """An install that raises `fail` has happened all the same."""
    ghosts: list[tuple[str, ...]] = field(default_factory=list)
    """What the next lists after a change say, in place of the truth; the last one stays."""

    @property
    def capabilities(self) -> frozenset[str]:
        telling = frozenset({"device.info"} if self.up_ms is not None else ())
        return telling | (ACTING | SEEING if self.sees else ACTING)

    @property
    def held_pins(self) -> dict[int, HeldAs]:
        return self.holds

    @property
    def changed(self) -> bool:
        return bool({"apps.install", "apps.remove"} & set(self.calls))

    async def call(self, call: Call[Any], timeout_s: float) -> Any:
        self.calls.append(call.method)
        if self.away is not None:
            raise self.away
        error = self.fail.pop(call.method, None)
        if error is not None and not self.swallow:
            raise error
        answer = self._do(call)
        if error is not None:
            raise error
        return answer

    async def wait(self, seconds: float) -> None:
        """The board's time is the only time."""
        self.now_ms += seconds * 1000 * self.ticks
        await asyncio.sleep(0)

    async def close(self) -> None:
        pass

    def _do(self, call: Call[Any]) -> Any:
        match call:
            case AppInstall(name=name, code=wasm):
                if name in self.apps:
                    raise AppExists("Install WASM app failed: app already installed.")
                if len(self.apps) >= 3:
                    raise TooManyApps("Install Applet failed: exceed max app installations.")
                if wasm in self.refused_wasm:
                    raise InvalidModule("invalid WASM version.")
                self.apps[name] = call
            case AppUninstall(name=name):
                if self.apps.pop(name, None) is None:
                    raise AppNotFound("Uninstall WASM app failed: no app found.")
            case AppList() if self.ghosts and self.changed:
                if len(self.ghosts) > 1:
                    names = self.ghosts.pop(0)
                else:
                    names = self.ghosts[0]
                return tuple(AppEntry(name, 8192) for name in names)
            case AppList():
                return tuple(AppEntry(app.name, app.heap_bytes) for app in self.apps.values())
            case AppStates():
                return tuple(self.states[name] for name in self.apps if name in self.states)
            case GpioSet(pin=pin, level=level):
                self.levels[pin] = level
                return PinLevel(pin, level)
            case GpioGet(pin=pin):
                return PinLevel(pin, self.levels.get(pin, 0))
            case DeviceInfo():
                return DeviceFacts({"chip": "paper", "uptime_ms": self.up_ms or 0})
            case PwmSet(pin=pin, duty=duty, frequency_hz=frequency_hz):
                return PwmState(pin, duty, frequency_hz)
            case EdgesRead(cursor=cursor):
                self.now_ms += 1.0 * self.ticks
                seen = [edge for edge in self.edges if edge.t_ms <= self.now_ms]
                return EdgeLog(tuple(seen[cursor:]), len(seen), 0, self.now_ms)
            case LogsRead(cursor=cursor):
                return ConsoleLines(tuple(self.lines[cursor:]), len(self.lines), 0)
        return None


def make_image(name: str, content: str = "", pins: tuple[int, ...] = (2,)) -> WasmImage:
    wasm = b"\0asm\1\0\0\0" + (content or name).encode()
    return WasmImage(
        name=name,
        wasm=wasm,
        sha256=hashlib.sha256(wasm).hexdigest(),
        imports=(),
        exports=("on_init",),
        memory=MemoryUse(65536, 0, 4096),
        pins=pins,
        compiler="paper 1.0",
        cached=False,
        compile_ms=0.0,
        source=content or name,
    )


def make_trial(
    pins: Sequence[int] = (2,),
    driven: Sequence[int] = (2,),
    read: Sequence[int] = (),
    log: Sequence[str] = (),
    **changes: Any,
) -> Trial:
    """A trial in which pin 2 blinked."""
    fields: dict[str, Any] = {
        "ok": True,
        "ended": "running",
        "edges": tuple(Edge(500.0 * i, 2, (i + 1) % 2) for i in range(20)),
        "lines": tuple(LogLine(5.0, "app", text) for text in log),
        "roles": dict.fromkeys(pins, "idle") | dict.fromkeys(read, "input") | dict.fromkeys(driven, "output"),
        "board_ms": 10_000.0,
        "took_ms": 20.0,
    }
    return Trial(**fields | changes)


class Clock:
    """The journal's: a millisecond a look, and further on demand."""

    def __init__(self) -> None:
        self._ms = 0

    def now_ms(self) -> int:
        self._ms += 1
        return self._ms

    def later(self, ms: int) -> None:
        self._ms += ms


async def _not_told(_place: Place | None, _device: str, _note: str, _alarm: str | None) -> None:
    pass


class Lab:
    """Every part of the apps stage, over one paper device named "paper"."""

    device_name = "paper"

    def __init__(self, registry: Registry, change_log: ChangeLog, transport: PaperTransport) -> None:
        self.registry = registry
        self.change_log = change_log
        self.transport = transport
        self.steps: list[Step] = []
        self.alarms: list[tuple[str, str]] = []
        self.events: list[LiveEvent] = []
        self.clock_ms = 1_000
        self.monotonic_s = 50.0
        self.trials: dict[str, Trial] = {}
        self.networks: dict[str, NetworkUse] = {}  # by the source
        self.own_ports: set[int] = set()
        self.tried: list[str] = []
        self.tell: Tell = _not_told
        self.compile: Compile = self._compile
        self.read_module: ReadModule = self._read_module
        self.try_image: Try = self._try_image
        self.sleep: Callable[[float], Awaitable[None]] = lambda seconds: transport.wait(seconds)
        self.rebuild()

    @property
    def device_id(self) -> str:
        return self.registry.get(self.device_name).device_id

    def rebuild(self) -> None:
        """As after a restart of the host: nothing kept in memory."""
        self.installer = Installer(self.registry, self.change_log)
        self.registry.explain_silence = partial(explain_silence, self.change_log)
        self.cautions = PinCautions(self.change_log.database, self.change_log.now_ms)
        self.changes = ProgramChanges(
            self.installer,
            self.cautions,
            compile=self.compile,
            read_module=self.read_module,
            try_image=self.try_image,
            own_ports=self.own_ports,
            sleep=self.sleep,
        )
        self.direct_io = DirectIo(self.installer, self.cautions)
        self.undo = Undo(self.installer, changes=self.changes, direct_io=self.direct_io, gate=Gate())
        self.deferrals = Deferrals(
            self.installer, changes=self.changes, gate=Gate(), tell=lambda *note: self.tell(*note)
        )
        self.catalogue = Catalogue(devices=self.registry, change_log=self.change_log)
        self.reconciler = Reconciler(
            self.installer,
            self.deferrals,
            TrappedPrograms(self.change_log, publish=self.events.append, monotonic_s=lambda: self.monotonic_s),
            report=self.steps.append,
            alarm=lambda name, text: self.alarms.append((name, text)),
            now_ms=lambda: self.clock_ms,
            monotonic_s=lambda: self.monotonic_s,
        )

    async def _compile(
        self,
        source: str,
        board: BoardProfile,
        name: str,
        optimization: str,
        language: str | None = None,
        kinds: Sequence[ProgramKind] = ("wasm",),
        hosts: tuple[str, ...] = (),
    ) -> WasmImage:
        network = self.networks.get(source, NO_NETWORK).with_hosts(hosts)
        image = make_image(name, source, self.trials.get(name, make_trial()).pins)
        return structs.replace(image, network=network)

    def _read_module(self, wasm: bytes, board: BoardProfile, name: str, source: str | None) -> WasmImage:
        return make_image(name, wasm[8:].decode(), self.trials.get(name, make_trial()).pins)

    async def _try_image(self, image: ProgramImage, board: BoardProfile, options: TrialOptions) -> Trial:
        self.tried.append(image.name)
        return structs.replace(self.trials.get(image.name, make_trial()), times=options.times)

    async def deploy(self, name: str = "blink", source: str = "v1", pin: int | None = 2, **more: Any) -> Deployment:
        """Install a program that blinks this pin in its trial and on the board; with None, what `trials` has of it."""
        if pin is not None:
            self.plays(name, pin)
        return await self.changes.deploy(self.request(name, source=source, **more), self.steps.append)

    def request(self, name: str, act: Act = "install", **more: Any) -> ChangeRequest:
        return ChangeRequest(self.device_name, name, act, **more)

    async def act(self, act: Act, name: str = "blink", **more: Any) -> Any:
        return await self.changes.apply(self.request(name, act, **more), self.steps.append)

    async def set_pin(self, pin: int, level: int = 1) -> PinChange:
        return await self.direct_io.act(self.device_name, GpioSet(pin, level))

    async def take_back(self, change_id: int | None = None, **more: Any) -> Any:
        return await self.undo.undo(UndoChoice("owner", change_id, **more), self.steps.append)

    def running(self) -> dict[str, str]:
        """The text of each program on the board."""
        return {name: app.code[8:].decode() for name, app in self.transport.apps.items()}

    async def wanted(self) -> list[str]:
        return [app.name for app in await self.change_log.desired()]

    async def states(self) -> list[str]:
        """The changes, newest first."""
        return [change.state for change in await self.change_log.changes()]

    async def conditions(self) -> dict[str, str]:
        return {app.name: app.condition for app in await self.catalogue.list_apps()}

    def stages(self) -> list[tuple[str, str]]:
        """The stages that have ended, and how."""
        return [(step.stage, step.state) for step in self.steps if step.state != "running"]

    def foreign(self, *names: str) -> None:
        """Apps that somebody else installed."""
        for name in names:
            self.transport.apps[name] = AppInstall(name, b"\0asm\1\0\0\0theirs")

    def plays(self, name: str, *pins: int) -> None:
        """Let the program `name` blink these pins in its trial, and the board show just that."""
        edges = tuple(Edge(500.0 * i, pin, (i + 1) % 2) for i in range(4) for pin in pins)
        self.trials[name] = make_trial(edges=edges, pins=pins, driven=pins)
        now = self.transport.now_ms
        self.transport.edges += [Edge(now + 60 + 500.0 * i, pin, (i + 1) % 2) for i in range(4) for pin in pins]


class Bench(Lab):
    """The same over a real virtual board, a process of its own, and the real compiler and trial."""

    device_name = "board-1"

    def __init__(
        self, registry: Registry, change_log: ChangeLog, board: VirtualBoardProcess, cache: BuildCache
    ) -> None:
        super().__init__(registry, change_log, PaperTransport("unused:1"))
        self.board = board
        self.cache = cache
        self.compile = cached_compiler(cache)
        self.read_module = read_image
        self.try_image = try_image
        self.sleep = asyncio.sleep
        self.rebuild()

    @property
    def device(self) -> Device:
        return self.registry.get(self.device_name)

    async def names(self) -> list[str]:
        return sorted(app.name for app in await self.device.call(AppList()))


@asynccontextmanager
async def opened_bench(
    folder: Path, cache: Path, *firmware: str, open_with: Callable[..., Transport] = open_transport
) -> AsyncIterator[Bench]:
    async with (
        Database.open(new_store(folder / "store.db")) as database,
        VirtualBoardProcess(name="board-1", serial=0, control=folder / "control.sock", firmware=firmware) as board,
        Registry(
            store=DeviceTable(database),
            open_transport=partial(open_with, lock_folder=folder / "locks", build_pin_program=build_pin_program),
            mint_id=lambda: "d-1",
            now_ms=lambda: 0,
        ) as registry,
    ):
        await registry.add("board-1", "virtual", board.ready.transports[:1] if firmware else board.ready.transports)
        yield Bench(registry, ChangeLog(database), board, BuildCache(cache))


@pytest.fixture
async def bench(tmp_path: Path, build_cache: Path) -> AsyncIterator[Bench]:
    async with opened_bench(tmp_path, build_cache) as opened:
        yield opened


@pytest.fixture
def journal_clock() -> Clock:
    return Clock()


@pytest.fixture
def change_log(database: Database, journal_clock: Clock) -> ChangeLog:
    return ChangeLog(database, now_ms=journal_clock.now_ms)


@pytest.fixture
async def lab(database: Database, change_log: ChangeLog) -> AsyncIterator[Lab]:
    transport = PaperTransport("paper:1")
    async with Registry(
        store=DeviceTable(database),
        open_transport=lambda endpoint, board: transport,
        mint_id=lambda: "d1",
        now_ms=lambda: 0,
    ) as registry:
        await registry.add("paper", "virtual", ["paper:1"])
        yield Lab(registry, change_log, transport)


async def tried(
    source: str, cache: Path, expect: str | None = None, hosts: tuple[str, ...] = (), **options: Any
) -> Trial:
    """Build it, as C or Python by its text, and try it on a virtual board."""
    board = load_board("virtual")
    image = await cached_compiler(BuildCache(cache))(source, board, "tried", "O3", None, ("wasm", "py"), hosts)
    if expect:
        expectations = parse_expectations(expect)
    else:
        expectations = None
    return await try_image(image, board, TrialOptions(expectations=expectations, **options))
