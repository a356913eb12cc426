"""The chips that `flash` supports, and their images. This module never writes to a board.

It knows the ids of chips in images, where images start and which stock image fits. It finds the file (named by the
user, in the cache, or downloaded) and checks it before it is written.

Sources: ESP-IDF esp_app_format (esp_chip_id_t) and partition tables, esptool targets (BOOTLOADER_FLASH_OFFSET),
micropython.org/download. A whole image is a bootloader, at 0x8000 the partition table, and behind it the program. Each
part ends with its checksum and, if its header says so, its SHA-256.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Final, TypeAlias

from msgspec import Struct

from microclaw.durable import replace_file
from microclaw.errors import ConfigError
from microclaw.hardware.boards.reader import board_ids, load_board
from microclaw.host.egress.destinations import Purpose
from microclaw.wire.esp32_image import IMAGE_MAGIC, Damage, image_end

MB: Final = 1 << 20
MIN_MICROPYTHON: Final = (1, 24)
"""The oldest MicroPython that our files run on."""
OLDEST: Final = ".".join(map(str, MIN_MICROPYTHON))
STOCK_RELEASE: Final = "20250911-v1.26.1"
"""The release that `flash` uses; its files are checked against STOCK_SHA256 if they are in it."""
STOCK_SITE: Final = "https://micropython.org/resources/firmware/"

# Computed from copies of the official files; micropython.org itself publishes none. For a file that is not here, only
# the digests inside the image are checked, and `flash` says so.
STOCK_SHA256: Final = {
    "ESP32_GENERIC-20250911-v1.26.1.bin": "6b5272b6edd15fc4d1627ec559a27a5d5a7b86e5ea7f8013941eb10c877edd4e",
    "ESP32_GENERIC_S3-20250911-v1.26.1.bin": "d6c48687f684cc7c002a0a4acd258f881c4b391f3ef121726a3b7cd285dcdbbc",
}


class Chip(Struct, frozen=True):
    """A supported chip, with the names of its stock images.

    `image_id`: the chip in an image's header; `image_start`: where in the flash the chip looks for a bootloader;
    `stock_octal_psram`: for modules whose PSRAM has eight data lines.
    """

    name: str
    image_id: int
    image_start: int
    stock: str
    stock_octal_psram: str | None = None
    stock_psram: str | None = None

    def stock_image(self, psram_bytes: int | None) -> str:
        """Return the official file's name for a board of this chip."""
        build = self.stock
        # PSRAM of 8 MB and more is octal (ESP32-S3 datasheet, table 1).
        if psram_bytes and psram_bytes >= 8 * MB and self.stock_octal_psram:
            build = self.stock_octal_psram
        elif psram_bytes and self.stock_psram:
            build = self.stock_psram
        return f"{build}-{STOCK_RELEASE}.bin"

    def profiles(self) -> tuple[str, ...]:
        """Return the ids of the board profiles with this chip; the first is the default."""
        default = {"ESP32-S3": "esp32-s3-devkitc-1-v1.1"}.get(self.name)
        profiles = []
        for board in board_ids():
            if board != "virtual" and load_board(board).chip == self.name:
                profiles.append(board)
        return tuple(sorted(profiles, key=lambda board: (board != default, board)))


CHIPS: Final = {
    chip.name: chip
    for chip in (
        Chip("ESP32", 0, 0x1000, "ESP32_GENERIC", stock_psram="ESP32_GENERIC-SPIRAM"),
        Chip("ESP32-S3", 9, 0, "ESP32_GENERIC_S3", stock_octal_psram="ESP32_GENERIC_S3-SPIRAM_OCT"),
        Chip("ESP32-C3", 5, 0, "ESP32_GENERIC_C3"),
        Chip("ESP32-C6", 13, 0, "ESP32_GENERIC_C6"),
    )
}


def chip_named(name: str) -> Chip:
    """Return the chip with this name of esptool; ConfigError if our files do not run on it."""
    if name not in CHIPS:
        text = f"this board's chip is a {name}, on which microclaw's files were never tried"
        raise ConfigError(text, next_step=f"use a board with {', '.join(CHIPS)}")
    return CHIPS[name]


def chip_of_image(image_id: int) -> str:
    """Return the chip's name for people."""
    chip = _find_chip(image_id)
    if chip is None:
        return f"chip number {image_id}"
    return chip.name


