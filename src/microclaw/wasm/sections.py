"""Leaves parts of a module out: names and notes, exports. It keeps every index, and so every instruction, as it is."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from microclaw.wasm.reader import Reader

_MAGIC_BYTES: Final = 8
_CUSTOM, _EXPORTS = 0, 7


def without_custom_sections(wasm: bytes) -> bytes:
    """The module without names and notes, which no runtime needs."""
    return wasm[:_MAGIC_BYTES] + b"".join(whole for number, _, whole in _sections(wasm) if number != _CUSTOM)


def without_exports(wasm: bytes, prefix: str) -> bytes:
    """The module without the exports whose names begin so."""
    parts = [wasm[:_MAGIC_BYTES]]
    for number, body, whole in _sections(wasm):
        if number != _EXPORTS:
            parts.append(whole)
            continue
        kept = [entry for name, entry in _exports(body) if not name.startswith(prefix)]
        content = _u32(len(kept)) + b"".join(kept)
        parts.append(bytes([_EXPORTS]) + _u32(len(content)) + content)
    return b"".join(parts)


def _sections(wasm: bytes) -> Iterator[tuple[int, bytes, bytes]]:
    """Each section's number, content, and whole bytes."""
    reader = Reader(wasm, _MAGIC_BYTES)
    while not reader.at_end:
        start = len(wasm) - reader.left
        number = reader.byte()
        size = reader.u32()
        body = reader.take(size)
        yield number, body, wasm[start : len(wasm) - reader.left]


def _exports(body: bytes) -> Iterator[tuple[str, bytes]]:
    reader = Reader(body)
    for _ in range(reader.count()):
        start = len(body) - reader.left
        name = reader.name()
        reader.byte()
        reader.u32()
        yield name, body[start : len(body) - reader.left]


def _u32(value: int) -> bytes:
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*encoded, value])
