"""One app on the virtual board: its state inside the firmware, its thread, its queue of events, its end.

What happens when follows WAMR's wasm_app_routine: on_init, then callbacks one at a time, then on_destroy. An exception
in on_init ends the app, which stays in the list; one in a callback only reaches the console, and the app goes on.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from microclaw.virtual.clock import Interrupted, Task
from microclaw.virtual.network.app_network import AppNetwork
from microclaw.virtual.runtime.descriptors import FileTable
from microclaw.virtual.runtime.memory import BoardCrash, Heap, LinearMemory, ProgramExit, WasmTrap
from microclaw.virtual.runtime.timers import Timers
from microclaw.wire.board_replies import AppRow

if TYPE_CHECKING:
    from microclaw.virtual.firmware.app_manager import AppManager
    from microclaw.virtual.runtime.instance import Instance  # the wasm engine takes 0.1 s to import


QUEUE_LENGTH: Final = 50
"""WAMR's DEFAULT_QUEUE_LENGTH; what comes while it is full is lost."""
_RAND_MULTIPLIER: Final = 6364136223846793005
"""newlib's rand() on the ESP32."""
LITTLE_MS: Final = 0.1
CALL_MS: Final = 0.01
"""An estimate for a call from WAMR's interpreter into the firmware and what it does there, on an ESP32-S3."""
FREE_CALLS: Final = 5_000