def _find_chip(image_id: int) -> Chip | None:
    for chip in CHIPS.values():
        if chip.image_id == image_id:
            return chip
    return None


Fetch: TypeAlias = Callable[[str], bytes]
"""Gets an address of the official site. Raises OSError if there is no network or no such file."""

FOLDER: Final = "images"
MAX_BYTES: Final = 8 << 20
_FETCH_S: Final = 60.0
_DATED: Final = re.compile(r"-(20\d{6})-v(\d+)\.(\d+)\.(\d+)\.bin")


def find_image(named: Path | None, chip: Chip, psram_bytes: int, cache: Path, fetch: Fetch) -> FlashImage:
    """Return the image for this board, with a known checksum compared; ConfigError says which file to get."""
    if named is not None:
        return _read_compared(named)
    cached = cached_image(chip, psram_bytes, cache)
    if cached is not None:
        return cached
    name = chip.stock_image(psram_bytes)
    folder = cache / FOLDER
    try:
        data = fetch(STOCK_SITE + name)
    except OSError as exc:
        text = f"this board takes the image {name}, and {STOCK_SITE} does not answer"
        raise ConfigError(text, next_step=f"put {STOCK_SITE}{name} into {folder}, or --image FILE") from exc
    if STOCK_SHA256.get(name) not in (None, hashlib.sha256(data).hexdigest()):
        text = f"the download of {name} is not the official file: its SHA-256 differs"
        raise ConfigError(text, next_step="try it again on another network")
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    replace_file(folder / name, data, mode=0o644)
    return read_image(folder / name)


def cached_image(chip: Chip, psram_bytes: int, cache: Path) -> FlashImage | None:
    """Return the image in the cache folder for this board: the file itself, else the newest of the same build."""
    folder = cache / FOLDER
    name = chip.stock_image(psram_bytes)
    if (folder / name).exists():
        return _read_compared(folder / name)
    build = _DATED.sub("", name)
    newest: Path | None = None
    for path in folder.glob("*.bin"):
        is_same_build = _DATED.search(path.name) and _DATED.sub("", path.name) == build
        if is_same_build and (newest is None or path.name > newest.name):
            newest = path
    if newest is None:
        return None
    return _read_compared(newest)


def download(address: str) -> bytes:
    """Download by HTTPS, at most 8 MB; OSError if it fails. Blocking."""
    return asyncio.run(_download(address))


async def _download(address: str) -> bytes:
    # It takes 0.1 s to import, and most runs download nothing.
    from httpx2 import HTTPError

    from microclaw.host.egress.http_door import http_client

    client = http_client(Purpose.DOWNLOAD, address, timeout=_FETCH_S, follow_redirects=True, max_redirects=3)
    try:
        async with client, client.stream("GET", address) as answer:
            answer.raise_for_status()
            data = bytearray()
            async for piece in answer.aiter_bytes():
                data += piece
                if len(data) > MAX_BYTES:
                    raise OSError(f"the file has more than {MAX_BYTES} bytes")
            return bytes(data)
    except HTTPError as exc:
        raise OSError(str(exc)) from exc


def is_known(image: FlashImage) -> bool:
    """Return True if its SHA-256 is the SHA-256 of an official file."""
    return image.sha256 in STOCK_SHA256.values()


def _read_compared(path: Path) -> FlashImage:
    """Read an image; ConfigError if its name and its SHA-256 do not belong together."""
    image = read_image(path)
    if STOCK_SHA256.get(path.name) not in (None, image.sha256):
        text = f"{path} has the name of an official file, but another SHA-256"
        raise ConfigError(text, next_step=f"remove it, and get {STOCK_SITE}{path.name} again")
    return image


TABLE_AT: Final = 0x8000
TABLE_BYTES: Final = 0xC00
_APP: Final = 0
_ENTRY_MAGIC: Final = b"\xaa\x50"
_MD5_MAGIC: Final = b"\xeb\xeb"
MIN_FLASH_BYTES: Final = 4 * MB
"""MicroPython takes 2 MB; the rest is for programs and our files."""
_MAX_BYTES: Final = 32 * MB
AGAIN: Final = "get it again, or name another one with --image"
_MICROPYTHON: Final = re.compile(rb"v(\d{1,2})\.(\d{1,3})\.(\d{1,3})[!-~]{0,40} on 20\d\d-\d\d-\d\d")


