"""/dev/uart/N as ESP-IDF's uart_vfs.c serves it without a UART driver. Nothing is wired to it, so nothing comes in."""

from __future__ import annotations

from microclaw.virtual.board import Board
from microclaw.virtual.filesystem import Errno, OpenFile, PosixError
from microclaw.virtual.wiring import uart_count


class UartFile(OpenFile):
    """An open UART; `number` is the rest of its path, which must be one of the chip's exactly. There is no ioctl."""

    def __init__(self, board: Board, number: str) -> None:
        if number not in map(str, range(uart_count(board.profile.chip))):
            raise PosixError(Errno.ENOENT)

    def write(self, data: bytes) -> int:
        return len(data)

    def read(self, _size: int) -> bytes:
        raise PosixError(Errno.EAGAIN)  # reads never wait
