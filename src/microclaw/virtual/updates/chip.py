"""The board's NOR flash in a file: sectors that erase to 0xFF, writes that only clear bits, partitions, records.

The file has each byte inverted, so that what was never written is a hole in it, and reads as erased.
"""

from __future__ import annotations

import json
import os
import threading
import weakref
import zlib
from collections.abc import Mapping
from pathlib import Path
from struct import Struct
from typing import Any, Final

from microclaw.errors import MicroclawError
from microclaw.link_client.flash import PowerGone

SECTOR_BYTES: Final = 4096
LAYOUT: Final[Mapping[str, int]] = {
    "otadata": 2 * SECTOR_BYTES,
    "plan": 2 * SECTOR_BYTES,
    "keys": 2 * SECTOR_BYTES,
    "ota_0": 0x20_0000,
    "ota_1": 0x20_0000,
}
"""Partitions and their sizes, in the order in which they lie."""
_INVERTED: Final = bytes(range(255, -1, -1))


class FlashRefused(MicroclawError):
    """An access outside of a partition, or an erase that is not whole sectors."""

    code = "flash_error"


class FlashChip:
    """One boot's hold on it; `path` is made when it is not there. PowerGone once that boot is over."""

    def __init__(self, path: Path, layout: Mapping[str, int] = LAYOUT) -> None:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._lock = threading.Lock()
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        self._file: int | None = file
        self._closing = weakref.finalize(self, os.close, file)  # also when nobody says that the power is gone
        self._begin: dict[str, int] = {}
        self._sizes = dict(layout)
        at = 0
        for name, size in layout.items():
            assert size % SECTOR_BYTES == 0
            self._begin[name], at = at, at + size

    def close(self) -> None:
        """The power is gone: nothing is read or written any more."""
        with self._lock:
            self._closing()
            self._file = None

    def size(self, partition: str) -> int:
        return self._sizes[partition]

    def read(self, partition: str, at: int, length: int) -> bytes:
        place = self._place(partition, at, length)
        with self._lock:
            data = os.pread(self._powered(), length, place)
        return data.translate(_INVERTED) + b"\xff" * (length - len(data))

    def erase(self, partition: str, at: int, length: int) -> None:
        """Whole sectors, one after the other."""
        if at % SECTOR_BYTES or length % SECTOR_BYTES:
            raise FlashRefused(f"an erase of {length} bytes at {at} of {partition}: sectors have {SECTOR_BYTES}")
        begin = self._place(partition, at, length)
        for sector in range(begin, begin + length, SECTOR_BYTES):
            self._erase_sector(sector)

    def write(self, partition: str, at: int, data: bytes) -> None:
        """Clears bits. What should be set again and is not erased stays as it is, as on a chip: read it back."""
        self._program(self._place(partition, at, len(data)), data)

    def _place(self, partition: str, at: int, length: int) -> int:
        if at < 0 or length < 0 or at + length > self._sizes[partition]:
            raise FlashRefused(f"{length} bytes at {at} are not in {partition}, which has {self._sizes[partition]}")
        return self._begin[partition] + at

    # What a power cut may interrupt

    def _erase_sector(self, place: int) -> None:
        with self._lock:
            os.pwrite(self._powered(), bytes(SECTOR_BYTES), place)

    def _program(self, place: int, data: bytes) -> None:
        with self._lock:
            file = self._powered()
            there = os.pread(file, len(data), place)
            there += bytes(len(data) - len(there))
            cleared = int.from_bytes(there, "big") | int.from_bytes(data.translate(_INVERTED), "big")
            os.pwrite(file, cleared.to_bytes(len(data), "big"), place)

    def _powered(self) -> int:
        if self._file is None:
            raise PowerGone("the board has no power")
        return self._file


class Records:
    """One JSON object in two sectors, written in turn: a cut leaves the last one or the new one."""

    _HEAD: Final = Struct(">4sIII")  # mark, number, size, CRC-32 of number and content
    _MARK: Final = b"MCR1"

    def __init__(self, chip: FlashChip, partition: str) -> None:
        self._chip = chip
        self._partition = partition
        found = [row for row in (self._read(sector) for sector in (0, 1)) if row is not None]
        newest = max(found, key=lambda row: row[0], default=None)
        self._number, self._sector = (newest[0], newest[1]) if newest is not None else (0, 1)
        self.value: dict[str, Any] | None = json.loads(newest[2]) if newest is not None else None

    def save(self, value: Mapping[str, Any]) -> None:
        """In flash when this returns."""
        content = json.dumps(value, separators=(",", ":")).encode()
        if self._HEAD.size + len(content) > SECTOR_BYTES:
            raise FlashRefused(f"a record of {len(content)} bytes in {self._partition}")
        number, sector = self._number + 1, 1 - self._sector
        head = self._HEAD.pack(self._MARK, number, len(content), _crc(number, content))
        self._chip.erase(self._partition, sector * SECTOR_BYTES, SECTOR_BYTES)
        self._chip.write(self._partition, sector * SECTOR_BYTES, head + content)
        self._number, self._sector, self.value = number, sector, json.loads(content)

    def _read(self, sector: int) -> tuple[int, int, bytes] | None:
        data = self._chip.read(self._partition, sector * SECTOR_BYTES, SECTOR_BYTES)
        mark, number, size, crc = self._HEAD.unpack_from(data)
        content = data[self._HEAD.size : self._HEAD.size + size]
        if mark != self._MARK or len(content) != size or crc != _crc(number, content):
            return None
        return number, sector, content


def _crc(number: int, content: bytes) -> int:
    return zlib.crc32(content, zlib.crc32(number.to_bytes(4, "big")))