class FlashImage(Struct, frozen=True):
    """An image in a file.

    `start`: its address in the flash; `needs_bytes`: how large the flash must be for its partitions.
    """

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
        """Return the bytes that the image puts at an address of the flash."""
        return self.data[address - self.start : address - self.start + size]


def read_image(path: Path) -> FlashImage:
    """Read the image in a file; ConfigError says what is wrong with it."""
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise Damage("has more bytes than any board's flash")
        return _parse(path, path.read_bytes())
    except OSError as exc:
        raise ConfigError(f"cannot read {path}: {exc.strerror}", next_step="check the path") from exc
    except Damage as exc:
        raise ConfigError(f"{path.name} {exc}", next_step=AGAIN) from exc


def check_image(image: FlashImage, chip: Chip, flash_bytes: int) -> None:
    """Raise ConfigError for another chip, a flash that is too small, or a MicroPython that is missing or too old."""
    name = image.path.name
    if image.chip_id != chip.image_id:
        text = f"{name} is for the {chip_of_image(image.chip_id)}, and this board has an {chip.name}"
        raise ConfigError(text, next_step=f"take an image whose name begins with {chip.stock}")
    needs = max(image.needs_bytes, MIN_FLASH_BYTES)
    if needs > flash_bytes:
        text = f"{name} needs {-(-needs // MB)} MB of flash, and this board has {flash_bytes // MB} MB"
        raise ConfigError(text, next_step="use a board with more flash, or an image for less")
    if image.micropython is None:
        raise ConfigError(f"{name} is not a MicroPython image", next_step=AGAIN)
    if image.micropython[:2] < MIN_MICROPYTHON:
        version = ".".join(map(str, image.micropython))
        raise ConfigError(f"{name} is MicroPython {version}, too old", next_step=f"take {OLDEST} or newer")


class Partition(Struct, frozen=True):
    """An entry of the partition table; `offset` and `size` in bytes of the flash."""

    label: str
    kind: int
    offset: int
    size: int

    @property
    def end(self) -> int:
        return self.offset + self.size


def parse_table(table: bytes) -> list[Partition]:
    """Parse the entries, of 32 bytes each; ValueError if the table's MD5, its last row, is wrong."""
    partitions: list[Partition] = []
    for at in range(0, len(table) // 32 * 32, 32):
        magic, kind, _, offset, size, label, _ = struct.unpack_from("<2sBBII16sI", table, at)
        digest = hashlib.md5(table[:at], usedforsecurity=False).digest()
        if magic == _MD5_MAGIC and digest != table[at + 16 : at + 32]:
            raise ValueError("the MD5 of its partition table is wrong")
        if magic != _ENTRY_MAGIC:
            break
        partitions.append(Partition(label.rstrip(b"\0").decode("ascii", "replace"), kind, offset, size))
    return partitions


def _parse(path: Path, data: bytes) -> FlashImage:
    # A merged image begins at address 0 also for a chip whose bootloader is at 0x1000.
    is_merged = data[:1] == b"\xff"
    chip_id, _ = image_end(data, 0x1000 if is_merged else 0, "its bootloader")
    chip = _find_chip(chip_id)
    start = 0
    if chip is not None and not is_merged:
        start = chip.image_start
    table = data[TABLE_AT - start : TABLE_AT - start + TABLE_BYTES]
    if table[:2] != _ENTRY_MAGIC:
        raise Damage("has no partition table: it is only a program, or an update")
    try:
        partitions = parse_table(table)
    except ValueError as exc:
        raise Damage(f"is damaged: {exc}") from exc
    needs = start + len(data)
    for partition in partitions:
        _check_program(data, partition, partition.offset - start, chip_id)
        needs = max(needs, partition.end)
    version = None
    match = _MICROPYTHON.search(data)
    if match is not None:
        version = (int(match[1]), int(match[2]), int(match[3]))
    return FlashImage(path, data, chip_id, start, needs, version)


def _check_program(data: bytes, partition: Partition, in_file: int, chip_id: int) -> None:
    """Raise Damage if the partition has a program that is damaged or for another chip."""
    if partition.kind != _APP or data[in_file : in_file + 1] != IMAGE_MAGIC:
        return
    program_chip, _ = image_end(data, in_file, "its program")
    if program_chip != chip_id:
        raise Damage(f"mixes chips: {chip_of_image(chip_id)} and {chip_of_image(program_chip)}")