class App:
    """A loaded app. Made by `AppManager.load`; `start` runs on_init in a thread of its own.

    `state`: docs/protocols/virtual.md, apps. `app_id` is its number in the manager's list, 0 before it is there;
    `error` is the text of the last exception ("Exception: unreachable"); `kind_of_end` is returned, exited or trapped,
    also when only a callback trapped and the app goes on. Natives get the app; only its own thread calls them.
    """

    def __init__(self, manager: AppManager, name: str, *, heap_bytes: int, timers: int) -> None:
        self.manager = manager
        self.board = board = manager.board
        self.clock = board.clock
        self.name = name
        self.heap_bytes = heap_bytes
        self.state = "loaded"
        self.app_id = 0
        self.is_reported = False  # that it trapped or ended, to the link's host
        self.error: str | None = None
        self.kind_of_end: str | None = None
        self.peak_stack_bytes = 0  # how deep its shadow stack went; 0 when the module does not tell where that is
        # What its natives use.
        self.task = Task(name)
        self.memory = LinearMemory()
        self.heap = Heap(0, 0)  # no memory: malloc fails
        self.timers = Timers(self.clock, timers, lambda number: self._post(lambda: self._on_timer(number)), name)
        self.files = FileTable(board, manager.ledc, name)
        self.network = AppNetwork(self)
        self.pins: set[int] = set()  # GPIOs that it opened or drives
        self.resources: set[str] = set()  # urls that it registered
        self.subscriptions: set[str] = set()
        self.set_errno: Callable[[int], None] = lambda _number: None
        self.call_table: Callable[..., int] = lambda _index, *_arguments: 0
        """Call a function of the module's table, from within a native; its arguments and result are i32."""
        self.rand_state = 1
        self._is_started = False  # False while the module is being instantiated, outside of its thread: no time passes
        self._free_calls: float = FREE_CALLS
        self._freed_ms = 0.0
        # Its thread.
        self._queue: deque[Callable[[], None] | None] = deque()  # events to handle; None ends the app
        self._boot = board.boot
        self._thread: threading.Thread | None = None
        self._over = threading.Event()
        self.instance: Instance | None = None  # its module, from before `start` to its end
        self._longest_ms = {True: 0.0, False: 0.0}  # of main's calls, of callbacks'
        self._called: tuple[bool, float] | None = None  # whether the present call is main's, and when it began

    def row(self) -> AppRow:
        """Its row on the control socket."""
        return AppRow(
            self.name,
            self.state,
            self.error,
            self.heap_bytes,
            self.heap.peak_bytes,
            self.peak_stack_bytes,
            tuple(sorted(self.pins)),
            self.kind_of_end,
            round(self._longest_call_ms(in_main=False), 3),
            longest_main_ms=round(self._longest_call_ms(in_main=True), 3),
        )

    @property
    def told_state(self) -> str:
        """`state`, but returned for one that the firmware lists as running although its main is over."""
        return "returned" if self.state == "running" and self.kind_of_end == "returned" else self.state

    @property
    def is_alive(self) -> bool:
        """True if it runs, or waits for something to do."""
        return self._thread is not None and not self._over.is_set()

    @property
    def is_current(self) -> bool:
        """True if the caller is its thread."""
        return self._thread is threading.current_thread()

    # Its life.

    def start(self) -> None:
        """Run on_init, and what follows, in the app's own thread."""
        if self.instance is not None and self.instance.has("on_init"):
            self.state = "running"
        self._thread = threading.Thread(target=self._run, name=f"app-{self.name}", daemon=True)
        self.clock.add(self.task)
        self._thread.start()

    def deliver(self, export: str, data: bytes, *before: int) -> bool:
        """Queue a call of on_request and the like with the data; False when the queue is full or the app is dead."""
        return self._post(lambda: self._deliver(export, data, *before))

    def stop(self, timeout_s: float = 2.0) -> bool:
        """Queue the end: on_destroy, then the thread ends. False when it is still busy after `timeout_s`."""
        if self._thread is None or not self._thread.is_alive():
            return True
        if not self.task.is_ending:
            self.task.is_ending = True
            self._queue.append(None)
            self.clock.wake(self.task)
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def kill(self, timeout_s: float = 2.0) -> bool:
        """End it at once, without on_destroy, also out of a busy loop."""
        self.interrupt()
        return self.join(timeout_s)

    def interrupt(self) -> None:
        """Begin to kill it; does not wait."""
        self.clock.interrupt(self.task)
        self.network.interrupt()
        instance = self.instance
        if instance is not None:
            instance.interrupt()

    def join(self, timeout_s: float) -> bool:
        """Wait until nothing of it runs any more; True at once from its own thread.

        Its thread may still be there: an app that crashed the board waits for its turn to say so.
        """
        return self._thread is None or self.is_current or self._over.wait(timeout_s)

    # What its natives call.

    def now_ms(self) -> float:
        """The time as a program reads it."""
        if self._is_started:
            return self.clock.read_ms(self.task)
        return self.clock.now_ms()

    def sleep(self, ms: float) -> None:
        if self._is_started:
            self.clock.sleep(self.task, ms)

    def compute(self, ms: float) -> None:
        """It computed for so long between two calls. A little takes no time, so that a blink keeps round times."""
        if self._is_started and ms >= LITTLE_MS:
            self.clock.compute(ms)

    def called(self) -> None:
        """It calls the firmware: FREE_CALLS at once take no time, so that edges keep round times, more take some."""
        if not self._is_started:
            return
        now_ms = self.clock.now_ms()
        self._free_calls = min(FREE_CALLS, self._free_calls + (now_ms - self._freed_ms) / CALL_MS) - 1
        self._freed_ms = now_ms
        if self._free_calls < 0:
            self.clock.work(self.task, CALL_MS)

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

    # Its thread.

    def _post(self, event: Callable[[], None]) -> bool:
        if not self.is_alive or len(self._queue) >= QUEUE_LENGTH:
            return False
        self._queue.append(event)
        self.clock.wake(self.task)
        return True

    def _run(self) -> None:
        self.clock.begin(self.task)
        crash: BoardCrash | None = None
        try:
            self._live()
        except Interrupted:
            pass
        except BoardCrash as exc:
            crash = exc
        finally:
            self._bury()
            self._over.set()
            if crash is not None:
                self.board.crash(str(crash), self._boot)
            self.clock.end(self.task)

    def _live(self) -> None:
        instance = self.instance
        assert instance is not None
        if self.task.interrupted:
            return
        self.board.print_line(f"WASM app '{self.name}' started")
        if not instance.has("on_init"):
            self.board.print_line("Cannot find function on_init().", self.name)
            self.error = "Cannot find function on_init()."
            self.kind_of_end = "trapped"
            return
        self._is_started = True
        survived = self._call("on_init", in_main=True)
        if survived:
            self._serve()
        else:
            self.state = self.kind_of_end or "trapped"
        if instance.has("on_destroy"):
            self._call("on_destroy")
        if survived:
            self.state = "returned"
            self.kind_of_end = self.kind_of_end or "returned"

    def _serve(self) -> None:
        """Handle events until the app is stopped."""
        while not self.task.interrupted:
            if not self._queue:
                self.clock.idle(self.task)
                continue
            event = self._queue.popleft()
            if event is None:
                return
            event()
        raise Interrupted(self.name)

    def _on_timer(self, number: int) -> None:
        assert self.instance is not None
        try:
            if self.instance.has("on_timer_callback", "i32"):
                self._call("on_timer_callback", number, in_main=self.timers.is_one_shot(number))
        finally:
            self.timers.callback_returned(number)

    def _deliver(self, export: str, data: bytes, *before: int) -> None:
        """Call it with a copy of the data; without room in the heap the firmware loses it as well."""
        assert self.instance is not None
        if not self.instance.has(export, *["i32"] * (len(before) + 2)):
            return
        buffer = self.allocate_copy(data)
        if buffer:
            try:
                self._call(export, *before, buffer, len(data))
            finally:
                self.heap.free(buffer)

    def _call(self, export: str, *arguments: int, in_main: bool = False) -> bool:
        """Run an export; an exception goes to the console and makes it False.

        Main begins in on_init, and goes on in the callback of a one-shot timer (wasm/headers/shim).
        """
        assert self.instance is not None
        self._called = in_main, self.clock.now_ms()
        try:
            self.instance.call(export, *arguments)
            return True
        except WasmTrap as trap:
            self.error = f"Exception: {trap}" + (f" ({trap.where})" if trap.where else "")
            self.kind_of_end = "exited" if isinstance(trap, ProgramExit) else "trapped"
            self.board.print_line(f"Got exception running WASM code: {self.error}", self.name)
            self.manager.on_trouble(self)
            return False
        finally:
            self._longest_ms[in_main] = self._longest_call_ms(in_main)
            self._called = None
            self.instance.measure_stack()

    def _longest_call_ms(self, in_main: bool) -> float:
        """The board time that one call of its entry functions took at most: as long the firmware cannot remove it."""
        kind, began_ms = self._called or (None, 0.0)
        if kind == in_main:
            present_ms = self.clock.now_ms() - began_ms
        else:
            present_ms = 0.0
        return max(self._longest_ms[in_main], present_ms)

    def _bury(self) -> None:
        self.timers.close()
        self.network.abandon()
        self.files.abandon()
        self._queue.clear()
        instance = self.instance
        self.instance = None
        if instance is not None:
            instance.close()
        self.board.end_line(self.name)
