"""/dev/gpio/N as esp-iot-solution's ext_vfs_gpio.c serves it: one byte written or read is a level. No interrupts.

Pulls do what the flags say here. That driver (2023) has them the wrong way round: GPIOC_PULLUP_EN calls
gpio_pulldown_en and GPIOC_PULLDOWN_EN gpio_pullup_en, so on such a firmware a button needs a resistor of its own.
"""

from __future__ import annotations

from microclaw.virtual.board import Board
from microclaw.virtual.filesystem import Errno, PosixError
from microclaw.virtual.nodes.node import DeviceFile, DeviceUser, take_data_seq
from microclaw.wire.board_replies import GPIO_ERROR, WRITTEN_INPUT
from microclaw.wire.wasmachine.ioctl import GpioFlag, IoctlCommand, OpenFlag


class GpioFile(DeviceFile):
    """An open pin. Closing disables it; an app that ends without closing leaves it as it is, as on the device.

    The driver of 2023 then refuses to open the pin ever again, the one before does not: here it can be opened again.
    """

    def __init__(self, board: Board, user: DeviceUser, pin: int, flags: int) -> None:
        self.pin = pin
        self._board = board
        self._user = user
        self._is_write_noted = False
        self._reads = bool(flags & OpenFlag.O_RDONLY) or not flags & OpenFlag.O_WRONLY
        self._drives = bool(flags & OpenFlag.O_WRONLY)
        # The driver marks a pin as taken by its flags, which are 0 for a read-only one (newlib's O_RDONLY).
        if self._drives and not board.claim(pin, user.name):
            raise PosixError(Errno.EBUSY)
        reserved = board.profile.pins[pin].reserved
        if reserved:
            board.print_line(f"W gpio: GPIO {pin} belongs to {reserved}", user.name)
        self._configure(GpioFlag(0))
        user.pins.add(pin)

    def write(self, data: bytes) -> int:
        if not self._drives:
            if not self._is_write_noted:
                self._is_write_noted = True
                self._board.print_line(f"{GPIO_ERROR}pin {self.pin}{WRITTEN_INPUT}")
            raise PosixError(Errno.EBADF)
        if not data:
            raise PosixError(Errno.EINVAL)
        if data[:1] == b"0":
            text = f"warning: the character '0' written to /dev/gpio/{self.pin} is high"
            self._board.print_line(text, self._user.name)
        if self._board.write_pin(self.pin, data[0]):
            self._user.time.note_act()
        return 1

    def read(self, size: int) -> bytes:
        if not self._reads:
            raise PosixError(Errno.EBADF)
        if not size:
            raise PosixError(Errno.EINVAL)
        return bytes([self._board.read_pin(self.pin)])

    def ioctl(self, command: int, va: int) -> None:
        values = take_data_seq(self._user.memory, va)
        if command != IoctlCommand.GPIOCSCFG:
            raise PosixError(Errno.EINVAL)
        self._configure(GpioFlag(values[1, 4] & 7))

    def close(self) -> None:
        self._board.configure_pin(self.pin, reads=False, drives=False)
        self.abandon()

    def abandon(self) -> None:
        if self._drives:
            self._board.release(self.pin)

    def _configure(self, flags: GpioFlag) -> None:
        pull = None
        if flags & GpioFlag.PULLUP:
            pull = 1
        elif flags & GpioFlag.PULLDOWN:
            pull = 0
        self._board.configure_pin(
            self.pin,
            reads=self._reads,
            drives=self._drives,
            pull=pull,
            open_drain=bool(flags & GpioFlag.OPENDRAIN),
            app=self._user.name,
        )
