"""Fixtures for the virtual board: the captured vectors, boards in this process and as processes, and a link to one."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import pytest
from msgspec.structs import replace
from tests.forked import Forked

from microclaw.hardware.boards import load_board
from microclaw.virtual.board import Board
from microclaw.virtual.board_process import BoardProcess, parse_options
from microclaw.virtual.clock import Clock
from microclaw.virtual.firmware.program_runners import ProgramRunners
from microclaw.virtual.machine import VirtualMachine
from microclaw.virtual.network.reach import Connect
from microclaw.virtual.py.programs import HANG_S, Programs
from microclaw.virtual.runtime.app import App
from microclaw.virtual.virtual_clock import VirtualClock
from microclaw.wire import board_control as control
from microclaw.wire.jsonline import LineDecoder
from microclaw.wire.wasmachine.frame import Frame, FrameDecoder, MessageType, encode_frame
from microclaw.wire.wasmachine.request import WasmachineRequest

VECTORS = Path(__file__).parents[1] / "vectors" / "wasmachine.json"
TIMEOUT_S = 60.0


@dataclass(frozen=True)
class Case:
    """One captured exchange. `to_device` is None for events that apps push."""

    runtime: str
    name: str
    to_device: bytes | None
    from_device: tuple[bytes, ...]


CASES = tuple(
    Case(
        "old" if "old" in row["runtime"] else "new",
        row["case"],
        bytes.fromhex(row["to_device"]) if row["to_device"] else None,
        tuple(bytes.fromhex(frame) for frame in row["from_device"]),
    )
    for row in json.loads(VECTORS.read_text(encoding="utf-8"))["cases"]
)


class Bench:
    """A board in this process, on a virtual clock unless told otherwise; `nodes` are added to its device nodes."""

    def __init__(
        self,
        folder: Path,
        clock: Clock | None = None,
        *,
        cache: Path | None = None,
        nodes: frozenset[str] = frozenset(),
        connect: Connect | None = None,
        hang_s: float = HANG_S,
    ) -> None:
        profile = load_board("virtual")
        firmware = replace(profile.firmware, max_apps=10, device_nodes=profile.firmware.device_nodes | nodes)
        self.folder = folder
        self.board = Board(replace(profile, firmware=firmware), clock or VirtualClock(), storage_dir=folder / "storage")
        self.programs = Programs(self.board, folder / "py", cache, hang_s=hang_s)
        self.runners = ProgramRunners(self.board, self.programs, connect=connect)
        self.machine = VirtualMachine(self.runners)
        self.machine.start()

    @property
    def clock(self) -> VirtualClock:
        assert isinstance(self.board.clock, VirtualClock)
        return self.board.clock

    @property
    def apps(self) -> list[App]:
        return self.runners.wasm.apps

    def start(self, wasm: bytes, name: str = "main", *, heap_bytes: int = 8192, timers: int = 20) -> App:
        """Install it; on the virtual clock it is idle then, at the same time."""
        app = self.runners.wasm.install(name, wasm, heap_bytes, timers)
        assert app is not None
        if self.board.clock.is_virtual:
            self.clock.settle()
        return app

    def advance(self, ms: float) -> None:
        assert self.clock.advance(ms).stuck is None

    def lines(self, app: str | None = "main") -> list[str]:
        """The lines that an app printed, unfinished line included; None: the firmware."""
        self.board.end_line(app)
        return [record.text for record in self.board.log().records if record.app == app]

    def log(self) -> list[str]:
        """Every line but the first."""
        return [record.text for record in self.board.log().records][1:]

    def edges(self, pin: int) -> list[tuple[float, int]]:
        return [(edge.t_ms, edge.level) for edge in self.board.edges().records if edge.pin == pin]


B = TypeVar("B", bound=Bench)
MakeBench = Callable[..., Bench]


@contextmanager
def benches(kind: Callable[..., B]) -> Iterator[Callable[..., B]]:
    """A maker of benches of that kind; all are closed at the end."""
    made: list[B] = []

    def make(*arguments: Any, **options: Any) -> B:
        made.append(kind(*arguments, **options))
        return made[-1]

    yield make
    for bench in made:
        bench.machine.close()


@pytest.fixture
def make_bench(tmp_path: Path) -> Iterator[MakeBench]:
    """Make a bench of its own folder; the arguments are Bench's."""
    with benches(partial(Bench, tmp_path)) as make:
        yield make


