"""An installation over the WASMachine port: what may be sent, and what a refusal means. Sends nothing."""

from __future__ import annotations

from collections import deque
from typing import Final

from microclaw.boards.profile import BoardProfile
from microclaw.errors import ImageTooLarge, InvalidModule
from microclaw.wire.wasm_binary import HEADER as MODULE_HEADER
from microclaw.wire.wasm_binary import ModuleError, read_sections
from microclaw.wire.wasmachine.answers import error_text, raise_for_status
from microclaw.wire.wasmachine.request import Response, Status

_REBUILD: Final = "build it again from its source: microclaw app build"


def check_sendable(wasm: bytes, board: BoardProfile) -> None:
    """Refuse images that firmware never answers and that wedge its parser: empty ones, and cut sections."""
    limit = board.firmware.max_module_bytes
    if len(wasm) > limit:
        raise ImageTooLarge(
            f"the image has {len(wasm)} bytes, {board.title} takes {limit}",
            next_step="make the program smaller: less static data, optimization Os",
        )
    if wasm[: len(MODULE_HEADER)] != MODULE_HEADER:
        raise InvalidModule(f"not a WebAssembly 1.0 module, it starts with {wasm[:8].hex(' ')!r}", next_step=_REBUILD)
    if len(wasm) == len(MODULE_HEADER):
        raise InvalidModule("an empty module: no firmware answers one", next_step=_REBUILD)
    try:
        deque(read_sections(wasm), maxlen=0)
    except ModuleError as exc:
        raise InvalidModule(f"the image is damaged: {exc}", next_step=_REBUILD) from exc


def raise_install_error(response: Response, name: str) -> None:
    """Each refusal of an install as its exception; the loader's own texts come without the manager's prefix."""
    if response.status < Status.BAD_REQUEST:
        return
    text = error_text(response) or ""
    if "allocate" in text or "memory" in text:
        raise ImageTooLarge(
            f"the device has no room for {name}: {text}",
            next_step="remove another app, ask for less heap, or use less static data",
            foreign=True,
        )
    if any(part in text for part in ("load failed", "load WASM file failed", "instantiate failed")):
        raise InvalidModule(f"the device could not load {name}: {text}", next_step=_REBUILD, foreign=True)
    raise_for_status(response, name)
