"""Checks of a flash image before it is written: header, chip, partition table, the digests inside. It writes nothing.

A whole image is a bootloader, at 0x8000 the partition table, and behind it the program. Format: ESP-IDF
esp_app_format.h and partition tables' documentation; each image ends with its checksum and, if told, its SHA-256.
"""

from __future__ import annotations

import hashlib
import re
import struct
from pathlib import Path
from typing import Final

from msgspec import Struct

from microclaw.errors import ConfigError
from microclaw.flash.chips import CHIPS, MB, MIN_MICROPYTHON, OLDEST, Chip, chip_of_image
from microclaw.wire.esp32_image import IMAGE_MAGIC, Damage, image_end

TABLE_AT: Final = 0x8000
TABLE_BYTES: Final = 0xC00
_APP: Final = 0
_ENTRY_MAGIC: Final = b"\xaa\x50"
_MD5_MAGIC: Final = b"\xeb\xeb"
MIN_FLASH_BYTES: Final = 4 * MB
"""MicroPython takes 2 MB; programs and our files live in what is left."""
_MAX_BYTES: Final = 32 * MB
AGAIN: Final = "get it again, or name another one with --image"
_MICROPYTHON: Final = re.compile(rb"v(\d{1,2})\.(\d{1,3})\.(\d{1,3})[!-~]{0,40} on 20\d\d-\d\d-\d\d")


class FlashImage(Struct, frozen=True):
    """`start`: where in the flash it goes; `needs_bytes`: how large the flash must be for its partitions."""

    path: Path
    data: bytes
    chip_id: int
    start: int
    needs_bytes: int
    micropython: tuple[int, int, int] | None

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.data).hexdigest()

    def at(self, address: int, size: int) -> bytes:
        """The bytes that it puts at an address of the flash."""
        return self.data[address - self.start : address - self.start + size]


def read_image(path: Path) -> FlashImage:
    """The image in a file; ConfigError says what is wrong with it."""
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise Damage("has more bytes than any board's flash")
        return _parse(path, path.read_bytes())
    except OSError as exc:
        raise ConfigError(f"cannot read {path}: {exc.strerror}", next_step="check the path") from exc
    except Damage as exc:
        raise ConfigError(f"{path.name} {exc}", next_step=AGAIN) from exc


def check_image(image: FlashImage, chip: Chip, flash_bytes: int) -> None:
    """ConfigError when it is for another chip, too large for the flash, or no MicroPython that our files run on."""
    name = image.path.name
    if image.chip_id != chip.image_id:
        text = f"{name} is for the {chip_of_image(image.chip_id)}, and this board has an {chip.name}"
        raise ConfigError(text, next_step=f"take an image whose name begins with {chip.stock}")
    needs = max(image.needs_bytes, MIN_FLASH_BYTES)
    if needs > flash_bytes:
        text = f"{name} needs {-(-needs // MB)} MB of flash, and this board has {flash_bytes // MB} MB"
        raise ConfigError(text, next_step="use a board with more flash, or an image for less")
    if image.micropython is None:
        raise ConfigError(f"{name} is no MicroPython", next_step=AGAIN)
    if image.micropython[:2] < MIN_MICROPYTHON:
        version = ".".join(map(str, image.micropython))
        raise ConfigError(f"{name} is MicroPython {version}, too old", next_step=f"take {OLDEST} or newer")


class Partition(Struct, frozen=True):
    """`offset` and `size` in bytes of the flash."""

    label: str
    kind: int
    offset: int
    size: int

    @property
    def end(self) -> int:
        return self.offset + self.size


def parse_table(table: bytes) -> list[Partition]:
    """Every entry of 32 bytes; ValueError when the table's MD5, its last row, is wrong."""
    found: list[Partition] = []
    for at in range(0, len(table) // 32 * 32, 32):
        magic, kind, _, offset, size, label, _ = struct.unpack_from("<2sBBII16sI", table, at)
        if magic == _MD5_MAGIC and hashlib.md5(table[:at], usedforsecurity=False).digest() != table[at + 16 : at + 32]:
            raise ValueError("the MD5 of its partition table is wrong")
        if magic != _ENTRY_MAGIC:
            break
        found.append(Partition(label.rstrip(b"\0").decode("ascii", "replace"), kind, offset, size))
    return found


def _parse(path: Path, data: bytes) -> FlashImage:
    merged = data[:1] == b"\xff"  # from address 0 on, for a chip whose bootloader is at 0x1000
    chip_id, _ = image_end(data, 0x1000 if merged else 0, "its bootloader")
    known = (chip.image_start for chip in CHIPS.values() if chip.image_id == chip_id)
    start = 0 if merged else next(known, 0)
    table = data[TABLE_AT - start : TABLE_AT - start + TABLE_BYTES]
    if table[:2] != _ENTRY_MAGIC:
        raise Damage("has no partition table: it is a program alone, or an update")
    try:
        partitions = parse_table(table)
    except ValueError as exc:
        raise Damage(f"is damaged: {exc}") from exc
    for partition in partitions:
        in_file = partition.offset - start
        if partition.kind == _APP and data[in_file : in_file + 1] == IMAGE_MAGIC:
            app_chip, _ = image_end(data, in_file, "its program")
            if app_chip != chip_id:
                raise Damage(f"mixes chips: {chip_of_image(chip_id)} and {chip_of_image(app_chip)}")
    needs = max([start + len(data), *(partition.end for partition in partitions)])
    found = _MICROPYTHON.search(data)
    version = (int(found[1]), int(found[2]), int(found[3])) if found else None
    return FlashImage(path, data, chip_id, start, needs, version)
