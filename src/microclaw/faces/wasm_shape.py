"""What must not reach a device's install parser, and what its refusals mean. No IO; the full checks are in wasm/."""

from __future__ import annotations

from typing import Final

from microclaw.boards.profile import BoardProfile
from microclaw.errors import ImageTooLarge, InvalidModule
from microclaw.wire.wasmachine.answers import error_text, raise_for_status
from microclaw.wire.wasmachine.request import Response, Status

_HEADER: Final = b"\0asm\x01\0\0\0"
_MAX_LEB_BYTES: Final = 5
_REBUILD: Final = "build it again from its source: microclaw app build"


def check_sendable(wasm: bytes, board: BoardProfile) -> None:
    """Refuse images that firmware never answers and that wedge its parser: empty ones, and cut sections."""
    limit = board.firmware.max_module_bytes
    if len(wasm) > limit:
        raise ImageTooLarge(
            f"the image has {len(wasm)} bytes, {board.title} takes {limit}",
            next_step="make the program smaller: less static data, optimization Os",
        )
    if wasm[: len(_HEADER)] != _HEADER:
        raise InvalidModule(f"not a WebAssembly 1.0 module, it starts with {wasm[:8].hex(' ')!r}", next_step=_REBUILD)
    if len(wasm) == len(_HEADER):
        raise InvalidModule("an empty module: no firmware answers one", next_step=_REBUILD)
    at = len(_HEADER)
    while at < len(wasm):
        section, at = wasm[at], at + 1
        size, at = _unsigned_leb(wasm, at)
        at += size
        if at > len(wasm):
            raise InvalidModule(
                f"the image ends inside section {section}, {at - len(wasm)} bytes are missing", next_step=_REBUILD
            )


def raise_install_error(response: Response, name: str) -> None:
    """Each refusal of an install as its exception; the loader's own texts come without the manager's prefix."""
    if response.status < Status.BAD_REQUEST:
        return
    text = error_text(response) or ""
    if "allocate" in text or "memory" in text:
        raise ImageTooLarge(
            f"the device has no room for {name}: {text}",
            next_step="remove another app, ask for less heap, or use less static data",
        )
    if any(part in text for part in ("load failed", "load WASM file failed", "instantiate failed")):
        raise InvalidModule(f"the device could not load {name}: {text}", next_step=_REBUILD)
    raise_for_status(response, name)


def _unsigned_leb(data: bytes, at: int) -> tuple[int, int]:
    value = 0
    for shift in range(_MAX_LEB_BYTES):
        if at >= len(data):
            break
        byte, at = data[at], at + 1
        value |= (byte & 0x7F) << (7 * shift)
        if not byte & 0x80:
            return value, at
    raise InvalidModule(f"the image has a broken section length at byte {at}", next_step=_REBUILD)
