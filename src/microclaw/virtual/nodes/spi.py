"""/dev/spi/N with the parts on its pins, and /dev/uart/N, to which nothing is wired. Transfers take their time.

N is the SPI host or the port. Where no part answers, SPI reads zeros. As esp-iot-solution's ext_vfs_spi.c has it, a
transfer has at most 512 bytes, and the bus pulls its CS down for each of them; a UART without a driver has no ioctl,
reads of it never wait, and a write waits until the rest fits into the port's FIFO (ESP-IDF, uart_vfs.c).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from microclaw.hardware.parts.models import SpiBus
from microclaw.virtual.board import Board
from microclaw.virtual.bus_time import CONSOLE_BAUD, UART_FIFO_BYTES, spi_transfer_ms, uart_byte_ms
from microclaw.virtual.filesystem import Errno, OpenFile, PosixError
from microclaw.virtual.nodes.node import DeviceFile, DeviceUser, give, take, take_data_seq
from microclaw.wire.wasmachine.ioctl import IoctlCommand

MAX_TRANSFER_BYTES: Final = 512
MAX_CLOCK_HZ: Final = 80_000_000
_MASTER: Final = 1
_SENDS_LOWEST_FIRST: Final = 1 << 4
_PIN_KINDS: Final = {"cs": 1, "sck": 2, "mosi": 3, "miso": 4}


class SpiFile(DeviceFile):
    """An open bus; its configuration ends with close, or with the app. Host 0 opens, and cannot be configured."""

    def __init__(self, board: Board, user: DeviceUser, host: int) -> None:
        self._board = board
        self._user = user
        self._host = host
        self._configured = False
        self._clock_hz = 0
        self._bus = SpiBus(None, None)

    def ioctl(self, command: int, va: int) -> None:
        memory = self._user.memory
        values = take_data_seq(memory, va)
        match command:
            case IoctlCommand.SPIIOCSCFG:
                pins = {name: values[kind, 1] for name, kind in _PIN_KINDS.items()}
                flags = values[5, 4]
                if not flags & _MASTER:
                    # Nothing on this bench would clock a slave: it would wait forever.
                    raise PosixError(Errno.ENOTSUP)
                self._configure(pins, flags, values[6, 4])
            case IoctlCommand.SPIIOCEXCHANGE if self._configured:
                tx = values[1, 4]
                rx = values[2, 4]
                size = values[3, 4]
                data = take(memory, tx, size, MAX_TRANSFER_BYTES, Errno.EIO)
                give(memory, rx, self._exchange(data))
            case _:
                raise PosixError(Errno.EINVAL)

    def _exchange(self, data: bytes) -> bytes:
        transfer_ms = spi_transfer_ms(len(data), self._clock_hz)
        self._board.parts.expect_spi_transfer(self._bus, transfer_ms)
        self._user.time.spend(transfer_ms)
        return self._board.parts.spi_transfer(self._bus, data)

    def abandon(self) -> None:
        if self._configured:
            self._board.release(f"spi{self._host}")

    close = abandon

    def _configure(self, pins: Mapping[str, int], flags: int, clock_hz: int) -> None:
        if self._configured:
            raise PosixError(Errno.EINVAL)
        if self._host not in self._board.spi_hosts or not all(map(self._board.has_pin, pins.values())):
            raise PosixError(Errno.EIO)
        if not 0 < clock_hz <= MAX_CLOCK_HZ or not self._board.claim(f"spi{self._host}", self._user.name):
            raise PosixError(Errno.EIO)
        self._configured = True
        self._clock_hz = clock_hz
        self._bus = SpiBus(
            sck=pins["sck"],
            mosi=pins["mosi"],
            cs=pins["cs"],
            mode=flags >> 1 & 3,
            is_lowest_first=bool(flags & _SENDS_LOWEST_FIRST),
        )
        self._user.pins.update(pins.values())


class UartFile(OpenFile):
    """An open port without a driver, at the console's baud rate: what is written is lost."""

    def __init__(self, board: Board, user: DeviceUser, port: int) -> None:
        self._board = board
        self._user = user
        self._port = port

    def write(self, data: bytes) -> int:
        queue = self._board.uart_queues[self._port]
        byte_ms = uart_byte_ms(CONSOLE_BAUD)
        self._user.time.spend(queue.send(len(data), byte_ms, UART_FIFO_BYTES, self._board.clock.now_ms()))
        return len(data)

    def read(self, _size: int) -> bytes:
        raise PosixError(Errno.EAGAIN)
