"""One app on the virtual board: its thread, its state inside the firmware, its end.

What happens when follows WAMR's wasm_app_routine: on_init, then callbacks one at a time, then on_destroy. An exception
in on_init ends the app, which stays in the list; one in a callback only reaches the console, and the app goes on.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Protocol, assert_never

from microclaw.virtual.clock import Clock, Interrupted, Task
from microclaw.virtual.runtime.event_queue import AppEvent, Delivery, EventQueue, TimerFired
from microclaw.virtual.runtime.exec_env import AppMessages, ExecEnv
from microclaw.virtual.runtime.firmware_boot import FirmwareBoot
from microclaw.virtual.runtime.memory import BoardCrash, ProgramExit, WasmTrap
from microclaw.wire.board_replies import AppRow

if TYPE_CHECKING:
    from microclaw.virtual.runtime.instance import Instance  # the wasm engine takes 0.1 s to import


class AppOwner(Protocol):
    """The application manager as its apps know it. All three are called in the app's thread."""

    def app_responds(self, payload: bytes) -> bool:
        """Send a packed response; return False if it is none."""
        ...

    def app_requests(self, sender: App, payload: bytes) -> None:
        """Send a packed request or event."""
        ...

    def app_has_trouble(self, app: App) -> None:
        """Note that the app trapped or exited."""
        ...


class AppStatus:
    """How far an app is and how it ended.

    `state`: docs/protocols/virtual.md, apps. `error` is the text of the last exception ("Exception: unreachable").
    `kind_of_end` is returned, exited or trapped, also if only a callback trapped and the app goes on.
    `is_reported`: the link's host knows that it trapped or ended.
    """

    def __init__(self) -> None:
        self.state = "loaded"
        self.error: str | None = None
        self.kind_of_end: str | None = None
        self.is_reported = False
        self._is_main_over = False

    @property
    def shown_state(self) -> str:
        """`state`, but `kind_of_end` for an app that the firmware lists as running although its main is over."""
        if self.state == "running" and self._is_main_over and self.kind_of_end is not None:
            return self.kind_of_end
        return self.state

    def main_ended(self) -> None:
        """Note that main is over: it returned, unless the app trapped or exited before."""
        self._is_main_over = True
        self.kind_of_end = self.kind_of_end or "returned"

    def returned(self) -> None:
        """Note that the app ended by itself, or was stopped."""
        self.state = "returned"
        self.main_ended()

    def failed(self, error: str, kind_of_end: str = "trapped") -> None:
        """Note an exception; the app may go on."""
        self.error = error
        self.kind_of_end = kind_of_end

    def ended_in_init(self) -> None:
        """Note that an exception in on_init ended the app."""
        self.state = self.kind_of_end or "trapped"


