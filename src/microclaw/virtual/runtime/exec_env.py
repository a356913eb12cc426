"""The first argument of every native, as WAMR's exec_env: what the calling app has of the firmware. Runs nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from microclaw.virtual.clock import Task
from microclaw.virtual.network.access import NetworkAccess
from microclaw.virtual.network.app_network import AppNetwork
from microclaw.virtual.nodes.node import DeviceUser
from microclaw.virtual.runtime.descriptors import FileTable
from microclaw.virtual.runtime.event_queue import EventQueue, TimerFired
from microclaw.virtual.runtime.firmware_boot import FirmwareBoot
from microclaw.virtual.runtime.memory import Heap, LinearMemory, StackGauge
from microclaw.virtual.runtime.program_time import ProgramTime
from microclaw.virtual.runtime.timers import Timers

_RAND_MULTIPLIER: Final = 6364136223846793005


class AppMessages:
    """The requests of one app: the urls that it takes, and its ways out.

    `respond` sends a packed response and returns False if it is none, `request` sends a packed request or event.
    """

    def __init__(self, respond: Callable[[bytes], bool], request: Callable[[bytes], None]) -> None:
        self.resources: set[str] = set()
        self.subscriptions: set[str] = set()
        self.respond = respond
        self.request = request


class NewlibRandom:
    """newlib's rand() on the ESP32."""

    def __init__(self) -> None:
        self._state = 1

    def seed(self, value: int) -> None:
        """Begin another series."""
        self._state = value & 0xFFFFFFFF

    def next(self) -> int:
        """Return the next number of 31 bits."""
        self._state = (self._state * _RAND_MULTIPLIER + 1) & 0xFFFFFFFFFFFFFFFF
        return (self._state >> 32) & 0x7FFFFFFF


class ExecEnv:
    """One app's share of the firmware. Natives use it in the app's own thread only.

    `heap` is set when the module is loaded. `call_table` calls a function of the module's table, from within a native;
    its arguments and its result are i32.
    """

    def __init__(
        self,
        boot: FirmwareBoot,
        name: str,
        task: Task,
        events: EventQueue,
        messages: AppMessages,
        *,
        max_timers: int,
    ) -> None:
        self.board = boot.board
        self.name = name
        self.messages = messages
        self.time = ProgramTime(boot.board.clock, task)
        self.memory = LinearMemory()
        self.heap = Heap(0, 0)
        self.stack = StackGauge(self.memory)
        self.random = NewlibRandom()
        self.timers = Timers(boot.board.clock, max_timers, lambda number: events.post(TimerFired(number)), name)
        user = DeviceUser(name, self.memory, self.time)
        self.pins = user.pins
        self.files = FileTable(boot.board, boot.ledc, user)
        self.network = AppNetwork(NetworkAccess(boot, name, events, self.time))
        self.call_table: Callable[..., int] = lambda _index, *_arguments: 0

    def print(self, data: bytes) -> None:
        """Write to the console in the app's name."""
        self.board.print(data, self.name)

    def allocate(self, size: int) -> int:
        """Return the address of `size` bytes; 0 if there is no room, with WAMR's warning on the console."""
        address = self.heap.allocate(size)
        if not address:
            self.board.print_line(f"warning: allocate {size} bytes memory failed", self.name)
        return address

    def allocate_copy(self, data: bytes) -> int:
        """Return the address of a copy of the data, 0 if there is no room."""
        address = self.allocate(len(data))
        if address:
            self.memory.write(address, data)
        return address
