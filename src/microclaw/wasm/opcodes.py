"""Walks the instructions of a function body and finds the first one beyond WebAssembly 1.0; it validates no types."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from microclaw.wasm.reader import FeatureError, ModuleError, Reader

_LOCAL_TYPES: Final = frozenset((0x7F, 0x7E, 0x7D, 0x7C))
_NONE: Final = frozenset((0x00, 0x01, 0x05, 0x0B, 0x0F, 0x1A, 0x1B, *range(0x45, 0xC0)))
_BLOCK: Final = frozenset((0x02, 0x03, 0x04))
_INDEX: Final = frozenset((0x0C, 0x0D, 0x10, 0x20, 0x21, 0x22, 0x23, 0x24))
_MEMORY: Final = frozenset(range(0x28, 0x3F))
_LATER: Final = {
    **dict.fromkeys((0x06, 0x07, 0x08, 0x09, 0x0A, 0x18, 0x19, 0x1F), "exception-handling"),
    **dict.fromkeys((0x12, 0x13), "tail-call"),
    **dict.fromkeys((0x14, 0x15), "gc"),
    **dict.fromkeys((0x1C, 0x25, 0x26, 0xD0, 0xD1, 0xD2), "reference-types"),
    **dict.fromkeys(range(0xC0, 0xC5), "sign-ext"),
    0xFB: "gc",
    0xFD: "simd128",
    0xFE: "threads",
}


def check_opcodes(bodies: Iterable[bytes]) -> None:
    """Raise FeatureError for the first instruction beyond WebAssembly 1.0, ModuleError for nonsense."""
    for body in bodies:
        reader = Reader(body)
        for _ in range(reader.count()):
            reader.u32()
            if (kind := reader.byte()) not in _LOCAL_TYPES:
                raise FeatureError("simd128" if kind == 0x7B else "reference-types")
        while not reader.at_end:
            _skip_instruction(reader)
        if body[-1:] != b"\x0b":
            raise ModuleError("a function does not end with `end`")


def _skip_instruction(reader: Reader) -> None:
    opcode = reader.byte()
    if opcode in _NONE:
        return
    if opcode in _INDEX:
        reader.u32()
    elif opcode in _MEMORY:
        reader.u32()
        reader.u32()
    elif opcode == 0x41:
        reader.signed(32)
    elif opcode in _BLOCK:
        _block_type(reader)
    else:
        _skip_rare(opcode, reader)


def _block_type(reader: Reader) -> None:
    kind = reader.byte()
    if kind != 0x40 and kind not in _LOCAL_TYPES:
        raise FeatureError({0x7B: "simd128", 0x70: "reference-types", 0x6F: "reference-types"}.get(kind, "multivalue"))


def _skip_rare(opcode: int, reader: Reader) -> None:
    if opcode == 0x42:
        reader.signed(64)
    elif opcode in (0x43, 0x44):
        reader.take(4 if opcode == 0x43 else 8)
    elif opcode == 0x0E:
        for _ in range(reader.count() + 1):
            reader.u32()
    elif opcode == 0x11:
        reader.u32()
        if reader.byte() != 0:
            raise FeatureError("reference-types")
    elif opcode in (0x3F, 0x40):
        if reader.byte() != 0:
            raise FeatureError("multi-memory")
    elif opcode == 0xFC:
        sub = reader.u32()
        raise FeatureError("nontrapping-fptoint" if sub < 8 else "bulk-memory" if sub < 15 else "reference-types")
    elif opcode in _LATER:
        raise FeatureError(_LATER[opcode])
    else:
        raise ModuleError(f"unknown instruction 0x{opcode:02x}")
