"""The common part of every device node: its file, its errors, and the values of an ioctl read from the app's memory.

The firmware replaces the pointer of every frame by a native address, so a data_seq works only once. It does not check
pointers: a bad one crashes the board.
"""

from __future__ import annotations

import struct
from abc import ABC, abstractmethod
from typing import Final

from msgspec import Struct, field

from microclaw.virtual.filesystem import Errno, OpenFile, PosixError
from microclaw.virtual.runtime.memory import BoardCrash, LinearMemory, OutOfBounds
from microclaw.virtual.runtime.program_time import ProgramTime
from microclaw.wire.wasmachine.ioctl import DATA_SEQ_FRAME, DATA_SEQ_HEADER, DATA_SEQ_VERSION, MAX_DATA_SEQ_FRAMES

NATIVE_BASE: Final = 0x3C00_0000
"""Where linear memory would lie in the chip's address space (PSRAM)."""
_U32 = struct.Struct("<I")


class DeviceUser(Struct, frozen=True):
    """A program as the device drivers see it. `pins` are the GPIOs that it opened or drives."""

    name: str
    memory: LinearMemory
    time: ProgramTime
    pins: set[int] = field(default_factory=set)


class DeviceFile(OpenFile, ABC):
    """An open device that a program configures."""

    @abstractmethod
    def ioctl(self, command: int, va: int) -> None:
        """Carry out a command; its argument is stored at `va`. Raises PosixError."""


class DataSeq(dict[tuple[int, int], int]):
    """The values of one call by type and size, exactly; of two the first. PosixError EINVAL if there is none."""

    def __missing__(self, key: tuple[int, int]) -> int:
        raise PosixError(Errno.EINVAL)


def take_data_seq(memory: LinearMemory, va: int) -> DataSeq:
    """Read the data_seq whose address is stored at `va`, and overwrite its pointers as the device does."""
    try:
        address = memory.u32(va)
        version, capacity, used = DATA_SEQ_HEADER.unpack(memory.read(address, DATA_SEQ_HEADER.size))
    except OutOfBounds:
        raise PosixError(Errno.EINVAL) from None
    if version != DATA_SEQ_VERSION or used > capacity or used > MAX_DATA_SEQ_FRAMES:
        raise PosixError(Errno.EINVAL)
    values = DataSeq()
    for index in range(used):
        place = address + DATA_SEQ_HEADER.size + index * DATA_SEQ_FRAME.size
        kind, size, pointer = DATA_SEQ_FRAME.unpack(memory.read(place, DATA_SEQ_FRAME.size))
        try:
            values.setdefault((kind, size), int.from_bytes(memory.read(pointer, size), "little"))
        except OutOfBounds:
            raise BoardCrash(pointer) from None
        memory.write(place + 4, _U32.pack((NATIVE_BASE + pointer) & 0xFFFFFFFF))
    return values


def take(memory: LinearMemory, address: int, size: int, most: int, too_long: Errno = Errno.EINVAL) -> bytes:
    """Read the bytes that a transfer sends; PosixError for a pointer that leads out of the memory, or too many."""
    if size > most:
        raise PosixError(too_long)
    try:
        return memory.read(address, size)
    except OutOfBounds:
        raise PosixError(Errno.EINVAL) from None


def give(memory: LinearMemory, address: int, data: bytes) -> None:
    """Write the bytes that a transfer received; PosixError for a pointer that leads out of the memory."""
    try:
        memory.write(address, data)
    except OutOfBounds:
        raise PosixError(Errno.EINVAL) from None
