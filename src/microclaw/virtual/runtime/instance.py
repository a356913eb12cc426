"""One app's wasm module in wasmtime: compiled, linked against the firmware's natives, callable, interruptible.

Each app has an engine of its own (20 us to make), so that its epoch can be moved without touching the others.
"""

from __future__ import annotations

import ctypes
import logging
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, Final, TypeVar

import wasmtime
from wasmtime import TrapCode
from wasmtime import _ffi as ffi
from wasmtime._func import enter_wasm

from microclaw.hardware.boards.natives import NATIVE_MODULE, NATIVES
from microclaw.virtual.clock import Interrupted
from microclaw.virtual.natives import http, libc, libc_files, mqtt, printf, requests, time
from microclaw.virtual.natives.binding import Handler, bind
from microclaw.virtual.runtime.app import App
from microclaw.virtual.runtime.backtrace import call_place, read_frames, stack_overflow
from microclaw.virtual.runtime.memory import BoardCrash, WasmTrap
from microclaw.virtual.runtime.module import PreparedModule
from microclaw.virtual.runtime.wasm_run import WasmRun, new_engine
from microclaw.wire.board_replies import NATIVE_FAILED
from microclaw.wire.wasm_binary import PAGE_BYTES

_GROUPS: Final = (printf, libc, libc_files, time, requests, mqtt, http)
HANDLERS: Final[Mapping[str, Handler]] = {k: v for group in _GROUPS for k, v in group.HANDLERS.items()}
"""Every native that the virtual board can run. The board's profile says which of them its firmware has."""
TRAP_TEXTS: Final[Mapping[TrapCode, str]] = {
    TrapCode.STACK_OVERFLOW: "wasm operand stack overflow",
    TrapCode.MEMORY_OUT_OF_BOUNDS: "out of bounds memory access",
    TrapCode.TABLE_OUT_OF_BOUNDS: "undefined element",
    TrapCode.INDIRECT_CALL_TO_NULL: "uninitialized element",
    TrapCode.BAD_SIGNATURE: "indirect call type mismatch",
    TrapCode.INTEGER_OVERFLOW: "integer overflow",
    TrapCode.INTEGER_DIVISION_BY_ZERO: "integer divide by zero",
    TrapCode.BAD_CONVERSION_TO_INTEGER: "invalid conversion to integer",
    TrapCode.UNREACHABLE: "unreachable",
}
"""WAMR's words (wasm_runtime_common.c, exception_msgs)."""
MAX_STACK_BYTES: Final = 256 * 1024
START_LIMIT_S: Final = 2.0
INSTRUCTIONS_PER_MS: Final = 20_000
"""An estimate for WAMR's interpreter on an ESP32-S3 at 240 MHz: computing costs board time, if only roughly."""
_log = logging.getLogger(__name__)
_BELOW_ZERO: Final = 1 << 31
_TABLE: Final = "__indirect_function_table"
_BEFORE_ON_INIT: Final = "__microclaw_note_start"
_CANARY: Final = 0xA5
MAX_FAILURE_CHARS: Final = 200
_OWN: Final = (WasmTrap, Interrupted, BoardCrash)  # what a native raises on purpose


T = TypeVar("T")


class LoadFailed(Exception):
    """The module is invalid, or uses a feature that the firmware lacks."""


class InstantiateFailed(Exception):
    """The module is valid and does not fit, or its start function trapped."""


