"""Writes a static library that wasm-ld reads: members with an index of what they define. It compiles nothing.

Format: System V ar as LLVM writes it. wasm-ld before 15 knows no --start-lib, and one file opens quicker than ninety.
"""

from __future__ import annotations

from collections.abc import Mapping
from struct import pack
from typing import Final

from microclaw.wasm.symbols import read_symbols

_MAGIC: Final = b"!<arch>\n"
_HEADER_BYTES: Final = 60
_MAX_NAME: Final = 15


def write_archive(members: Mapping[str, bytes]) -> bytes:
    """The library; equal members give equal bytes. Names are cut to what the format holds, and serve messages only."""
    index: list[tuple[str, str]] = [
        (symbol, member) for member, data in members.items() for symbol in sorted(read_symbols(data).visible)
    ]
    names = b"".join(symbol.encode() + b"\0" for symbol, _ in index)
    index_bytes = 4 + 4 * len(index) + len(names)
    offsets: dict[str, int] = {}
    position = len(_MAGIC) + _HEADER_BYTES + index_bytes + index_bytes % 2
    for member, data in members.items():
        offsets[member] = position
        position += _HEADER_BYTES + len(data) + len(data) % 2
    table = pack(f">{len(index) + 1}I", len(index), *(offsets[member] for _, member in index)) + names
    parts = [_MAGIC, _member("", table)]
    parts.extend(_member(name[:_MAX_NAME], data) for name, data in members.items())
    return b"".join(parts)


def _member(name: str, data: bytes) -> bytes:
    head = f"{name + '/':<16}{0:<12}{0:<6}{0:<6}{'644':<8}{len(data):<10}`\n"
    return head.encode() + data + b"\n" * (len(data) % 2)
