"""WebAssembly's binary encodings: LEB128, names, counts, sections (core specification 1.0, chapter 5), within bounds.

What a section holds is read in programs/wasm/inspect.py (the host) and virtual/runtime/module.py (the virtual board).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

HEADER: Final = b"\0asm\x01\0\0\0"
PAGE_BYTES: Final = 65_536


class ModuleError(Exception):
    """The bytes are no well-formed module of WebAssembly 1.0."""


class Reader:
    """Reads forward over `data[position:end]`; every read past the end raises ModuleError."""

    __slots__ = ("_data", "_end", "position")

    def __init__(self, data: bytes, position: int = 0, end: int | None = None) -> None:
        self._data = data
        self.position = position
        if end is None:
            self._end = len(data)
        else:
            self._end = end

    @property
    def at_end(self) -> bool:
        return self.position == self._end

    @property
    def left(self) -> int:
        return self._end - self.position

    def byte(self) -> int:
        if self.position >= self._end:
            raise ModuleError("it ends in the middle of a value")
        self.position += 1
        return self._data[self.position - 1]

    def take(self, count: int) -> bytes:
        if count > self.left:
            raise ModuleError(f"it claims {count} bytes where {self.left} are left")
        self.position += count
        return self._data[self.position - count : self.position]

    def sub_reader(self, count: int) -> Reader:
        """Return a reader over the next `count` bytes, which this one skips."""
        if count > self.left:
            raise ModuleError(f"a section claims {count} bytes where {self.left} are left")
        self.position += count
        return Reader(self._data, self.position - count, self.position)

    def u32(self) -> int:
        """Read an unsigned LEB128 of at most 32 bits."""
        value, _ = self._leb128(32)
        if value >> 32:
            raise ModuleError("a number has more than 32 bits")
        return value

    def signed(self, bits: int) -> int:
        """Read a signed LEB128 of at most `bits` bits."""
        value, width = self._leb128(bits)
        if value >> (width - 1):
            return value - (1 << width)
        return value

    def _leb128(self, bits: int) -> tuple[int, int]:
        """Read the value, and how many bits its bytes have."""
        value = width = 0
        while True:
            byte = self.byte()
            value |= (byte & 0x7F) << width
            width += 7
            if byte < 0x80:
                return value, width
            if width >= bits:
                raise ModuleError(f"a number has more than {bits} bits")

    def count(self) -> int:
        """Read the length of a vector, each element of which takes at least one byte."""
        count = self.u32()
        if count > self.left:
            raise ModuleError(f"a list claims {count} elements where {self.left} bytes are left")
        return count

    def name(self) -> str:
        data = self.take(self.u32())
        try:
            return data.decode()
        except UnicodeDecodeError as exc:
            raise ModuleError("a name is not UTF-8") from exc


def read_sections(wasm: bytes) -> Iterator[tuple[int, bytes, bytes]]:
    """Each section's number, content, and whole bytes; ModuleError when one is cut short."""
    reader = Reader(wasm, len(HEADER))
    while not reader.at_end:
        start = reader.position
        number = reader.byte()
        body = reader.take(reader.u32())
        yield number, body, wasm[start : reader.position]


def write_section(number: int, content: bytes) -> bytes:
    return bytes([number]) + write_u32(len(content)) + content


def write_u32(value: int) -> bytes:
    """Unsigned LEB128."""
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*encoded, value])


def write_i32(value: int) -> bytes:
    """Signed LEB128."""
    encoded = bytearray()
    while not -64 <= value < 64:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*encoded, value & 0x7F])
