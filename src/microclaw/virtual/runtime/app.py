"""One app on the virtual board: its thread, its queue of events and its end. Knows no transport.

What happens when follows WAMR's wasm_app_routine: on_init, then callbacks one at a time, then on_destroy. An exception
in on_init ends the app, which stays in the list; one in a callback only reaches the console, and the app goes on.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from microclaw.virtual.board import Board
from microclaw.virtual.network.app_network import AppNetwork
from microclaw.virtual.nodes.ledc import Ledc
from microclaw.virtual.runtime.memory import BoardCrash, WasmTrap
from microclaw.virtual.runtime.process import Process, ProgramExit
from microclaw.virtual.runtime.task import Interrupted, Task
from microclaw.virtual.runtime.timers import Timers
from microclaw.wire.wasmachine.attributes import Generation

if TYPE_CHECKING:
    from microclaw.virtual.runtime.instance import Instance  # the wasm engine takes 0.1 s to import


QUEUE_LENGTH: Final = 50
"""WAMR's DEFAULT_QUEUE_LENGTH; what comes while it is full is lost."""


class AppState(StrEnum):
    """`loaded` also when there is no on_init; `trapped`, `exited`: on_init did not survive. All stay in the list."""

    LOADED = "loaded"
    RUNNING = "running"
    RETURNED = "returned"
    EXITED = "exited"
    TRAPPED = "trapped"


