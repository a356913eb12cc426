"""The app heap that WAMR inserts into linear memory: where malloc takes from. Its records stay on the host's side.

Sizes follow WAMR's allocator (mem-alloc/ems): a control structure at the start of the area, a header before each block,
blocks in steps of 8 bytes, neighbouring free blocks merged. free() of an address that is no live block does nothing, as
in WAMR's release builds, where a double free or a foreign pointer only makes gc_free_vo return an ignored error.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from typing import Final

CONTROL_BYTES: Final = 160
HEADER_BYTES: Final = 8
STEP_BYTES: Final = 8


class Heap:
    """`start` is the area's address, `size_bytes` its length; addresses that it hands out lie inside."""

    def __init__(self, start: int, size_bytes: int) -> None:
        self.start = start
        self.size_bytes = size_bytes
        self.used_bytes = 0
        self.peak_bytes = 0
        first = _round_up(start + min(CONTROL_BYTES, size_bytes))
        free = max(0, start + size_bytes - first) // STEP_BYTES * STEP_BYTES
        self._free: list[tuple[int, int]] = [(first, free)] if free else []
        self._blocks: dict[int, int] = {}

    def allocate(self, size: int) -> int:
        """The address of `size` bytes, or 0 when there is no room."""
        need = _block_bytes(size)
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
        """How many bytes the block at `address` has; None when it is no live block."""
        block = self._blocks.get(address)
        return None if block is None else block - HEADER_BYTES

    def free(self, address: int) -> None:
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


def _block_bytes(size: int) -> int:
    return _round_up(max(size, STEP_BYTES)) + HEADER_BYTES


def _round_up(value: int) -> int:
    return (value + STEP_BYTES - 1) // STEP_BYTES * STEP_BYTES
