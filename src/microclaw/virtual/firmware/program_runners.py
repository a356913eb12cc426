"""The two parts of the firmware that run programs, as the board's ports use them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from microclaw.virtual.board import Board
from microclaw.virtual.firmware.app_manager import AppManager
from microclaw.virtual.network.reach import Connect
from microclaw.virtual.py.programs import Programs
from microclaw.wire.wasmachine.frame import MessageType

FREE_HEAP_BYTES: Final = 280 * 1024
"""Of an idle WASMachine build; the heaps of apps are part of it."""


class ProgramRunners:
    """`wasm` is the application manager of the present boot, `py` the programs of MicroPython.

    `connect` is how C programs reach others, if they may; `send` is how the manager answers over the WASMachine port.
    """

    def __init__(self, board: Board, py: Programs, *, connect: Connect | None = None) -> None:
        self.board = board
        self.py = py
        self.send: Callable[[MessageType, bytes], None] = lambda _type, _payload: None
        self._connect = connect
        self.wasm = self._new_manager()

    def free_heap_bytes(self) -> int:
        """Return the bytes of heap that no app has."""
        return max(0, FREE_HEAP_BYTES - sum(app.heap_bytes for app in self.wasm.apps))

    def power_cut(self) -> None:
        """End all programs at once."""
        self.wasm.close()
        self.py.power_cut()

    def renew(self) -> None:
        """Make the application manager of the next boot."""
        self.wasm = self._new_manager()

    def _new_manager(self) -> AppManager:
        return AppManager(self.board, lambda kind, payload: self.send(kind, payload), connect=self._connect)
