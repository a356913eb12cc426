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
from microclaw.virtual.runtime.backtrace import call_place, read_frames, stack_overflow
from microclaw.virtual.runtime.binding import Handler, bind
from microclaw.virtual.runtime.exec_env import ExecEnv
from microclaw.virtual.runtime.memory import BoardCrash, WasmTrap
from microclaw.virtual.runtime.module import PreparedModule
from microclaw.virtual.runtime.wasm_run import WasmRun, new_engine
from microclaw.wire.board_replies import NATIVE_FAILED
from microclaw.wire.wasm_binary import PAGE_BYTES

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
_SET_ERRNO: Final = "libc_builtin_set_errno"
MAX_FAILURE_CHARS: Final = 200
_OWN: Final = (WasmTrap, Interrupted, BoardCrash)
"""What a native raises on purpose."""


T = TypeVar("T")


class LoadFailed(Exception):
    """The module is invalid, or uses a feature that the firmware lacks."""


class InstantiateFailed(Exception):
    """The module is valid and does not fit, or its start function trapped."""


class Instance(WasmRun):
    """A linked module. Calls come from one thread at a time; `interrupt` from any.

    `natives` are the functions that the virtual board can run; the board's profile says which its firmware has.
    """

    def __init__(self, prepared: PreparedModule, env: ExecEnv, natives: Mapping[str, Handler]) -> None:
        self._env = env
        self._natives = natives
        self._functions: dict[str, tuple[wasmtime.Func, tuple[str, ...]]] = {}
        max_memory = env.board.profile.firmware.max_memory_bytes
        if max(prepared.pages or 0, prepared.total_pages - 1) * PAGE_BYTES > max_memory:
            raise InstantiateFailed("allocate memory failed")
        reserved = max(max_memory // PAGE_BYTES, prepared.total_pages) * PAGE_BYTES
        # On the real clock a program takes the time that it takes.
        self._counts_fuel = env.board.clock.is_virtual
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
            env.memory.attach(self.store, memory)
            env.stack.paint(prepared.stack_area)
        env.call_table = self._call_table

    def has(self, name: str, *params: str) -> bool:
        """Return True if the module exports a function of that name that takes these types and returns nothing."""
        function = self._functions.get(name)
        return function is not None and function[1] == params

    def call(self, name: str, *arguments: int) -> None:
        """Run an export. Raises WasmTrap, Interrupted or BoardCrash."""
        if name == "on_init" and self.has(_BEFORE_ON_INIT):
            # A build for trials has it: nothing is put into on_init's own code.
            self.call(_BEFORE_ON_INIT)
        function = self._functions[name][0]
        try:
            self._run(lambda: self._enter(function, arguments))
        finally:
            self._spend()

    def _call_table(self, index: int, *arguments: int) -> int:
        """Call a function by its place in the table, as the firmware calls callbacks.

        Raises WasmTrap if the table is not exported, or the function is none of i32 arguments and result.
        """
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
        params = [str(param) for param in kind.params]
        results = [str(result) for result in kind.results]
        if params != ["i32"] * len(arguments) or results != ["i32"]:
            raise WasmTrap("indirect call type mismatch")
        return int(self._run(lambda: function(self.store, *arguments)))

    def _enter(self, function: wasmtime.Func, arguments: tuple[int, ...]) -> None:
        """Call a function of i32 arguments and no result.

        Func.__call__ asks for the types again at each call, for 30 us.
        """
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
        """Free memory and code; nothing of it may run or be read afterwards."""
        self._env.memory.detach()
        self._functions.clear()
        super().close()

    def set_errno(self, number: int) -> None:
        """Set the program's errno, if its module takes it."""
        if self.has(_SET_ERRNO, "i32"):
            self.call(_SET_ERRNO, number)

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

    def _host_function(self, module: str, name: str, kind: wasmtime.FuncType) -> Callable[..., Any]:
        """Return the firmware's function, or one that traps if it has none of that name and type."""
        handler = self._find_handler(module, name, kind)
        if handler is not None:
            return bind(self._env, NATIVES[name].signature, handler, self.set_errno)
        self._env.board.print_line(f"warning: failed to link import function ({module}, {name})", self._env.name)

        def unlinked(*_: int | float) -> None:
            raise WasmTrap(f"failed to call unlinked import function ({module}, {name})")

        return unlinked

    def _find_handler(self, module: str, name: str, kind: wasmtime.FuncType) -> Handler | None:
        if module != NATIVE_MODULE or name not in NATIVES:
            return None
        native = NATIVES[name]
        if not self._env.board.profile.firmware.has_native(name, native.group):
            return None
        params = tuple(str(param) for param in kind.params)
        results = tuple(str(result) for result in kind.results)
        if (params, results) != (native.params, native.results):
            return None
        return self._natives.get(name)

    def _define(self, module: str, name: str, kind: wasmtime.FuncType) -> None:
        """Link an import: each call checks that the app goes on, and costs board time on the virtual clock."""
        check = self._env.time.task.check
        count_call = self._env.time.count_call
        spend = self._spend
        counts_fuel = self._counts_fuel
        function = self._host_function(module, name, kind)

        def call(*arguments: int | float) -> Any:
            check()
            if counts_fuel:
                spend()
                count_call()
            return function(*arguments)

        def keep(exc: BaseException) -> BaseException:
            if not isinstance(exc, _OWN) and isinstance(exc, Exception):
                exc = self._failed(name, exc)
            if isinstance(exc, WasmTrap):
                # The place may not be found before the instance is made, or once it is stopped.
                with suppress(Exception):
                    exc.where = self._where_called()
            return exc

        self.define((module, name), kind, call, keep)

    def _failed(self, name: str, error: Exception) -> WasmTrap:
        """Make a trap of a fault of ours in a native: it ends the program that called it, not the board."""
        _log.error("native %s, called by %s, failed", name, self._env.name, exc_info=error)
        return WasmTrap(f"{NATIVE_FAILED}{name} failed: {type(error).__name__}: {error}"[:MAX_FAILURE_CHARS])

    def _spend(self) -> None:
        """Let board time pass for the instructions since it was last called."""
        if self._counts_fuel:
            self._env.time.compute(self.used_fuel() / INSTRUCTIONS_PER_MS)

    def _instantiate(self, module: wasmtime.Module, *, has_start: bool) -> wasmtime.Instance:
        """Instantiate the module. This runs the start function too, if it has one, which must not take long."""
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
        """Run a call, and raise WAMR's words for a trap, with its place in the program."""
        try:
            return self.run(call)
        except wasmtime.Trap as trap:
            if trap.trap_code is not None:
                text = TRAP_TEXTS.get(trap.trap_code)
            else:
                text = None
            raise WasmTrap(text or trap.message.splitlines()[-1], self._where(trap)) from None

    def _where(self, trap: wasmtime.Trap) -> str | None:
        """Return the place in the program where it trapped, in a build that tells its lines."""
        frames = read_frames(trap.message)
        if trap.trap_code is TrapCode.STACK_OVERFLOW:
            return stack_overflow(frames)
        if trap.trap_code is TrapCode.MEMORY_OUT_OF_BOUNDS and self._is_stack_full():
            return stack_overflow(frames)
        return call_place(frames)

    def _where_called(self) -> str | None:
        """Return the place in the program that called the native under way."""
        function = self._exports.get("microclaw_here")
        if not isinstance(function, wasmtime.Func):
            return None
        try:
            function(self.store)
        except wasmtime.Trap as trap:
            # The function only traps: the text has the calls under way.
            frames = read_frames(trap.message)
            if self._is_stack_full():
                return stack_overflow(frames)
            return call_place(frames)
        return None

    def _is_stack_full(self) -> bool:
        """Return True if the stack's pointer, which goes down to 0, is beyond it. Only a build for trials tells."""
        pointer = self._exports.get("microclaw_stack")
        return isinstance(pointer, wasmtime.Func) and int(pointer(self.store)) & 0xFFFFFFFF > _BELOW_ZERO
