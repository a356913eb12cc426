"""An app's state for the native functions that it calls. Starts no thread and runs no wasm."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from microclaw.virtual.board import Board
from microclaw.virtual.clock import Clock
from microclaw.virtual.network.app_network import AppNetwork
from microclaw.virtual.nodes.ledc import Ledc
from microclaw.virtual.runtime.descriptors import FileTable
from microclaw.virtual.runtime.memory import Heap, LinearMemory, WasmTrap
from microclaw.virtual.runtime.task import Task
from microclaw.virtual.runtime.timers import Timers

_RAND_MULTIPLIER: Final = 6364136223846793005
"""newlib's rand() on the ESP32."""

LITTLE_MS: Final = 0.1
CALL_MS: Final = 0.01
"""An estimate for a call from WAMR's interpreter into the firmware and what it does there, on an ESP32-S3."""
FREE_CALLS: Final = 5_000


class ProgramExit(WasmTrap):
    """exit(): to WAMR an exception like any other."""

    def __init__(self, status: int) -> None:
        super().__init__(f"env.exit({status})")
        self.status = status


@dataclass(slots=True)
class Process:
    """One app's state inside the firmware. Only the app's own thread touches it, the sets excepted."""

    name: str
    board: Board
    task: Task
    timers: Timers
    ledc: Ledc
    network: AppNetwork
    memory: LinearMemory = field(default_factory=LinearMemory)
    heap: Heap = field(default_factory=lambda: Heap(0, 0))
    files: FileTable = field(init=False)
    pins: set[int] = field(default_factory=set)
    resources: set[str] = field(default_factory=set)
    subscriptions: set[str] = field(default_factory=set)
    send_response: Callable[[bytes], None] = lambda _payload: None
    send_request: Callable[[bytes], None] = lambda _payload: None
    set_errno: Callable[[int], None] = lambda _number: None
    call_table: Callable[..., int] = lambda _index, *_arguments: 0
    """Call a function of the module's table, from within a native; its arguments and result are i32."""
    rand_state: int = 1
    is_started: bool = False
    """False while the module is being instantiated, outside of the app's thread: no time passes then."""

    _free_calls: float = FREE_CALLS
    _called_ms: float = 0.0

    def __post_init__(self) -> None:
        self.files = FileTable(self.board, self.ledc, self.name)

    @property
    def clock(self) -> Clock:
        return self.board.clock

    def now_ms(self) -> float:
        """The time as a program reads it."""
        return self.clock.read_ms(self.task) if self.is_started else self.clock.now_ms()

    def compute(self, ms: float) -> None:
        """It computed for so long between two calls. A little takes no time, so that a blink keeps round times."""
        if self.is_started and ms >= LITTLE_MS:
            self.clock.compute(ms)

    def called(self) -> None:
        """It calls the firmware: FREE_CALLS at once take no time, so that edges keep round times, more take some."""
        if not self.is_started:
            return
        now_ms = self.clock.now_ms()
        self._free_calls = min(FREE_CALLS, self._free_calls + (now_ms - self._called_ms) / CALL_MS) - 1
        self._called_ms = now_ms
        if self._free_calls < 0:
            self.clock.work(self.task, CALL_MS)

    def place_heap(self, start: int | None, size_bytes: int) -> None:
        """Place the app heap; None: no memory, and malloc fails."""
        self.heap = Heap(start or 0, size_bytes if start is not None else 0)

    def sleep(self, ms: float) -> None:
        if self.is_started:
            self.clock.sleep(self.task, ms)

    def print(self, data: bytes) -> None:
        self.board.print(data, self.name)

    def allocate(self, size: int) -> int:
        """malloc; a failure leaves WAMR's warning on the console."""
        address = self.heap.allocate(size)
        if not address:
            self.board.print_line(f"warning: allocate {size} bytes memory failed", self.name)
        return address

    def allocate_copy(self, data: bytes) -> int:
        address = self.allocate(len(data))
        if address:
            self.memory.write(address, data)
        return address

    def next_random(self) -> int:
        """newlib's rand(): 31 bits."""
        self.rand_state = (self.rand_state * _RAND_MULTIPLIER + 1) & 0xFFFFFFFFFFFFFFFF
        return (self.rand_state >> 32) & 0x7FFFFFFF
