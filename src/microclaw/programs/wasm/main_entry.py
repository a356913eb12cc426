"""Gives a ready module that has only a `main`, as Espressif's SDK builds it, the on_init that the firmware starts.

A main that waits stays without: only from its source can it be made event-driven (asyncify.py). Compiles nothing.
"""

from __future__ import annotations

from typing import Final

from microclaw.errors import BuildError, Diagnostic
from microclaw.programs.wasm.callgraph import read_callgraph
from microclaw.programs.wasm.pause_points import with_elements
from microclaw.programs.wasm.wasm_image import Signature
from microclaw.wire.wasm_binary import ModuleError, write_u32

_TYPES = 1
_FUNCTIONS = 3
_EXPORTS = 7
_CODE = 10
_NAMES: Final = ("main", "__main_argc_argv", "__main_void")
_MAIN: Final = (Signature((), ("i32",)), Signature(("i32", "i32"), ("i32",)), Signature((), ()))
_SLEEPS: Final = ("sleep", "usleep")


def with_main_called(wasm: bytes, file: str) -> bytes:
    """Return the module with an on_init that calls its main; unchanged if it has one, or no main.

    Raises BuildError for a main that waits.
    """
    try:
        graph = read_callgraph(wasm)
    except ModuleError:
        # The checks that follow report what is wrong with it.
        return wasm
    functions = graph.module.exported_functions
    main = next((functions[name] for name in _NAMES if name in functions), None)
    if main is None or "on_init" in functions:
        return wasm
    signature = graph.module.signature_of(main)
    if signature not in _MAIN:
        return wasm
    for name in _SLEEPS:
        index = graph.import_index("env", name)
        if graph.path(main, frozenset((index,)), graph.possible) is not None:
            why = "the firmware would stand still meanwhile, and a module cannot be changed any more"
            message = f"its main waits ({name}): {why}"
            hint = "give its source instead, which is made event-driven; or build it with on_init and timers"
            raise BuildError((Diagnostic("error", message, file, hint=hint),), stage="check")
    arguments = b"\x41\0" * len(signature.params)
    dropped = b"\x1a" * len(signature.results)
    code = b"\0" + arguments + b"\x10" + write_u32(main) + dropped + b"\x0b"
    added = {
        _TYPES: b"\x60\0\0",
        _FUNCTIONS: write_u32(len(graph.module.types)),
        _EXPORTS: b"\x07on_init\0" + write_u32(len(graph.module.imports) + len(graph.module.bodies)),
        _CODE: write_u32(len(code)) + code,
    }
    return with_elements(wasm, added)
