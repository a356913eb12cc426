"""/dev/i2c/0 as the firmware serves it: transfers with the sensors on the board's bus, which take the bus's time.

ext_vfs_i2c.c ends each transfer with a stop, both of an exchange too. A second configuration sets pins and clock and
then fails, as the driver is installed already: to change the clock a program closes the node and opens it again.
"""

from __future__ import annotations

from typing import Final

from microclaw.virtual.board import Board
from microclaw.virtual.bus_time import i2c_transfer_ms
from microclaw.virtual.filesystem import Errno, PosixError
from microclaw.virtual.nodes.node import DataSeq, DeviceFile, DeviceUser, give, take, take_data_seq
from microclaw.virtual.part_bus import PartBus
from microclaw.wire.wasmachine.ioctl import I2cConfigFlag, I2cExchangeFlag, I2cMessageFlag, IoctlCommand

MAX_TRANSFER_BYTES: Final = 1024
MAX_CLOCK_HZ: Final = 1_000_000


class I2cFile(DeviceFile):
    """The open bus. No part answers before I2CIOCSCFG with master mode and the pins that it is wired to."""

    def __init__(self, board: Board, user: DeviceUser) -> None:
        self._board = board
        self._user = user
        self._bus: PartBus | None = None  # None: not configured
        self._clock_hz = 0

    def ioctl(self, command: int, va: int) -> None:
        values = take_data_seq(self._user.memory, va)
        if self._bus is None and command != IoctlCommand.I2CIOCSCFG:
            raise PosixError(Errno.EINVAL)
        match command:
            case IoctlCommand.I2CIOCSCFG:
                self._configure(values)
            case IoctlCommand.I2CIOCRDWR:
                self._message(values)
            case IoctlCommand.I2CIOCEXCHANGE:
                self._exchange(values)
            case _:
                raise PosixError(Errno.EINVAL)

    def _configure(self, values: DataSeq) -> None:
        sda = values[1, 2]
        scl = values[2, 2]
        flags = values[3, 4]
        if not flags & I2cConfigFlag.MASTER:
            # EINVAL if they are missing. Nothing on this board would talk to a slave.
            _ = values[5, 4], values[6, 2]
            raise PosixError(Errno.ENOTSUP)
        clock_hz = values[4, 4]
        has_pins = self._board.has_pin(sda) and self._board.has_pin(scl)
        if not has_pins or sda == scl or not 0 < clock_hz <= MAX_CLOCK_HZ:
            raise PosixError(Errno.EINVAL)
        is_installed = self._bus is not None
        self._bus = PartBus(self._board, (sda, scl))
        self._clock_hz = clock_hz
        self._user.pins.update((sda, scl))
        if is_installed:
            raise PosixError(Errno.EIO)

    def _message(self, values: DataSeq) -> None:
        memory = self._user.memory
        flags = values[1, 2]
        address = values[2, 2]
        size = values[4, 4]
        buffer = values[3, 4]
        if flags & I2cMessageFlag.WRITE:
            self._send(address, take(memory, buffer, size, MAX_TRANSFER_BYTES), flags & I2cMessageFlag.CHECK_ACK)
        else:
            give(memory, buffer, self._receive(address, size))

    def _exchange(self, values: DataSeq) -> None:
        memory = self._user.memory
        flags = values[1, 2]
        address = values[2, 2]
        delay_ms = values[3, 4]
        tx, tx_size, rx, rx_size = (values[kind, 4] for kind in (4, 5, 6, 7))
        data = take(memory, tx, tx_size, MAX_TRANSFER_BYTES)
        if flags & I2cExchangeFlag.READ_FIRST:
            give(memory, rx, self._receive(address, rx_size))
        else:
            self._send(address, data, flags & I2cExchangeFlag.CHECK_ACK)
        if flags & I2cExchangeFlag.DELAY and delay_ms:
            self._user.time.sleep(delay_ms)
        if flags & I2cExchangeFlag.READ_FIRST:
            self._send(address, data, flags & I2cExchangeFlag.CHECK_ACK)
        else:
            give(memory, rx, self._receive(address, rx_size))

    def _send(self, address: int, data: bytes, check_ack: int) -> None:
        # Without check_ack the driver clocks the bytes out whether someone listens or not.
        bus = self._configured_bus()
        has_listener = bus.has_device(address)
        if not has_listener and check_ack:
            # A scan of the bus sends no data.
            if data:
                self._note_absent(address)
            self._spend(0)
            raise PosixError(Errno.EIO)
        bus.expect_transfer(address, i2c_transfer_ms(len(data), self._clock_hz))
        self._spend(len(data))
        if has_listener:
            bus.write(address, data)

    def _receive(self, address: int, size: int) -> bytes:
        if size > MAX_TRANSFER_BYTES:
            raise PosixError(Errno.EINVAL)
        bus = self._configured_bus()
        if not bus.has_device(address):
            self._note_absent(address)
            self._spend(0)
            raise PosixError(Errno.EIO)
        self._spend(size)
        data = bus.read(address, size)
        if data is None:
            raise PosixError(Errno.EIO)
        return data

    def _configured_bus(self) -> PartBus:
        assert self._bus is not None
        return self._bus

    def _note_absent(self, address: int) -> None:
        self._board.note_absent(f"I2C device at 0x{address:02x}")

    def _spend(self, byte_count: int) -> None:
        """Let the time of a transfer pass; an address without a device is all that is sent of one."""
        self._user.time.spend(i2c_transfer_ms(byte_count, self._clock_hz))
