"""An NVS partition with a few texts, as ESP-IDF reads it. It encrypts nothing, and fills one page at most.

Format: ESP-IDF documentation, "Non-Volatile Storage Library", internals, version 2: pages of 4,096 bytes, each with a
header of 32 (state, sequence number, version, CRC-32), a bitmap of 2 bits an entry, and 126 entries of 32 bytes.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Mapping
from typing import Final

from microclaw.errors import ConfigError

PAGE_BYTES: Final = 4096
MAX_NAME_BYTES: Final = 15
_ENTRIES: Final = 126
_ENTRY_BYTES: Final = 32
_ACTIVE: Final = 0xFFFFFFFE
_VERSION_2: Final = 0xFE
_NAMESPACE: Final = 0x01  # the type of an unsigned byte: the namespace's number
_TEXT: Final = 0x21
_NO_CHUNK: Final = 0xFF


def nvs_partition(values: Mapping[str, Mapping[str, str]], size: int) -> bytes:
    """`values`: namespace, key, text. Without values it is erased flash, which ESP-IDF takes for an empty NVS."""
    if size % PAGE_BYTES or size < 3 * PAGE_BYTES:
        raise ValueError(f"an NVS partition has at least three whole pages, not {size} bytes")
    entries: list[bytes] = []
    for number, (namespace, texts) in enumerate(values.items(), 1):
        entries.append(_entry(0, _NAMESPACE, 1, namespace, struct.pack("<B7s", number, b"\xff" * 7)))
        for key, text in texts.items():
            entries += _text(number, key, text)
    if not entries:
        return b"\xff" * size
    if len(entries) > _ENTRIES:
        raise ConfigError("this is more than a page of NVS holds", next_step="shorten the longest value")
    used = len(entries)
    bitmap = bytearray(b"\xff" * _ENTRY_BYTES)
    for index in range(used):
        bitmap[index // 4] &= ~(1 << (index % 4 * 2))  # 0b10: written
    body = struct.pack("<IB19s", 0, _VERSION_2, b"\xff" * 19)
    header = struct.pack("<I", _ACTIVE) + body + struct.pack("<I", _crc(body))
    return (header + bytes(bitmap) + b"".join(entries)).ljust(size, b"\xff")


def _text(namespace: int, key: str, text: str) -> list[bytes]:
    """Its header, and its bytes with the ending zero in whole entries."""
    data = text.encode() + b"\0"
    span = 1 + -(-len(data) // _ENTRY_BYTES)
    if span > _ENTRIES:
        raise ConfigError(f"{key} has {len(data) - 1} bytes, more than NVS takes", next_step="shorten it")
    head = _entry(namespace, _TEXT, span, key, struct.pack("<HHI", len(data), 0xFFFF, _crc(data)))
    whole = data.ljust((span - 1) * _ENTRY_BYTES, b"\xff")
    return [head, *(whole[at : at + _ENTRY_BYTES] for at in range(0, len(whole), _ENTRY_BYTES))]


def _entry(namespace: int, kind: int, span: int, key: str, data: bytes) -> bytes:
    name = key.encode()
    if not 0 < len(name) <= MAX_NAME_BYTES:
        raise ValueError(f"a name in NVS has 1 to {MAX_NAME_BYTES} bytes: {key!r}")
    first = struct.pack("<BBBB", namespace, kind, span, _NO_CHUNK)
    rest = struct.pack("<16s8s", name, data)
    return first + struct.pack("<I", _crc(first + rest)) + rest


def _crc(data: bytes) -> int:
    return zlib.crc32(data, 0xFFFFFFFF)
