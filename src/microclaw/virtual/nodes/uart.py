"""/dev/uart/N as ESP-IDF's uart_vfs.c serves it without a UART driver: reads never wait. Simulates no baud rate.

A read ends behind a line end, and answers -1 when nothing is there. Line ends are converted with the defaults of a
build: what is written as \\n goes out as \\r\\n (CONFIG_NEWLIB_STDOUT_LINE_ENDING_CRLF), \\r comes in as \\n
(CONFIG_NEWLIB_STDIN_LINE_ENDING_CR).
"""

from __future__ import annotations

from typing import Final

from microclaw.virtual.board import Board
from microclaw.virtual.nodes.node import Errno, OpenFile, PosixError

_LINE_ENDS: Final = b"\r\n"


class UartFile(OpenFile):
    """An open UART; `number` is the rest of its path, which must be one of the chip's exactly. There is no ioctl."""

    def __init__(self, board: Board, number: str) -> None:
        if number not in map(str, range(board.uarts.count)):
            raise PosixError(Errno.ENOENT)
        self._uarts = board.uarts
        self._port = int(number)

    def write(self, data: bytes) -> int:
        self._uarts.send(self._port, data.replace(b"\n", b"\r\n"))
        return len(data)

    def read(self, size: int) -> bytes:
        data = self._uarts.take(self._port, size, until=_LINE_ENDS)
        if not data:
            raise PosixError(Errno.EAGAIN)
        return data.replace(b"\r", b"\n")
