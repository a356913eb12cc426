"""/dev/spi/N as esp-iot-solution's ext_vfs_spi.c serves it, N being the SPI host. Simulates no clock, only bytes.

What a program meets there: the number of bytes that a slave exchange moved never comes back (the firmware's macro
writes it to the wrong place); a transfer has at most 512 bytes; closing a bus that was not configured is an error; and
a configuration that failed after its bus was set up keeps the bus until a reset.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from microclaw.virtual.board import Board
from microclaw.virtual.filesystem import Errno, OpenFile, PosixError
from microclaw.virtual.nodes.node import DataSeq, give, take, take_data_seq
from microclaw.wire.wasmachine.ioctl import IoctlCommand

if TYPE_CHECKING:
    from microclaw.virtual.runtime.app import App

MAX_TRANSFER_BYTES: Final = 512
MAX_CLOCK_HZ: Final = 80_000_000
_MASTER: Final = 1


def host_exists(board: Board, number: int) -> bool:
    """True if /dev/spi/N opens; host 0 does, and cannot be configured."""
    return 0 <= number <= max(board.spi_hosts)


class SpiFile(OpenFile):
    """An open bus; its configuration ends with close, or with the app."""

    def __init__(self, board: Board, host: int) -> None:
        self._board = board
        self._host = host
        self._configured = False

    def ioctl(self, app: App, command: int, va: int) -> None:
        values = take_data_seq(app.memory, va)
        match command:
            case IoctlCommand.SPIIOCSCFG:
                self._configure(app, values)
            case IoctlCommand.SPIIOCEXCHANGE:
                self._exchange(app, values)
            case _:
                raise PosixError(Errno.EINVAL)

    def close(self) -> None:
        if not self._configured:
            raise PosixError(Errno.EIO)
        self.abandon()

    def abandon(self) -> None:
        if self._configured:
            self._board.release(f"spi{self._host}")
        self._configured = False

    def _configure(self, app: App, values: DataSeq) -> None:
        pins = [values.pop(kind, 1) for kind in (1, 2, 3, 4)]
        flags = values.pop(5, 4)
        if not flags & _MASTER:
            raise PosixError(Errno.ENOTSUP)  # nothing on this bench would clock a slave: it would wait forever
        clock_hz = values.pop(6, 4)
        if self._configured:
            raise PosixError(Errno.EINVAL)
        if self._host not in self._board.spi_hosts or not all(map(self._board.has_pin, pins)):
            raise PosixError(Errno.EIO)
        if not self._board.claim(f"spi{self._host}", app.name) or not 0 < clock_hz <= MAX_CLOCK_HZ:
            raise PosixError(Errno.EIO)
        self._configured = True
        app.pins.update(pins)

    def _exchange(self, app: App, values: DataSeq) -> None:
        tx, rx, size = values.pop(1, 4), values.pop(2, 4), values.pop(3, 4)
        if not self._configured:
            raise PosixError(Errno.EINVAL)
        take(app.memory, tx, size, MAX_TRANSFER_BYTES, Errno.EIO)
        give(app.memory, rx, bytes(size))
