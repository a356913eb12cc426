"""One module's run in wasmtime: its store, its host functions and what they raised, its fuel. Knows no native."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final, TypeVar

import wasmtime
from wasmtime import _ffi as ffi

from microclaw.virtual.clock import Interrupted

_FUEL: Final = 1 << 62
_FEATURES: Final = (
    *("simd", "relaxed_simd", "threads", "tail_call", "multi_value", "multi_memory", "memory64", "exceptions"),
)
_FINALIZER: Final = ctypes.CFUNCTYPE(None, ctypes.c_void_p)(lambda _: None)
T = TypeVar("T")


def new_engine(*features: str, stack_bytes: int, reserved_bytes: int, counts_fuel: bool = True) -> wasmtime.Engine:
    """`features` are those beyond a WAMR build for a chip. Its memories never move: natives keep their addresses."""
    # A new engine reads it, and a forked board has its host's environment: traps tell the lines that a module knows.
    os.environ["WASMTIME_BACKTRACE_DETAILS"] = "1"
    config = wasmtime.Config()
    config.consume_fuel = counts_fuel
    config.epoch_interruption = True
    for feature in _FEATURES:
        setattr(config, f"wasm_{feature}", feature in features)
    config.parallel_compilation = False
    config.max_wasm_stack = stack_bytes
    config.memory_may_move = False
    config.memory_reservation = reserved_bytes  # costs no RAM before it is used
    config.memory_reservation_for_growth = config.memory_guard_size = 0
    config.memory_init_cow = False
    return wasmtime.Engine(config)


class WasmRun:
    """Calls come from one thread at a time; `interrupt` from any. `limits` are those of wasmtime's store."""

    def __init__(self, engine: wasmtime.Engine, *, counts_fuel: bool = True, **limits: int) -> None:
        self._engine = engine
        self.store = wasmtime.Store(engine)
        self.store.set_epoch_deadline(1)
        self.store.set_limits(instances=1, memories=1, **limits)
        self.context = self.store._context()
        self._fuel, self._left = _FUEL, ctypes.c_uint64(_FUEL)
        if counts_fuel:
            self.store.set_fuel(_FUEL)
        self.linker = wasmtime.Linker(engine)
        self.linker.allow_shadowing = True
        self._callbacks: list[object] = []  # what the linker's C side calls must live as long as it
        self._raised: BaseException | None = None

    def define(
        self,
        place: tuple[str, str],
        kind: wasmtime.FuncType,
        function: Callable[..., Any],
        keep: Callable[[BaseException], BaseException] = lambda exc: exc,
    ) -> None:
        """Define `function` at (module, name). What it raises ends the wasm code, and `run` raises what is kept of it.

        On wasmtime's C interface: Linker.define_func takes 10 us a call, this 3, and carries an exception in one global
        variable for all threads.
        """
        params = tuple(str(t) for t in kind.params)
        result = next((str(t) for t in kind.results), None)

        def call(_env: object, _caller: object, values: Any, _count: int) -> int:
            try:
                answer = function(*[getattr(values[i], param) for i, param in enumerate(params)])
                if result is not None:
                    setattr(values[0], result, answer)
            except BaseException as exc:
                self._raised = exc
                with suppress(Exception):  # an exception out of a callback leaves C a wild pointer for a trap
                    self._raised = keep(exc)
                trap = ffi.wasmtime_trap_new(ctypes.create_string_buffer(b"host"), 4)
                return ctypes.cast(trap, ctypes.c_void_p).value or 0
            return 0

        callback = ffi.wasmtime_func_unchecked_callback_t(call)
        self._callbacks.append(callback)
        space, field = (text.encode() for text in place)
        error = ffi.wasmtime_linker_define_func_unchecked(
            self.linker.ptr(),
            ctypes.create_string_buffer(space),
            len(space),
            ctypes.create_string_buffer(field),
            len(field),
            kind.ptr(),
            callback,
            None,
            _FINALIZER,
        )
        if error:
            raise wasmtime.WasmtimeError._from_ptr(error)

    def run(self, call: Callable[[], T]) -> T:
        """Raise what a host function raised, Interrupted, or wasmtime's Trap."""
        try:
            return call()
        except BaseException as exc:
            raised = self._raised
            self._raised = None
            if raised is not None:
                raise raised from None
            if isinstance(exc, wasmtime.Trap) and exc.trap_code is wasmtime.TrapCode.INTERRUPT:
                raise Interrupted from None
            raise

    def used_fuel(self) -> int:
        """Return the fuel that was used since the last call of this."""
        ffi.wasmtime_context_get_fuel(self.context, self._left)  # as Store.get_fuel, in half the time
        used = self._fuel - self._left.value
        self._fuel = self._left.value
        return used

    def interrupt(self) -> None:
        """Make wasm code stop at its next loop or call, now and from now on."""
        self._engine.increment_epoch()

    def close(self) -> None:
        """Free memory and code; nothing of it may run or be read afterwards."""
        self.store.close()
        self.linker.close()
        self._callbacks.clear()
