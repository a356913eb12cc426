"""The common part of every device node: its file, its errors, and the values of an ioctl read from the app's memory.

The firmware replaces the pointer of every frame by a native address, so a data_seq works only once. It does not check
pointers: a bad one crashes the board.
"""

from __future__ import annotations

from struct import Struct
from typing import Final

from microclaw.virtual.filesystem import Errno, PosixError
from microclaw.virtual.runtime.memory import BoardCrash, LinearMemory, OutOfBounds
from microclaw.wire.wasmachine.ioctl import DATA_SEQ_FRAME, DATA_SEQ_HEADER, DATA_SEQ_VERSION, MAX_DATA_SEQ_FRAMES

NATIVE_BASE: Final = 0x3C00_0000
"""Where linear memory would lie in the chip's address space (PSRAM)."""
_U32 = Struct("<I")


class DataSeq:
    """The frames of one call; a frame is found by its type and size exactly."""

    def __init__(self, frames: list[tuple[int, int, bytes]]) -> None:
        self._frames = frames

    def pop(self, frame_type: int, size: int) -> int:
        """The value of the first such frame; PosixError EINVAL when there is none."""
        for kind, length, value in self._frames:
            if (kind, length) == (frame_type, size):
                return int.from_bytes(value, "little")
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
    frames = []
    for index in range(used):
        place = address + DATA_SEQ_HEADER.size + index * DATA_SEQ_FRAME.size
        kind, size, pointer = DATA_SEQ_FRAME.unpack(memory.read(place, DATA_SEQ_FRAME.size))
        try:
            frames.append((kind, size, memory.read(pointer, size)))
        except OutOfBounds:
            raise BoardCrash(
                f"Guru Meditation Error: Core 0 panic'ed (LoadProhibited). EXCVADDR: {pointer:#010x}"
            ) from None
        memory.write(place + 4, _U32.pack((NATIVE_BASE + pointer) & 0xFFFFFFFF))
    return DataSeq(frames)


def take(memory: LinearMemory, address: int, size: int, most: int, too_long: Errno = Errno.EINVAL) -> bytes:
    """Bytes that a transfer sends; PosixError for a pointer that leads out of the memory, or too many."""
    if size > most:
        raise PosixError(too_long)
    try:
        return memory.read(address, size)
    except OutOfBounds:
        raise PosixError(Errno.EINVAL) from None


def give(memory: LinearMemory, address: int, data: bytes) -> None:
    """Bytes that a transfer received; likewise."""
    try:
        memory.write(address, data)
    except OutOfBounds:
        raise PosixError(Errno.EINVAL) from None