class CallTimes:
    """The board time that one call of an app's entry functions took at most, of main's calls and of callbacks'.

    The firmware cannot remove the app during a call.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._longest_ms = {True: 0.0, False: 0.0}
        self._present: tuple[bool, float] | None = None

    def begin(self, *, in_main: bool) -> None:
        """Note that a call begins."""
        self._present = (in_main, self._clock.now_ms())

    def end(self, *, in_main: bool) -> None:
        """Note that the present call is over."""
        self._longest_ms[in_main] = self.longest_ms(in_main=in_main)
        self._present = None

    def longest_ms(self, *, in_main: bool) -> float:
        """Return the longest time, with the call that is under way."""
        present_ms = 0.0
        present = self._present
        if present is not None and present[0] == in_main:
            present_ms = self._clock.now_ms() - present[1]
        return max(self._longest_ms[in_main], present_ms)


class App:
    """A loaded app. Made by `AppManager.load`; `start` runs on_init in a thread of its own.

    `app_id` is its number in the manager's list, 0 before it is there. `instance` is its module, from before `start` to
    its end.
    """

    def __init__(self, boot: FirmwareBoot, owner: AppOwner, name: str, *, heap_bytes: int, max_timers: int) -> None:
        self.name = name
        self.heap_bytes = heap_bytes
        self.app_id = 0
        self.status = AppStatus()
        self.instance: Instance | None = None
        self._owner = owner
        self._board = boot.board
        self._clock = boot.board.clock
        self._boot_number = boot.board.boot
        self._task = Task(name)
        self._events = EventQueue(self._clock, self._task)
        messages = AppMessages(owner.app_responds, lambda payload: owner.app_requests(self, payload))
        self.env = ExecEnv(boot, name, self._task, self._events, messages, max_timers=max_timers)
        self._call_times = CallTimes(self._clock)
        self._thread: threading.Thread | None = None
        self._over = threading.Event()

    def row(self) -> AppRow:
        """Return its row on the control socket."""
        return AppRow(
            self.name,
            self.status.shown_state,
            self.status.error,
            self.heap_bytes,
            self.env.heap.peak_bytes,
            self.env.stack.peak_bytes,
            tuple(sorted(self.env.pins)),
            self.status.kind_of_end,
            round(self._call_times.longest_ms(in_main=False), 3),
            longest_main_ms=round(self._call_times.longest_ms(in_main=True), 3),
        )

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
            self.status.state = "running"
        self._thread = threading.Thread(target=self._run, name=f"app-{self.name}", daemon=True)
        self._events.open()
        self._clock.add(self._task)
        self._thread.start()

    def deliver(self, export: str, data: bytes) -> bool:
        """Queue a call of on_request or on_response with the data; return False if the queue is full or closed."""
        return self._events.post(Delivery(export, data))

    def stop(self, timeout_s: float = 2.0) -> bool:
        """Queue the end: on_destroy, then the thread ends. Return False if it is still busy after `timeout_s`."""
        if self._thread is None or not self._thread.is_alive():
            return True
        self._events.post_end()
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def kill(self, timeout_s: float = 2.0) -> bool:
        """End it at once, without on_destroy, also out of a busy loop."""
        self.interrupt()
        return self.join(timeout_s)

    def interrupt(self) -> None:
        """Begin to kill it; does not wait."""
        self._clock.interrupt(self._task)
        self.env.network.interrupt()
        instance = self.instance
        if instance is not None:
            instance.interrupt()

    def join(self, timeout_s: float) -> bool:
        """Wait until nothing of it runs any more; return True at once in its own thread.

        Its thread may still be there: an app that crashed the board waits for its turn to say so.
        """
        return self._thread is None or self.is_current or self._over.wait(timeout_s)

    # Its thread.

    def _run(self) -> None:
        self._clock.begin(self._task)
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
                self._board.crash(str(crash), self._boot_number)
            self._clock.end(self._task)

    def _live(self) -> None:
        instance = self.instance
        assert instance is not None
        if self._task.interrupted:
            return
        self._board.print_line(f"WASM app '{self.name}' started")
        if not instance.has("on_init"):
            self._board.print_line("Cannot find function on_init().", self.name)
            self.status.failed("Cannot find function on_init().")
            return
        self.env.time.begin()
        survived = self._call("on_init", in_main=True)
        if survived:
            self._serve()
        else:
            self.status.ended_in_init()
        if instance.has("on_destroy"):
            self._call("on_destroy")
        if survived:
            self.status.returned()

    def _serve(self) -> None:
        """Handle events until the app is stopped."""
        while (event := self._events.take()) is not None:
            self._handle(event)

    def _handle(self, event: AppEvent) -> None:
        match event:
            case TimerFired(number=number):
                self._call_timer(number)
            case Delivery():
                self._call_with_data(event)
            case _:
                assert_never(event)

    def _call_timer(self, number: int) -> None:
        assert self.instance is not None
        timers = self.env.timers
        try:
            if self.instance.has("on_timer_callback", "i32"):
                self._call("on_timer_callback", number, in_main=timers.is_one_shot(number))
        finally:
            timers.callback_returned(number)

    def _call_with_data(self, event: Delivery) -> None:
        """Call it with a copy of the data; without room in the heap the firmware loses it as well."""
        assert self.instance is not None
        if not self.instance.has(event.export, *["i32"] * (len(event.leading) + 2)):
            return
        buffer = self.env.allocate_copy(event.data)
        if buffer:
            try:
                self._call(event.export, *event.leading, buffer, len(event.data))
            finally:
                self.env.heap.free(buffer)

    def _call(self, export: str, *arguments: int, in_main: bool = False) -> bool:
        """Run an export; an exception goes to the console and makes it False.

        Main begins in on_init, and goes on in the callback of a one-shot timer (programs/wasm/headers/shim).
        """
        assert self.instance is not None
        self._call_times.begin(in_main=in_main)
        try:
            self.instance.call(export, *arguments)
            return True
        except WasmTrap as trap:
            self._note_trap(trap)
            return False
        finally:
            self._call_times.end(in_main=in_main)
            self.env.stack.measure()

    def _note_trap(self, trap: WasmTrap) -> None:
        error = f"Exception: {trap}"
        if trap.where:
            error += f" ({trap.where})"
        if isinstance(trap, ProgramExit):
            self.status.failed(error, "exited")
        else:
            self.status.failed(error)
        self._board.print_line(f"Got exception running WASM code: {error}", self.name)
        self._owner.app_has_trouble(self)

    def _bury(self) -> None:
        self.env.timers.close()
        self.env.network.abandon()
        self.env.files.abandon()
        self._events.close()
        instance = self.instance
        self.instance = None
        if instance is not None:
            instance.close()
        self._board.end_line(self.name)