class Instance(WasmRun):
    """A linked module. Calls come from one thread at a time; `interrupt` from any."""

    def __init__(self, prepared: PreparedModule, app: App) -> None:
        self._app = app
        max_memory = app.board.profile.firmware.max_memory_bytes
        self._canary_area: tuple[int, int] | None = None
        if max(prepared.pages or 0, prepared.total_pages - 1) * PAGE_BYTES > max_memory:
            raise InstantiateFailed("allocate memory failed")
        reserved = max(max_memory // PAGE_BYTES, prepared.total_pages) * PAGE_BYTES
        self._counts_fuel = app.clock.is_virtual  # on the real clock a program takes the time that it takes
        engine = new_engine(stack_bytes=MAX_STACK_BYTES, reserved_bytes=reserved, counts_fuel=self._counts_fuel)
        try:
            module = wasmtime.Module(engine, prepared.wasm)
        except wasmtime.WasmtimeError as exc:
            raise LoadFailed(str(exc)) from exc
        super().__init__(engine, counts_fuel=self._counts_fuel, memory_size=reserved, tables=1, table_elements=4096)
        try:
            self._link(module)
            self._exports = self._instantiate(module, has_start=prepared.has_start).exports(self.store)
        except BaseException:
            super().close()
            raise
        self._functions = self._find_functions(module)
        if prepared.memory_name is not None:
            memory = self._exports[prepared.memory_name]
            assert isinstance(memory, wasmtime.Memory)
            app.memory.attach(self.store, memory)
            self._paint_stack(prepared.stack_area)
        if self.has("libc_builtin_set_errno", "i32"):
            app.set_errno = lambda number: self.call("libc_builtin_set_errno", number)
        app.call_table = self._call_table

    def has(self, name: str, *params: str) -> bool:
        """True if the module exports a function of that name that takes these types and returns nothing."""
        return self._functions.get(name, (None, None))[1] == params

    def call(self, name: str, *arguments: int) -> None:
        """Run an export. Raises WasmTrap, Interrupted or BoardCrash."""
        if name == "on_init" and self.has(_BEFORE_ON_INIT):
            self.call(_BEFORE_ON_INIT)  # of a build for trials, where nothing is put into on_init's own code
        function = self._functions[name][0]
        try:
            self._run(lambda: self._enter(function, arguments))
        finally:
            self._spend()

    def _call_table(self, index: int, *arguments: int) -> int:
        """Call a function by its place in the table, as the firmware calls callbacks; the table is to be exported."""
        table = self._exports.get(_TABLE)
        if not isinstance(table, wasmtime.Table):
            raise WasmTrap("undefined element")
        try:
            function = table.get(self.store, index)
        except wasmtime.WasmtimeError:
            raise WasmTrap("undefined element") from None
        if not isinstance(function, wasmtime.Func):
            raise WasmTrap("uninitialized element")
        kind = function.type(self.store)
        if [str(t) for t in kind.params] != ["i32"] * len(arguments) or [str(t) for t in kind.results] != ["i32"]:
            raise WasmTrap("indirect call type mismatch")
        return int(self._run(lambda: function(self.store, *arguments)))

    def _enter(self, function: wasmtime.Func, arguments: tuple[int, ...]) -> None:
        """Func.__call__ for i32 arguments and no result: that one asks for the types again at each call, for 30 us."""
        values = (ffi.wasmtime_val_t * len(arguments))()
        for value, argument in zip(values, arguments, strict=True):
            value.kind = ffi.WASMTIME_I32.value
            value.of.i32 = argument
        with enter_wasm(self.store) as trap:
            entry = ctypes.byref(function._func)
            error = ffi.wasmtime_func_call(self.context, entry, values, len(arguments), None, 0, trap)
            if error:
                raise wasmtime.WasmtimeError._from_ptr(error)

    def close(self) -> None:
        self._app.memory.detach()
        self._app.set_errno = lambda _number: None
        self._functions.clear()
        super().close()

    def measure_stack(self) -> None:
        """Look how deep the painted part of the shadow stack was overwritten."""
        if self._canary_area is not None:
            low, top = self._canary_area
            unused = self._app.memory.read(low, top - low - self._app.peak_stack_bytes)
            if unused.count(_CANARY) < len(unused):
                self._app.peak_stack_bytes += len(unused.lstrip(bytes([_CANARY])))

    def _paint_stack(self, area: tuple[int, int] | None) -> None:
        if area is not None and area[1] - area[0] <= PAGE_BYTES:
            self._canary_area = area
            self._app.memory.fill(area[0], _CANARY, area[1] - area[0])

    def _find_functions(self, module: wasmtime.Module) -> dict[str, tuple[wasmtime.Func, tuple[str, ...]]]:
        functions = {}
        for export in module.exports:
            if isinstance(export.type, wasmtime.FuncType) and not export.type.results:
                function = self._exports[export.name]
                assert isinstance(function, wasmtime.Func)
                functions[export.name] = (function, tuple(str(t) for t in export.type.params))
        return functions

    def _link(self, module: wasmtime.Module) -> None:
        for wanted in module.imports:
            if not isinstance(wanted.type, wasmtime.FuncType):
                raise LoadFailed(f"unknown import ({wanted.module}, {wanted.name})")
            self._define(wanted.module, wanted.name or "", wanted.type)

    def _native(self, module: str, name: str, kind: wasmtime.FuncType) -> Callable[..., Any]:
        if module == NATIVE_MODULE:
            native = NATIVES.get(name)
        else:
            native = None
        signature = (tuple(str(t) for t in kind.params), tuple(str(t) for t in kind.results))
        if (
            native is not None
            and self._app.board.profile.firmware.has_native(name, native.group)
            and name in HANDLERS
            and signature == (native.params, native.results)
        ):
            return bind(self._app, native.signature, HANDLERS[name])
        self._app.board.print_line(f"warning: failed to link import function ({module}, {name})", self._app.name)

        def unlinked(*_: int | float) -> None:
            raise WasmTrap(f"failed to call unlinked import function ({module}, {name})")

        return unlinked

    def _define(self, module: str, name: str, kind: wasmtime.FuncType) -> None:
        task = self._app.task
        function = self._native(module, name, kind)

        def call(*arguments: int | float) -> Any:
            task.check()
            self._spend()
            if self._counts_fuel:
                self._app.called()
            return function(*arguments)

        def kept(exc: BaseException) -> BaseException:
            if not isinstance(exc, _OWN) and isinstance(exc, Exception):
                exc = self._failed(name, exc)
            if isinstance(exc, WasmTrap):
                with suppress(Exception):  # it may not be found before the instance is made, or once it is stopped
                    exc.where = self._where_called()
            return exc

        self.define((module, name), kind, call, kept)

    def _failed(self, name: str, error: Exception) -> WasmTrap:
        """A fault of ours in a native ends the program that called it, not the board."""
        _log.error("native %s, called by %s, failed", name, self._app.name, exc_info=error)
        return WasmTrap(f"{NATIVE_FAILED}{name} failed: {type(error).__name__}: {error}"[:MAX_FAILURE_CHARS])

    def _spend(self) -> None:
        """Let board time pass for the instructions since it was last called."""
        if self._counts_fuel:
            self._app.compute(self.used_fuel() / INSTRUCTIONS_PER_MS)

    def _instantiate(self, module: wasmtime.Module, *, has_start: bool) -> wasmtime.Instance:
        """Runs the start function too, if there is one; that one must not take long."""
        watchdog = threading.Timer(START_LIMIT_S, self.interrupt)
        if has_start:
            watchdog.start()
        try:
            return self._run(lambda: self.linker.instantiate(self.store, module))
        except (WasmTrap, Interrupted, BoardCrash, wasmtime.WasmtimeError) as exc:
            raise InstantiateFailed(str(exc)) from exc
        finally:
            watchdog.cancel()

    def _run(self, call: Callable[[], T]) -> T:
        try:
            return self.run(call)
        except wasmtime.Trap as trap:
            if trap.trap_code is not None:
                text = TRAP_TEXTS.get(trap.trap_code)
            else:
                text = None
            raise WasmTrap(text or trap.message.splitlines()[-1], self._where(trap)) from None

    def _where(self, trap: wasmtime.Trap) -> str | None:
        """The place in the program where it trapped, in a build that tells its lines."""
        frames = read_frames(trap.message)
        if trap.trap_code is TrapCode.STACK_OVERFLOW or (
            trap.trap_code is TrapCode.MEMORY_OUT_OF_BOUNDS and self._stack_is_full()
        ):
            return stack_overflow(frames)
        return call_place(frames)

    def _where_called(self) -> str | None:
        """The place in the program that called the native under way."""
        function = self._exports.get("microclaw_here")
        if isinstance(function, wasmtime.Func):
            try:
                function(self.store)
            except wasmtime.Trap as trap:  # whose text tells the calls under way
                frames = read_frames(trap.message)
                if self._stack_is_full():
                    return stack_overflow(frames)
                return call_place(frames)
        return None

    def _stack_is_full(self) -> bool:
        """True if the stack's pointer, which goes down to 0, is beyond it. Only a build for trials tells."""
        pointer = self._exports.get("microclaw_stack")
        return isinstance(pointer, wasmtime.Func) and int(pointer(self.store)) & 0xFFFFFFFF > _BELOW_ZERO
