"""A wasm instance's linear memory as the firmware's C code sees it, with bounds checked, and what the app has in it."""

from __future__ import annotations

import ctypes
from bisect import bisect_left, insort
from struct import Struct
from typing import TYPE_CHECKING, Final

from microclaw.wire.wasm_binary import PAGE_BYTES

if TYPE_CHECKING:
    import wasmtime  # takes 0.1 s to import

CONTROL_BYTES: Final = 160
HEADER_BYTES: Final = 8
STEP_BYTES: Final = 8
_U32 = Struct("<I")
_I64 = Struct("<q")
_F64 = Struct("<d")
_STRING_STEP = 64
_CANARY: Final = 0xA5


class WasmTrap(Exception):
    """A wasm exception raised by the firmware; the text is WAMR's, without "Exception: ".

    `where` is where in the program it happened, if the module tells.
    """

    def __init__(self, text: str, where: str | None = None) -> None:
        super().__init__(text)
        self.where = where


class ProgramExit(WasmTrap):
    """exit(): to WAMR an exception like any other."""

    def __init__(self, status: int) -> None:
        super().__init__(f"env.exit({status})")


class OutOfBounds(WasmTrap):
    def __init__(self) -> None:
        super().__init__("out of bounds memory access")


class BoardCrash(Exception):
    """The firmware itself crashed, as the app made it follow a bad pointer: the board resets."""

    def __init__(self, pointer: int) -> None:
        super().__init__(f"Guru Meditation Error: Core 0 panic'ed (LoadProhibited). EXCVADDR: {pointer:#010x}")


class LinearMemory:
    """Addresses are unsigned. The memory never moves (`memory_may_move` is off), it only grows.

    Base and size come in through `attach`; before it, and after `detach`, every access is out of bounds.
    """

    def __init__(self) -> None:
        self._base = 0
        self._size = 0
        self._store: wasmtime.Store | None = None
        self._memory: wasmtime.Memory | None = None

    def attach(self, store: wasmtime.Store, memory: wasmtime.Memory) -> None:
        """Begin to give access to an instance's memory."""
        self._store = store
        self._memory = memory
        self._size = memory.data_len(store)
        if self._size:
            self._base = ctypes.addressof(memory.data_ptr(store).contents)
        else:
            self._base = 0

    def detach(self) -> None:
        """End all access: the instance is closed."""
        self._base = 0
        self._size = 0
        self._store = None
        self._memory = None

    def check(self, address: int, size: int) -> None:
        """Raise OutOfBounds unless `size` bytes at `address` are inside."""
        if address < 0 or size < 0 or address + size > self._size:
            if self._memory is not None and self._store is not None:
                self._size = self._memory.data_len(self._store)
            if address < 0 or size < 0 or address + size > self._size:
                raise OutOfBounds

    def read(self, address: int, size: int) -> bytes:
        """Return a copy of the bytes."""
        self.check(address, size)
        return ctypes.string_at(self._base + address, size)

    def write(self, address: int, data: bytes) -> None:
        """Put the bytes there."""
        self.check(address, len(data))
        ctypes.memmove(self._base + address, data, len(data))

    def move(self, to: int, source: int, size: int) -> None:
        """Copy bytes inside the memory, as memmove does."""
        self.check(source, size)
        self.check(to, size)
        ctypes.memmove(self._base + to, self._base + source, size)

    def fill(self, address: int, value: int, size: int) -> None:
        """Set all bytes to the value, as memset does."""
        self.check(address, size)
        ctypes.memset(self._base + address, value & 0xFF, size)

    def string(self, address: int, limit: int | None = None) -> bytes:
        """Return the NUL-terminated string at `address`, or its first `limit` bytes."""
        parts = []
        step = _STRING_STEP
        if limit is not None:
            end = address + limit
        else:
            end = None
        while True:
            self.check(address, 1)
            if end is None:
                size = min(step, self._size - address)
            else:
                size = min(step, self._size - address, end - address)
            part = ctypes.string_at(self._base + address, size)
            head, nul, _ = part.partition(b"\0")
            parts.append(head)
            address += size
            if nul or address == end:
                return b"".join(parts)
            step = 4096

    def u32(self, address: int) -> int:
        """Read an unsigned number of 32 bits."""
        return int(_U32.unpack(self.read(address, 4))[0])

    def i64(self, address: int) -> int:
        """Read a signed number of 64 bits."""
        return int(_I64.unpack(self.read(address, 8))[0])

    def f64(self, address: int) -> float:
        """Read a double."""
        return float(_F64.unpack(self.read(address, 8))[0])

    def write_u32(self, address: int, value: int) -> None:
        """Write the low 32 bits of a number."""
        self.write(address, _U32.pack(value & 0xFFFFFFFF))

    def write_i64(self, address: int, value: int) -> None:
        """Write a signed number of 64 bits."""
        self.write(address, _I64.pack(value))


