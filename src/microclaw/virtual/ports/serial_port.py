"""The serial port over TCP, for tests, and as a pseudo-terminal like that of a USB cable. Parses nothing itself."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
import tty
from collections.abc import Callable
from pathlib import Path
from typing import Final

from microclaw.errors import ConfigError
from microclaw.readiness import is_readable
from microclaw.virtual.board import Board
from microclaw.virtual.link_client.socket_close import reset_connection
from microclaw.virtual.ports.serial import INCOMPLETE_LINE_S, SerialConsole, SerialLines
from microclaw.virtual.ports.sockets import READ_BYTES, ClientServer
from microclaw.wire.board_replies import LogRow

MAX_CONNECTIONS = 4


class SerialTcp(ClientServer):
    """Every connection is greeted with the boot lines: on a real cable, opening the port resets the board."""

    def __init__(self, listener: socket.socket, console: SerialConsole, board: Board) -> None:
        super().__init__(listener, "serial", MAX_CONNECTIONS, reset_connection)
        self.is_open = lambda: board.powered
        self._console = console

    def talk(self, client: socket.socket) -> None:
        client.sendall(self._console.boot_lines())
        with contextlib.suppress(ValueError):  # the power went: its descriptor is closed
            converse(client.fileno(), lambda: client.recv(READ_BYTES), client.sendall, SerialLines(self._console))


# What the ROM prints first (ESP-IDF, boot log and fatal errors); a host tells a restart by it.
_START_LINE: Final = "rst:{},boot:0x8 (SPI_FAST_FLASH_BOOT)\r\n"
_POWER_ON: Final = "0x1 (POWERON)"
_AFTER_PANIC: Final = "0xc (RTC_SW_CPU_RST)"


class SerialPty:
    """A raw pseudo-terminal whose name is the symlink `path`. Its boot lines wait in it for whoever opens it.

    It is the firmware's console, too: what programs and the firmware print comes there, line by line, without a
    program's name.
    """

    def __init__(self, path: Path, console: SerialConsole, board: Board) -> None:
        self.path = path
        self._console = console
        self._board = board
        self._sending = threading.Lock()
        self._master, self._slave = os.openpty()  # the slave end stays open: else a closing client ends the master
        tty.setraw(self._slave)
        os.set_blocking(self._master, False)
        if path.is_symlink():
            path.unlink()
        try:
            path.symlink_to(os.ttyname(self._slave))
        except OSError as exc:
            text = f"cannot name the terminal {path}: {exc.strerror}"
            raise ConfigError(text, next_step="choose another --name or --control") from exc

    def start(self) -> None:
        self._greet()
        self._board.watch_log(self.on_log)
        threading.Thread(target=self._serve, name="serial-pty", daemon=True).start()

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self.path.unlink()

    def power_cut(self) -> None:
        pass

    def power_on(self) -> None:
        self._greet()

    def on_log(self, record: LogRow) -> None:
        self._send(f"{record.text}\r\n".encode())

    def _greet(self) -> None:
        reason = _AFTER_PANIC if self._board.is_after_panic else _POWER_ON
        self._send(_START_LINE.format(reason).encode() + self._console.boot_lines())

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            converse(self._master, self._read, self._send, SerialLines(self._console))

    def _read(self) -> bytes:
        data = os.read(self._master, READ_BYTES)
        return data if self._board.powered else b"\n"

    def _send(self, data: bytes) -> None:
        """Write bytes without waiting for a reader, as a serial line does: a full buffer loses the rest."""
        with self._sending, contextlib.suppress(BlockingIOError):
            while data and self._board.powered:
                data = data[os.write(self._master, data) :]


def converse(fd: int, read: Callable[[], bytes], send: Callable[[bytes], object], lines: SerialLines) -> None:
    """Answer line after line until the other end is gone; a line without an end is answered after a second."""
    while True:
        if not is_readable(fd, INCOMPLETE_LINE_S if lines.waiting else None):
            send(lines.silence())
            continue
        data = read()
        if not data:
            return
        replies = lines.receive(data)
        if replies:
            send(replies)