@pytest.fixture
def bench(make_bench: MakeBench) -> Bench:
    return make_bench()


class Link:
    """A blocking connection to a WASMachine port that hands out whole frames."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), TIMEOUT_S)
        self._decoder = FrameDecoder()

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def request(self, request: WasmachineRequest, frame_type: MessageType = MessageType.REQUEST) -> Frame:
        self.send(encode_frame(frame_type, request.encode()))
        return self.frame()

    def frame(self) -> Frame:
        while (frame := self._decoder.next_frame()) is None:
            data = self.socket.recv(65_536)
            if not data:
                raise ConnectionError("the board closed the connection")
            self._decoder.receive(data)
        return frame

    def close(self) -> None:
        self.socket.close()


class Control:
    """A blocking connection to a control socket."""

    def __init__(self, path: str) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.socket.settimeout(TIMEOUT_S)
        self.socket.connect(path)
        self._decoder = LineDecoder(control.MAX_LINE_BYTES)
        self._id = 0

    def ask(self, request: control.Request[control.R_co]) -> control.R_co:
        """The typed reply."""
        self._id += 1
        self.socket.sendall(control.encode_request(self._id, request))
        reply = control.read_reply(self.line(), self._id, request)
        assert reply is not None
        return reply

    def raw(self, line: bytes) -> dict[str, Any]:
        self.socket.sendall(line + b"\n")
        reply: dict[str, Any] = json.loads(self.line())
        return reply

    def line(self) -> bytes:
        while (line := self._decoder.next_line()) is None:
            data = self.socket.recv(65_536)
            if not data:
                raise ConnectionError("the board closed the control connection")
            self._decoder.receive(data)
        return line

    def close(self) -> None:
        self.socket.close()


class BoardUnderTest:
    """A whole board behind its ports, in this process."""

    def __init__(self, ready: Mapping[str, Any], end: Callable[[], None]) -> None:
        self.ready = ready
        self._open = ExitStack()
        self._open.callback(end)
        self.stop = self._open.close

    def link(self) -> Link:
        return self._open.enter_context(closing(Link(self.ready["wasmachine"])))

    def control(self) -> Control:
        return self._open.enter_context(closing(Control(self.ready["control"])))

    def serial(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.ready["serial"]), TIMEOUT_S)


class BoardProcessUnderTest(BoardUnderTest):
    """A board as others start it."""

    def __init__(self, *options: str) -> None:
        words = ("microclaw.virtual", "--wasmachine", "0", "--die-with-parent", *options)
        self.process = Forked(words, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, f"the board did not start: exit code {self.process.wait(TIMEOUT_S)}"
        super().__init__(json.loads(line), self._end_process)

    def _end_process(self) -> None:
        if self.process.poll() is None:
            self.process.terminate()
        try:
            self.process.wait(TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(TIMEOUT_S)
            raise
        finally:
            if self.process.stdout is not None:
                self.process.stdout.close()


def run_board(*words: str, said: str = "") -> subprocess.CompletedProcess[str]:
    """A board that ends by itself, as it cannot start."""
    command = [sys.executable, "-m", "microclaw.virtual", *words]
    return subprocess.run(command, input=said, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)


StartBoard = Callable[..., BoardUnderTest]
StartProcess = Callable[..., BoardProcessUnderTest]
U = TypeVar("U", bound=BoardUnderTest)


@contextmanager
def _boards(start: Callable[..., U]) -> Iterator[Callable[..., U]]:
    boards: list[U] = []

    def started(*options: str) -> U:
        boards.append(start(*options))
        return boards[-1]

    yield started
    for board in boards:
        board.stop()


def _start_here(*options: str) -> BoardUnderTest:
    process = BoardProcess(parse_options(["--wasmachine", "0", *options]))

    def end() -> None:
        process.close()
        process.remove_files()

    return BoardUnderTest(process.ready(), end)


@pytest.fixture
def start_board() -> Iterator[StartBoard]:
    """Start boards in this process, with the given options on free ports; all are stopped at the end."""
    with _boards(_start_here) as start:
        yield start


@pytest.fixture
def start_process() -> Iterator[StartProcess]:
    """As `start_board`, each board in a process of its own: it is killed, gets a signal, or is measured."""
    with _boards(BoardProcessUnderTest) as start:
        yield start
