"""Host functions on wasmtime's C interface: Linker.define_func takes 10 us a call, and this 3. Knows no native."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final

import wasmtime
from wasmtime import _ffi as ffi

os.environ["WASMTIME_BACKTRACE_DETAILS"] = "1"  # a new engine reads it: traps tell the lines that a module knows
_FINALIZER: Final = ctypes.CFUNCTYPE(None, ctypes.c_void_p)(lambda _: None)


def define_host_function(
    linker: wasmtime.Linker,
    place: tuple[str, str],
    kind: wasmtime.FuncType,
    function: Callable[..., Any],
    raised: Callable[[BaseException], None],
) -> object:
    """Define `function` at (module, name). What it raises goes to `raised`, and a trap ends the wasm code.

    wasmtime-py itself carries an exception in one global variable, for all threads. What is returned must live as long
    as the linker: its C side calls it.
    """
    params = tuple(str(t) for t in kind.params)
    result = next((str(t) for t in kind.results), None)

    def call(_env: object, _caller: object, values: Any, _count: int) -> int:
        try:
            answer = function(*[getattr(values[i], param) for i, param in enumerate(params)])
            if result is not None:
                setattr(values[0], result, answer)
        except BaseException as exc:
            with suppress(Exception):  # an exception out of a callback leaves C a wild pointer for a trap
                raised(exc)
            trap = ffi.wasmtime_trap_new(ctypes.create_string_buffer(b"host"), 4)
            return ctypes.cast(trap, ctypes.c_void_p).value or 0
        return 0

    callback = ffi.wasmtime_func_unchecked_callback_t(call)
    space, field = (text.encode() for text in place)
    error = ffi.wasmtime_linker_define_func_unchecked(
        linker.ptr(),
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
    return callback