class StackGauge:
    """How deep an app's shadow stack went: the part of a painted area that was overwritten.

    `peak_bytes` stays 0 if the module does not tell where its stack is, or the stack is larger than a page.
    """

    def __init__(self, memory: LinearMemory) -> None:
        self.peak_bytes = 0
        self._memory = memory
        self._area: tuple[int, int] | None = None

    def paint(self, area: tuple[int, int] | None) -> None:
        """Fill the stack, from its lowest to its highest address, before anything runs."""
        if area is None:
            return
        low, top = area
        if top - low <= PAGE_BYTES:
            self._area = area
            self._memory.fill(low, _CANARY, top - low)

    def measure(self) -> None:
        """Look how much of the paint is gone."""
        if self._area is None:
            return
        low, top = self._area
        unused = self._memory.read(low, top - low - self.peak_bytes)
        if unused.count(_CANARY) < len(unused):
            self.peak_bytes += len(unused.lstrip(bytes([_CANARY])))


class Heap:
    """An app's heap, first fit. `start` is the address of its area, `size_bytes` the length."""

    def __init__(self, start: int, size_bytes: int) -> None:
        self.start = start
        self.size_bytes = size_bytes
        self.used_bytes = 0
        self.peak_bytes = 0
        first = _round_up(start + min(CONTROL_BYTES, size_bytes))
        free = max(0, start + size_bytes - first) // STEP_BYTES * STEP_BYTES
        self._free: list[tuple[int, int]] = []
        if free:
            self._free.append((first, free))
        self._blocks: dict[int, int] = {}

    def allocate(self, size: int) -> int:
        """Return the address of `size` bytes, or 0 if there is no room."""
        need = _round_up(max(size, STEP_BYTES)) + HEADER_BYTES
        for index, (address, free) in enumerate(self._free):
            if free >= need:
                if free == need:
                    del self._free[index]
                else:
                    self._free[index] = (address + need, free - need)
                self._blocks[address + HEADER_BYTES] = need
                self.used_bytes += need
                self.peak_bytes = max(self.peak_bytes, self.used_bytes)
                return address + HEADER_BYTES
        return 0

    def capacity_of(self, address: int) -> int | None:
        """Return the size in bytes of the block at `address`, or None if it is no live block."""
        block = self._blocks.get(address)
        if block is None:
            return None
        return block - HEADER_BYTES

    def free(self, address: int) -> None:
        """Give a block back, and join it with the free ones beside it. An address without a block is ignored."""
        size = self._blocks.pop(address, None)
        if size is None:
            return
        self.used_bytes -= size
        start = address - HEADER_BYTES
        at = bisect_left(self._free, (start, 0))
        if at < len(self._free) and self._free[at][0] == start + size:
            size += self._free.pop(at)[1]
        if at > 0 and sum(self._free[at - 1]) == start:
            start, before = self._free.pop(at - 1)
            size += before
        insort(self._free, (start, size))


def _round_up(value: int) -> int:
    return (value + STEP_BYTES - 1) // STEP_BYTES * STEP_BYTES
