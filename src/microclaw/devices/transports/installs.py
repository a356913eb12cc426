"""An install over the WASMachine port: the check of its image, the errors of its answer, its mark. Sends nothing."""

from __future__ import annotations

from collections import deque
from contextlib import suppress
from typing import Final

from msgspec import DecodeError, Struct, structs
from msgspec.json import encode

from microclaw.conversion import decode_json
from microclaw.devices.transports.address import AddressLock
from microclaw.durable import replace_file
from microclaw.errors import ImageTooLarge, InvalidModule
from microclaw.hardware.boards.profile import BoardProfile
from microclaw.wire.wasm_binary import HEADER as MODULE_HEADER
from microclaw.wire.wasm_binary import ModuleError, read_sections
from microclaw.wire.wasmachine.answers import error_text, raise_for_status
from microclaw.wire.wasmachine.request import CoapCode, Response

_REBUILD: Final = "build it again from its source: microclaw app build"


def check_sendable(wasm: bytes, board: BoardProfile) -> None:
    """Raise an error for images that firmware never answers and that block its parser: empty, or with cut sections.

    Raises ImageTooLarge if the image is too large for the board, else InvalidModule.
    """
    limit = board.firmware.max_module_bytes
    if len(wasm) > limit:
        text = f"the image has {len(wasm)} bytes, {board.title} takes {limit}"
        raise ImageTooLarge(text, next_step="make the program smaller: less static data, optimization Os")
    if wasm[: len(MODULE_HEADER)] != MODULE_HEADER:
        raise InvalidModule(f"not a WebAssembly 1.0 module, it starts with {wasm[:8].hex(' ')!r}", next_step=_REBUILD)
    if len(wasm) == len(MODULE_HEADER):
        raise InvalidModule("an empty module: no firmware answers one", next_step=_REBUILD)
    try:
        deque(read_sections(wasm), maxlen=0)
    except ModuleError as exc:
        raise InvalidModule(f"the image is damaged: {exc}", next_step=_REBUILD) from exc


def raise_install_error(response: Response, name: str) -> None:
    """Raise the exception of a refused install. The loader's own texts have no prefix of the manager."""
    if response.status < CoapCode.BAD_REQUEST:
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


class InterruptedInstall(Struct, frozen=True):
    """An install whose end the device may not have received. `is_old`: an earlier process began it."""

    name: str
    frame_bytes: int
    delivered: bool = False
    is_old: bool = False


class InstallMark:
    """The file that names the install under way at an address, for the next process if this one dies.

    Written and removed under the address lock.
    """

    def __init__(self, lock: AddressLock) -> None:
        self._path = lock.path.with_suffix(".install")

    @property
    def is_there(self) -> bool:
        return self._path.exists()

    def write(self, sent: InterruptedInstall) -> None:
        # A full disk must not prevent an install.
        with suppress(OSError):
            replace_file(self._path, encode(sent), sync=False)

    def read(self) -> InterruptedInstall | None:
        """Return the install of a process that died, or None if there is none or the file is not valid."""
        try:
            install = decode_json(self._path.read_bytes(), InterruptedInstall)
            return structs.replace(install, is_old=True, delivered=False)
        except (OSError, DecodeError, UnicodeDecodeError, RecursionError):
            self.clear()
            return None

    def clear(self) -> None:
        with suppress(OSError):
            self._path.unlink(missing_ok=True)