class App:
    """A loaded app. Made by `Runtime.load`; `start` runs on_init in a thread of its own.

    `error` is the text of the last exception ("Exception: unreachable"); `kind_of_end` is returned, exited or trapped,
    also when only a callback trapped and the app goes on.
    """

    def __init__(
        self,
        board: Board,
        ledc: Ledc,
        name: str,
        *,
        heap_bytes: int,
        timers: int,
        has_network: bool = False,
    ) -> None:
        self.name = name
        self.heap_bytes = heap_bytes
        self.state = AppState.LOADED
        self.error: str | None = None
        self.kind_of_end: str | None = None
        self._board = board
        self._task = Task(name)
        self._queue: deque[Callable[[], None] | None] = deque()  # events to handle; None ends the app
        self._boot = board.boot
        self._thread: threading.Thread | None = None
        self._over = threading.Event()
        self._instance: Instance | None = None
        self.peak_stack_bytes = 0  # how deep its shadow stack went; 0 when the module does not tell where that is
        self._longest_ms = {True: 0.0, False: 0.0}  # of main's calls, of callbacks'
        self._called: tuple[bool, float] | None = None  # whether the present call is main's, and when it began
        self._is_stopping = False
        self.on_trouble: Callable[[App], None] = lambda _: None
        """Called in its thread when it trapped or exited, and when its main is over."""
        generation = Generation(board.profile.firmware.attribute_generation)
        network = AppNetwork(board.clock, generation, lambda text: board.print_line(f"{name}: {text}"), has_network)
        network.post_mqtt_event = lambda handle, event: self._post(
            lambda: self._deliver("on_mqtt_dispatch_event", event, handle)
        )
        self.process = Process(name, board, self._task, Timers(board.clock, timers, self._fire, name), ledc, network)
        # Urls that it registered and subscribed to, GPIOs that it opened or drives.
        self.resources = self.process.resources
        self.subscriptions = self.process.subscriptions
        self.pins = self.process.pins

    @property
    def peak_heap_bytes(self) -> int:
        """The most of its heap that was in use at once, the allocator's own bytes included."""
        return self.process.heap.peak_bytes

    def longest_call_ms(self, *, in_main: bool) -> float:
        """The board time that one call of its entry functions took at most: as long the firmware cannot remove it.

        Main begins in on_init, and goes on in the callback of a one-shot timer (wasm/headers/shim).
        """
        kind, began_ms = self._called or (None, 0.0)
        present_ms = self._board.clock.now_ms() - began_ms if kind == in_main else 0.0
        return max(self._longest_ms[in_main], present_ms)

    def note_end(self) -> None:
        """The program reported that its main is over: nothing of it runs any more, but the firmware still lists it."""
        self.kind_of_end = self.kind_of_end or "returned"
        self.on_trouble(self)

    @property
    def told_state(self) -> str:
        """`state`, but returned for one that the firmware lists as running although its main is over."""
        return "returned" if self.state == AppState.RUNNING and self.kind_of_end == "returned" else self.state.value

    @property
    def is_alive(self) -> bool:
        """True if it runs, or waits for something to do."""
        return self._thread is not None and not self._over.is_set()

    @property
    def is_current(self) -> bool:
        """True if the caller is its thread."""
        return self._thread is threading.current_thread()

    def attach(self, instance: Instance) -> None:
        """Give the app its module; once, before `start`."""
        self._instance = instance

    def start(self) -> None:
        """Run on_init, and what follows, in the app's own thread."""
        if self._instance is not None and self._instance.has("on_init"):
            self.state = AppState.RUNNING
        self._thread = threading.Thread(target=self._run, name=f"app-{self.name}", daemon=True)
        self._board.clock.add(self._task)
        self._thread.start()

    def request(self, payload: bytes) -> bool:
        """Queue on_request with the payload of a REQUEST frame; False when the queue is full or the app is dead."""
        return self._post(lambda: self._deliver("on_request", payload))

    def response(self, payload: bytes) -> bool:
        """Queue on_response, likewise."""
        return self._post(lambda: self._deliver("on_response", payload))

    def stop(self, timeout_s: float = 2.0) -> bool:
        """Queue the end: on_destroy, then the thread ends. False when it is still busy after `timeout_s`."""
        if self._thread is None or not self._thread.is_alive():
            return True
        if not self._is_stopping:
            self._is_stopping = self._task.is_ending = True
            self._queue.append(None)
            self._board.clock.wake(self._task)
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def kill(self, timeout_s: float = 2.0) -> bool:
        """End it at once, without on_destroy, also out of a busy loop."""
        self.interrupt()
        return self.join(timeout_s)

    def interrupt(self) -> None:
        """Begin to kill it; does not wait."""
        self._board.clock.interrupt(self._task)
        self.process.network.interrupt()
        instance = self._instance
        if instance is not None:
            instance.interrupt()

    def join(self, timeout_s: float) -> bool:
        """Wait until nothing of it runs any more; True at once from its own thread.

        Its thread may still be there: an app that crashed the board waits for its turn to say so.
        """
        return self._thread is None or self.is_current or self._over.wait(timeout_s)

    def _fire(self, number: int) -> None:
        self._post(lambda: self._on_timer(number))

    def _post(self, event: Callable[[], None]) -> bool:
        if not self.is_alive or len(self._queue) >= QUEUE_LENGTH:
            return False
        self._queue.append(event)
        self._board.clock.wake(self._task)
        return True

    def _run(self) -> None:
        clock = self._board.clock
        clock.begin(self._task)
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
                self._board.crash(str(crash), self._boot)
            clock.end(self._task)

    def _live(self) -> None:
        instance = self._instance
        assert instance is not None
        if self._task.interrupted:
            return
        self._board.print_line(f"WASM app '{self.name}' started")
        if not instance.has("on_init"):
            self._board.print_line("Cannot find function on_init().", self.name)
            self.error, self.kind_of_end = "Cannot find function on_init().", "trapped"
            return
        self.process.is_started = True
        survived = self._call("on_init", begins=True, in_main=True)
        if survived:
            self._serve()
        else:
            self.state = AppState(self.kind_of_end or AppState.TRAPPED)
        if instance.has("on_destroy"):
            self._call("on_destroy")
        if survived:
            self.state = AppState.RETURNED
            self.kind_of_end = self.kind_of_end or "returned"

    def _serve(self) -> None:
        """Handle events until the app is stopped."""
        while not self._task.interrupted:
            if not self._queue:
                self._board.clock.idle(self._task)
                continue
            event = self._queue.popleft()
            if event is None:
                return
            event()
        raise Interrupted(self.name)

    def _on_timer(self, number: int) -> None:
        assert self._instance is not None
        try:
            if self._instance.has("on_timer_callback", "i32"):
                self._call("on_timer_callback", number, in_main=self.process.timers.is_one_shot(number))
        finally:
            self.process.timers.callback_returned(number)

    def _deliver(self, export: str, data: bytes, *before: int) -> None:
        """Call it with a copy of the data; without room in the heap the firmware loses it as well."""
        assert self._instance is not None
        if not self._instance.has(export, *["i32"] * (len(before) + 2)):
            return
        buffer = self.process.allocate_copy(data)
        if buffer:
            try:
                self._call(export, *before, buffer, len(data))
            finally:
                self.process.heap.free(buffer)

    def _call(self, export: str, *arguments: int, begins: bool = False, in_main: bool = False) -> bool:
        """Run an export; an exception goes to the console and makes it False."""
        assert self._instance is not None
        self._called = in_main, self._board.clock.now_ms()
        try:
            if begins:
                self._instance.begin()
            self._instance.call(export, *arguments)
            return True
        except WasmTrap as trap:
            self.error = f"Exception: {trap}" + (f" ({trap.where})" if trap.where else "")
            self.kind_of_end = "exited" if isinstance(trap, ProgramExit) else "trapped"
            self._board.print_line(f"Got exception running WASM code: {self.error}", self.name)
            self.on_trouble(self)
            return False
        finally:
            self._longest_ms[in_main] = self.longest_call_ms(in_main=in_main)
            self._called = None
            self._instance.measure_stack()
            self.peak_stack_bytes = self._instance.peak_stack_bytes

    def _bury(self) -> None:
        self.process.timers.close()
        self.process.network.abandon()
        self.process.files.abandon()
        self._queue.clear()
        instance, self._instance = self._instance, None
        if instance is not None:
            instance.close()
        self._board.end_line(self.name)
