"""Loads the module of an app, with the firmware's texts for what it refuses, and the natives that it may import.

The wasm engine takes 0.1 s to import: this is imported when the first app is loaded, or beside the board's start.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from microclaw.errors import InvalidModule, ProtocolError
from microclaw.virtual.natives import http, libc, libc_files, mqtt, printf, requests, time
from microclaw.virtual.runtime.app import App
from microclaw.virtual.runtime.binding import Handler
from microclaw.virtual.runtime.instance import Instance, InstantiateFailed, LoadFailed
from microclaw.virtual.runtime.memory import Heap
from microclaw.virtual.runtime.module import prepare
from microclaw.wire.wasm_binary import HEADER

HANDLERS: Final[Mapping[str, Handler]] = {
    **printf.HANDLERS,
    **libc.HANDLERS,
    **libc_files.HANDLERS,
    **time.HANDLERS,
    **requests.HANDLERS,
    **mqtt.HANDLERS,
    **http.HANDLERS,
}
"""Every native that the virtual board can run. The board's profile says which of them its firmware has."""


def check_head(wasm: bytes) -> None:
    """Raise InvalidModule unless this begins as a module of version 1."""
    if wasm[:4] != HEADER[:4]:
        raise InvalidModule("Install WASM app failed: invalid file format.")
    if wasm[4:8] != HEADER[4:]:
        raise InvalidModule("Install WASM app failed: invalid WASM version.")


def load_module(app: App, wasm: bytes) -> None:
    """Give an app its module and its heap. Raises InvalidModule.

    Unresolved imports are no error here: the console shows a warning and calling one traps.
    """
    board = app.env.board
    try:
        prepared = prepare(wasm, app.heap_bytes)
        if prepared.heap_start is not None:
            app.env.heap = Heap(prepared.heap_start, app.heap_bytes)
        app.instance = Instance(prepared, app.env, HANDLERS)
    except (ProtocolError, LoadFailed) as exc:
        board.print_line(f"error: WASM module load failed: {exc}".splitlines()[0])
        raise InvalidModule("Install WASM app failed: load WASM file failed.") from exc
    except InstantiateFailed as exc:
        # Its start function may have set some.
        app.env.timers.close()
        board.print_line(f"error: WASM module instantiate failed: {exc}".splitlines()[0])
        raise InvalidModule("Install WASM app failed: instantiate wasm runtime failed.") from exc
