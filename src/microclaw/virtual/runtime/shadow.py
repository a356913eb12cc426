"""Which bytes of a checked build's memory may be used, and what a fault is called. Only builds for trials have it.

The build keeps a shadow byte for each 8 bytes (wasm/headers/checked/memory.c) and looks at it before each load and
store; for the firmware's natives that is done here. Formats: LLVM's AddressSanitizer.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from struct import unpack
from typing import Final

from microclaw.virtual.runtime.memory import Heap, LinearMemory, WasmTrap
from microclaw.wire.board_replies import MEMORY_FAULT, STACK_FULL

SHADOW_BYTES: Final = 65_536
# wasmtime takes names of one letter for C++'s short names of types, and spells those out.
_LETTERS: Final = {
    **{
        "signed char": "a",
        "bool": "b",
        "char": "c",
        "double": "d",
        "long double": "e",
        "float": "f",
        "__float128": "g",
    },
    **{"unsigned char": "h", "int": "i", "unsigned int": "j", "long": "l", "unsigned long": "m", "__int128": "n"},
    **{"unsigned __int128": "o", "short": "s", "unsigned short": "t", "void": "v", "wchar_t": "w", "long long": "x"},
    **{"unsigned long long": "y", "...": "z"},
}
MAX_MEMORY_BYTES: Final = 1 << 20
"""Of a checked build, whatever the board has: its heap and stack are larger than the program's own."""
_GRANULE: Final = 8
_REPEATED: Final = 5  # of 20 calls that wasmtime tells: so often it is a recursion
_GAP_BYTES: Final = 32
_MAX_FRAME_BYTES: Final = 65_536
_STACK, _NULL, _HEAP, _FREED, _GLOBAL = 0xF1, 0xEE, 0xFA, 0xFD, 0xF9
_IN_STACK: Final = frozenset((0xF1, 0xF2, 0xF3, 0xF5, 0xF8))
_OUT_OF_SCOPE: Final = 0xF8
_FRAME_MAGIC: Final = 0x41B58AB3
_GLOBAL_WORDS: Final = 8
_VARIABLE: Final = re.compile(r"(\d+) (\d+) (\d+) ")
_OURS: Final = ("/wasm/headers/", "/libcxx/include/")
_CHECKS: Final = "/wasm/headers/checked/"
_FRAME: Final = re.compile(r"^ +(?:\d+: +0x[0-9a-f]+)? *- (.+)\n(?: +at (.+):(\d+):\d+)?", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Frame:
    """One call under way: the function and, in a file of the program's own, the line."""

    function: str
    line: int | None


def read_frames(backtrace: str) -> tuple[Frame, ...]:
    """The calls of wasmtime's text of a trap, the innermost first."""
    found = _FRAME.findall(backtrace)
    return tuple(
        Frame(_plain(name), int(line) if line and not any(ours in file for ours in _OURS) else None)
        for name, file, line in found
        if _CHECKS not in file
    )


def _plain(name: str) -> str:
    name = name.rpartition("!")[2].partition("(")[0]
    if "operator" not in name:  # of a template its result is told as well: unsigned long Print::println<char const*>
        name = name.partition("<")[0].rpartition(" ")[2]
    name = name.removeprefix("microclaw_").removeprefix("native_")
    name = _LETTERS.get(name, name)
    return "main" if name in ("__original_main", "__main_void", "__main_argc_argv") else name


def call_place(frames: tuple[Frame, ...]) -> str | None:
    """ "line 12, in main", of the innermost call in the program's own text; None where there is none."""
    own = next((frame for frame in frames if frame.line is not None), None)
    return f"line {own.line}, in {own.function}" if own else None


def stack_overflow(frames: tuple[Frame, ...]) -> str | None:
    """Who filled the stack, by the calls under way."""
    own = [frame for frame in frames if frame.line is not None]
    if not own:
        return None
    names = [frame.function for frame in own]
    often = max(names, key=names.count)
    if names.count(often) >= _REPEATED:
        line = next(frame.line for frame in own if frame.function == often)
        through = sorted(name for name in set(names) if name != often and names.count(name) >= _REPEATED)
        by = f" through {', '.join(through)}" if through else ""
        return f"{STACK_FULL}{often} calls itself{by} too deep for the stack (line {line})"
    chain = ", called by ".join(f"{frame.function} (line {frame.line})" for frame in own[:4])
    return f"{STACK_FULL}it has no room for the local variables of {chain}"


@dataclass(slots=True)
class _Block:
    size: int
    twin: int  # its address in a heap of the size that the app has
    freed_at: int | None = None
    is_free: bool = False


class MemoryFault(WasmTrap):
    """The text says where and what."""

    def __init__(self, text: str) -> None:
        super().__init__(f"{MEMORY_FAULT}{text}")


class Shadow:
    """The shadow of one instance, at `base` in its memory. `here` tells the calls under way."""

    def __init__(self, memory: LinearMemory, base: int, here: Callable[[], tuple[Frame, ...]]) -> None:
        self._memory = memory
        self._base = base
        self._here = here
        self._globals: list[tuple[int, int, str]] = []
        self.heap: CheckedHeap | None = None
        self.native: str | None = None  # the native function that is under way
        self._mark(0, _GRANULE, _NULL)

    def allow(self, address: int, size: int) -> None:
        """These bytes may be used, and of their last 8 only these."""
        whole = size // _GRANULE * _GRANULE
        self._mark(address, whole, 0)
        if size > whole:
            self._mark(address + whole, 1, size - whole)

    def forbid(self, address: int, size: int, *, freed: bool = False) -> None:
        self._mark(address, size, _FREED if freed else _HEAP)

    def add_globals(self, table: int, count: int) -> None:
        """Variables with static storage: 32-bit address, size, size with the gap behind, name."""
        for at in range(table, table + count * 4 * _GLOBAL_WORDS, 4 * _GLOBAL_WORDS):
            address, size, with_gap, name = unpack("<4I", self._memory.peek(at, 16))
            self._mark(address, with_gap, _GLOBAL)
            self.allow(address, size)
            self._globals.append((address, size, self._memory.peek_string(name).decode(errors="replace")))

    def check(self, address: int, size: int, *, writes: bool) -> None:
        """WasmTrap if the program must not use one of these bytes."""
        first, last = address // _GRANULE, (address + size - 1) // _GRANULE
        if not size or last >= SHADOW_BYTES:
            return
        bad = self._first_bad(address, size, self._memory.peek(self._base + first, last - first + 1))
        if bad is not None:
            self.report(address, size, writes=writes)

    def _first_bad(self, address: int, size: int, marks: bytes) -> int | None:
        if not marks.strip(b"\0"):
            return None
        start, end = address // _GRANULE * _GRANULE, address + size
        for number, mark in enumerate(marks):
            low = start + number * _GRANULE
            if mark and min(end, low + _GRANULE) - low > (mark if mark < _GRANULE else 0):
                return max(address, low + (mark if mark < _GRANULE else 0))
        return None

    def report(self, address: int, size: int, *, writes: bool) -> None:
        """Raise the fault, unless nothing of the program's own text is under way."""
        frames = self._here()
        own = next((number for number, frame in enumerate(frames) if frame.line is not None), None)
        if own is None:
            return
        by = frames[own - 1].function if own else self.native
        first, last = address // _GRANULE, (address + max(size, 1) - 1) // _GRANULE
        marks = self._memory.peek(self._base + first, last - first + 1)
        bad = self._first_bad(address, max(size, 1), marks)
        what = self._object(address, bad if bad is not None else address, size, "writes" if writes else "reads")
        who = f"{by} in {frames[own].function}" if by else frames[own].function
        raise MemoryFault(f"line {frames[own].line}: {who} {what}")

    def refuse_free(self, name: str, what: str) -> None:
        """Raise the fault of freeing what cannot be freed."""
        own = next((frame for frame in self._here() if frame.line is not None), None)
        if own is not None:
            raise MemoryFault(f"line {own.line}: {name} in {own.function}, but {what}")

    def line(self) -> int | None:
        """The line of the program that is under way."""
        return next((frame.line for frame in self._here() if frame.line is not None), None)

    def _object(self, address: int, bad: int, size: int, verb: str) -> str:
        mark = self._memory.peek(self._base + bad // _GRANULE, 1)[0]
        if mark < _GRANULE and (bad // _GRANULE + 1) < SHADOW_BYTES:
            mark = self._memory.peek(self._base + bad // _GRANULE + 1, 1)[0] or mark
        if bad < _GRANULE:
            return f"{verb} through a null pointer"
        if mark == _OUT_OF_SCOPE:
            return f"{verb} {self._stack_variable(bad) or 'a variable'} after its block ended"
        found: tuple[int, int, str] | None = None
        if self.heap is not None and self.heap.holds(bad):
            found, freed = self.heap.block_at(bad)
            if found is not None and freed is not None:
                return f"{verb} a block of {found[1]} bytes after {freed}"
        elif mark in _IN_STACK:
            found = self._frame_variable(bad)
        if found is None:
            found = min(self._globals, key=lambda one: _distance(bad, one[0], one[1]), default=None)
        if found is None:
            return f"{verb} where nothing is"
        start, length, name = found
        if address == start:
            return f"{verb} {_bytes(size)}, {name} has {length}"
        if start < address < start + length:
            return f"{verb} {_bytes(size)} from byte {address - start} on, {name} has {length}"
        past = address - start - length
        place = f"{_bytes(past)} behind the end" if past > 0 else "behind the end"
        if past < 0:
            place = f"{_bytes(start - address)} before the begin"
        return f"{verb} {place} of {name}, which has {_bytes(length)}"

    def _stack_variable(self, at: int) -> str | None:
        found = self._frame_variable(at)
        return found[2] if found else None

    def _frame_variable(self, at: int) -> tuple[int, int, str] | None:
        """The variable of a frame that is nearest to `at`: the frame's begin lies below, with its description."""
        base = at // _GRANULE * _GRANULE
        lowest = max(_GRANULE, base - _MAX_FRAME_BYTES)
        while base > lowest:
            magic, text = unpack("<2I", self._memory.peek(base, 8))
            if magic == _FRAME_MAGIC and self._memory.peek(self._base + base // _GRANULE, 1)[0] == _STACK:
                break
            base -= _GRANULE
        else:
            return None
        described = self._memory.peek_string(text).decode(errors="replace")
        variables = []
        position = described.find(" ") + 1
        while (found := _VARIABLE.match(described, position)) is not None:
            offset, size, length = map(int, found.groups())
            name = described[found.end() : found.end() + length]
            variables.append((base + offset, size, name.partition(":")[0]))
            position = found.end() + length + 1
        return min(variables, key=lambda one: _distance(at, one[0], one[1]), default=None)

    def _mark(self, address: int, size: int, value: int) -> None:
        first = address // _GRANULE
        count = min(-(-(address + size) // _GRANULE), SHADOW_BYTES) - first
        if count > 0:
            self._memory.poke(self._base + first, bytes([value]) * count)


def _bytes(count: int) -> str:
    return f"{count} byte{'' if count == 1 else 's'}"


def _distance(at: int, start: int, size: int) -> int:
    return start - at if at < start else max(0, at - (start + size) + 1)


class CheckedHeap(Heap):
    """A heap with gaps between the blocks, where freed ones stay unused as long as there is room.

    What fits and what is in use is told by a heap of the size that the app has.
    """

    def __init__(self, start: int, area_bytes: int, heap_bytes: int) -> None:
        super().__init__(start, area_bytes)
        self._area = (start, start + area_bytes)
        self._twin = Heap(start, heap_bytes)
        self._known: dict[int, _Block] = {}
        self._freed: deque[int] = deque()
        self._shadow: Shadow | None = None

    def attach(self, shadow: Shadow) -> None:
        self._shadow, shadow.heap = shadow, self
        shadow.forbid(self._area[0], self._area[1] - self._area[0])

    def holds(self, address: int) -> bool:
        return self._area[0] <= address < self._area[1]

    def allocate(self, size: int) -> int:
        twin = self._twin.allocate(size)
        if not twin:
            return 0
        self.used_bytes, self.peak_bytes = self._twin.used_bytes, self._twin.peak_bytes
        outer = super().allocate(size + 2 * _GAP_BYTES)
        while not outer and self._freed:
            oldest = self._freed.popleft()
            del self._known[oldest]
            super().free(oldest - _GAP_BYTES)
            outer = super().allocate(size + 2 * _GAP_BYTES)
        self.used_bytes, self.peak_bytes = self._twin.used_bytes, self._twin.peak_bytes
        if not outer:
            self._twin.free(twin)
            return 0
        address = outer + _GAP_BYTES
        self._known[address] = _Block(size, twin)
        if self._shadow is not None:
            self._shadow.allow(address, size)
        return address

    def capacity_of(self, address: int) -> int | None:
        block = self._known.get(address)
        if block is None or block.is_free:
            self._refuse("realloc", block)
            return None
        return block.size

    def free(self, address: int) -> None:
        block = self._known.get(address)
        if not address:
            return
        if block is None or block.is_free:
            self._refuse("free", block)
            return
        block.is_free = True
        self._twin.free(block.twin)
        self.used_bytes = self._twin.used_bytes
        self._freed.append(address)
        if self._shadow is not None:
            block.freed_at = self._shadow.line()
            self._shadow.forbid(address, max(block.size, 1), freed=True)

    def _refuse(self, name: str, block: _Block | None) -> None:
        if self._shadow is not None:
            what = f"{_freed(block)} already" if block else "the pointer is not the begin of a block that malloc gave"
            self._shadow.refuse_free(name, f"the block was {what}" if block else what)

    def block_at(self, address: int) -> tuple[tuple[int, int, str] | None, str | None]:
        """The block nearest to an address, and where it was freed."""
        near = min(self._known, key=lambda one: _distance(address, one, self._known[one].size), default=None)
        if near is None:
            return None, None
        block = self._known[near]
        return (near, block.size, "the block"), f"it was {_freed(block)}" if block.is_free else None


def _freed(block: _Block) -> str:
    return f"freed in line {block.freed_at}" if block.freed_at else "freed"
