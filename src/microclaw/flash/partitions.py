"""Partition tables: read, made, and the layouts of other firmwares. It writes to no board.

Format: ESP-IDF documentation, "Partition Tables": entries of 32 bytes (magic, type, subtype, offset, size, label,
flags), then a row with the MD5 of all before it, then 0xFF.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

TABLE_AT: Final = 0x8000
TABLE_BYTES: Final = 0xC00
SECTOR: Final = 0x1000
APP: Final = 0
DATA: Final = 1
NVS: Final = 0x02
OTADATA: Final = 0x00
ENTRY_MAGIC: Final = b"\xaa\x50"
MD5_MAGIC: Final = b"\xeb\xeb"
_MB: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class Partition:
    """`offset` and `size` in bytes of the flash."""

    label: str
    kind: int
    subtype: int
    offset: int
    size: int

    @property
    def end(self) -> int:
        return self.offset + self.size


@dataclass(frozen=True, slots=True)
class Layout:
    """`project`: what such a program calls itself; `needed`: partitions without whose contents it does not start."""

    project: str
    partitions: tuple[Partition, ...]
    needed: tuple[str, ...]

    def named(self, label: str) -> Partition:
        return next(partition for partition in self.partitions if partition.label == label)

    @property
    def app(self) -> Partition:
        """Where the program goes: the first place that the bootloader looks at."""
        return next(partition for partition in self.partitions if partition.kind == APP)

    @property
    def end(self) -> int:
        return max(partition.end for partition in self.partitions)


def _layout(project: str, needed: str, *rest: tuple[str, int, int, int, int]) -> Layout:
    """The head is the same in all of them."""
    head = (
        ("nvs", DATA, NVS, 0x9000, 0x4000),
        ("otadata", DATA, OTADATA, 0xD000, 0x2000),
        ("phy_init", DATA, 0x01, 0xF000, 0x1000),
    )
    return Layout(project, tuple(Partition(*row) for row in (*head, *rest)), (needed,))


_SPIFFS: Final = 0x82  # the subtype that both give to their files, whatever the file system is
_OTA_0: Final = 0x10

# espressif/esp-wasmachine examples/wasmachine/partitions.*.csv; 78/xiaozhi-esp32 partitions/v2/*.csv (from version 2)
LAYOUTS: Final[dict[str, dict[int, Layout]]] = {
    "wasmachine": {
        4: _layout(
            "wasmachine",
            "storage",
            ("ota_0", APP, _OTA_0, 0x10000, 0x300000),
            ("storage", DATA, _SPIFFS, 0x310000, 0xF0000),
        ),
        8: _layout(
            "wasmachine",
            "storage",
            ("ota_0", APP, _OTA_0, 0x10000, 0x300000),
            ("ota_1", APP, _OTA_0 + 1, 0x310000, 0x300000),
            ("storage", DATA, _SPIFFS, 0x610000, 0x1F0000),
        ),
        16: _layout(
            "wasmachine",
            "storage",
            ("ota_0", APP, _OTA_0, 0x10000, 0x400000),
            ("ota_1", APP, _OTA_0 + 1, 0x410000, 0x400000),
            ("storage", DATA, _SPIFFS, 0x810000, 0x7EF000),
        ),
    },
    "xiaozhi": {
        4: _layout(
            "xiaozhi",
            "assets",
            ("factory", APP, 0x00, 0x10000, 0x2F0000),
            ("assets", DATA, _SPIFFS, 0x300000, 0x100000),
        ),
        8: _layout(
            "xiaozhi",
            "assets",
            ("ota_0", APP, _OTA_0, 0x20000, 0x2F0000),
            ("ota_1", APP, _OTA_0 + 1, 0x310000, 0x2F0000),
            ("assets", DATA, _SPIFFS, 0x600000, 0x200000),
        ),
        16: _layout(
            "xiaozhi",
            "assets",
            ("ota_0", APP, _OTA_0, 0x20000, 0x3F0000),
            ("ota_1", APP, _OTA_0 + 1, 0x410000, 0x3F0000),
            ("assets", DATA, _SPIFFS, 0x800000, 0x800000),
        ),
    },
}


def layout_for(firmware: str, flash_bytes: int) -> Layout | None:
    """The largest layout that the flash has room for; None where there is none."""
    fitting = [size for size in LAYOUTS[firmware] if size * _MB <= flash_bytes]
    return LAYOUTS[firmware][max(fitting)] if fitting else None


def encode_table(partitions: Sequence[Partition]) -> bytes:
    """One sector of the flash."""
    rows = b"".join(
        struct.pack("<2sBBII16sI", ENTRY_MAGIC, p.kind, p.subtype, p.offset, p.size, p.label.encode(), 0)
        for p in partitions
    )
    return (rows + MD5_MAGIC + b"\xff" * 14 + hashlib.md5(rows, usedforsecurity=False).digest()).ljust(SECTOR, b"\xff")


def parse_table(table: bytes) -> list[Partition]:
    """Every entry; ValueError when the table's MD5 is wrong."""
    found: list[Partition] = []
    for at in range(0, len(table), 32):
        entry = table[at : at + 32]
        if entry[:2] == MD5_MAGIC:
            if hashlib.md5(table[:at], usedforsecurity=False).digest() != entry[16:32]:
                raise ValueError("the MD5 of its partition table is wrong")
            return found
        if entry[:2] != ENTRY_MAGIC or len(entry) < 32:
            return found
        kind, subtype, offset, size = struct.unpack_from("<BBII", entry, 2)
        label = entry[12:28].rstrip(b"\0").decode("ascii", "replace")
        found.append(Partition(label, kind, subtype, offset, size))
    return found
