"""Small images that are whole: bootloader, partition table and a program that calls itself MicroPython."""

from __future__ import annotations

import hashlib
import struct

STARTS = {0: 0x1000, 9: 0, 5: 0, 13: 0}


def one_image(chip_id: int, payload: bytes, *, digest: bool = True) -> bytes:
    """A bootloader or program: header, one segment, checksum, and its SHA-256."""
    payload = payload.ljust(-(-len(payload) // 4) * 4, b"\0")
    header = struct.pack(
        "<BBBBIB3sHBHH4sB", 0xE9, 1, 2, 0x20, 0x40080000, 0xEE, b"\0" * 3, chip_id, 0, 0, 399, b"", digest
    )
    checksum = 0xEF
    for byte in payload:
        checksum ^= byte
    body = header + struct.pack("<II", 0x3F400020, len(payload)) + payload
    body = body.ljust(-(-(len(body) + 1) // 16) * 16 - 1, b"\0") + bytes([checksum])
    return body + (hashlib.sha256(body).digest() if digest else b"")


def partition_table(*entries: tuple[int, int, int, int, str]) -> bytes:
    """Entries are (type, subtype, address, size, name)."""
    table = b"".join(
        struct.pack("<2sBBII16sI", b"\xaa\x50", kind, subtype, address, size, name.encode(), 0)
        for kind, subtype, address, size, name in entries
    )
    return table + b"\xeb\xeb" + b"\xff" * 14 + hashlib.md5(table).digest()


def whole_image(
    chip_id: int = 0, *, version: str = "v1.26.1", app_bytes: int = 20_000, vfs_end: int | None = None
) -> bytes:
    """As micropython.org's files are: from where the chip's bootloader goes."""
    start = STARTS[chip_id]
    noise = b"".join(hashlib.sha256(bytes([n % 256, n // 256])).digest() for n in range(app_bytes // 32))
    entries = [(1, 2, 0x9000, 0x6000, "nvs"), (0, 0, 0x10000, 0x1F0000, "factory")]
    if vfs_end is not None:
        entries.append((1, 0x81, 0x200000, vfs_end - 0x200000, "vfs"))
    data = one_image(chip_id, b"bootloader" * 100).ljust(0x8000 - start, b"\xff")
    data += partition_table(*entries).ljust(0x8000, b"\xff")
    return data + one_image(chip_id, noise + f"{version} on 2025-09-11\0".encode())


def is_whole(flash: bytearray, at: int) -> bool:
    """True if the bootloader would start the program there: its digest is right."""
    if flash[at] != 0xE9:
        return False
    size = struct.unpack_from("<I", flash, at + 28)[0]
    end = at + -(-(32 + size + 1) // 16) * 16
    return hashlib.sha256(flash[at:end]).digest() == bytes(flash[end : end + 32])


def program(chip_id: int, project: str, version: str = "2.4.2") -> bytes:
    """A program with ESP-IDF's description in its first segment."""
    description = struct.pack("<IIII32s32s", 0xABCD5432, 0, 0, 0, version.encode(), project.encode()).ljust(256, b"\0")
    return one_image(chip_id, description + hashlib.sha256(b"code").digest() * 300)
