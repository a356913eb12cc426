"""The image for an empty board: the stock image and a file system with our files.

The file system is littlefs in the geometry of MicroPython's esp32 port: its Partition has blocks of 4096 bytes, VfsLfs2
reads and writes 32 bytes at a time, with a cache of 128. It holds no secret. This writes to no board.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from operator import attrgetter
from typing import Any, Final

from msgspec import Struct

from microclaw.devices.flash.board_files import KEYS_PATH, SETTINGS_PATH, WHOLE_PATH, BoardFile
from microclaw.devices.flash.images import TABLE_AT, TABLE_BYTES, FlashImage, Partition, parse_table
from microclaw.devices.flash.pairing import CHANNEL, board_facts, sealed_keys
from microclaw.errors import ConfigError
from microclaw.hardware.boards.reader import load_board

# The type of "vfs" in partition tables.
_DATA: Final = 1
_SECTOR: Final = 0x1000
_SIZED_AT_START: Final = (1, 26)
"""The first version whose stock images have no partition for files.

MicroPython makes it at each start, from the end of the last partition to the end of the flash (ports/esp32/main.c).
"""
# The default of VfsLfs2 (extmod/vfs_lfs.c); its cache is four times that.
_READ_BYTES: Final = 32
# Two pieces with a smaller empty gap between them are sent as one.
_GAP_BLOCKS: Final = 16
# The tools in browsers write whole words.
_WORD: Final = 4


class FirstPiece(Struct, frozen=True):
    """Bytes for an address of the flash."""

    offset: int
    data: bytes

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.data).hexdigest()

    @property
    def md5(self) -> str:
        """The MD5 that the chip reports for this part of its flash."""
        return hashlib.md5(self.data, usedforsecurity=False).hexdigest()


def first_files(
    files: Sequence[BoardFile], board: str, host: Mapping[str, Any], keys: Mapping[str, str]
) -> tuple[BoardFile, ...]:
    """Return all files of the file system.

    `host`: its address and its authority's fingerprint, without a secret; `keys`: public keys of updates, from id to
    modulus in base64.
    """
    settings = {"board": board_facts(load_board(board)), **host}
    more = [BoardFile(WHOLE_PATH, b""), BoardFile(SETTINGS_PATH, json.dumps(settings).encode())]
    if keys:
        more.append(BoardFile(KEYS_PATH, sealed_keys(keys, CHANNEL)))
    return (*files, *more)


def first_pieces(image: FlashImage, flash_bytes: int, files: Iterable[BoardFile]) -> tuple[FirstPiece, ...]:
    """Return the image and the file system's blocks that are not empty; erase the flash before writing them."""
    place = files_place(image, flash_bytes)
    whole = image.data.ljust(-(-len(image.data) // _WORD) * _WORD, b"\xff")
    if image.start + len(whole) > place.offset:
        text = f"{image.path.name} ends behind the place of its own files"
        raise ConfigError(text, next_step="take the stock image of the chip")
    pieces = [FirstPiece(image.start, whole)]
    for offset, data in _find_used(make_file_system(files, place.size)):
        pieces.append(FirstPiece(place.offset + offset, data))
    return tuple(pieces)


def files_place(image: FlashImage, flash_bytes: int) -> Partition:
    """Return the partition where MicroPython of this image has its files. ConfigError if it is unknown."""
    table = {partition.label: partition for partition in parse_table(image.at(TABLE_AT, TABLE_BYTES))}
    if "vfs" in table:
        return table["vfs"]
    end = max(map(attrgetter("end"), table.values()), default=flash_bytes)
    is_sized = image.micropython is not None and image.micropython[:2] >= _SIZED_AT_START
    if "ffat" in table or not is_sized or end >= flash_bytes:
        text = f"the place of the files of {image.path.name} is unknown"
        raise ConfigError(text, next_step="microclaw flash, by cable; or take a stock image of 1.26 or newer")
    return Partition("vfs", _DATA, end, flash_bytes - end)


def make_file_system(files: Iterable[BoardFile], size_bytes: int) -> bytes:
    """Build a littlefs with these files; ConfigError if they do not fit."""
    # A C library that only this function needs.
    from littlefs import LittleFS, LittleFSError, UserContext

    context = UserContext(buffsize=size_bytes)
    system = LittleFS(
        context=context,
        block_size=_SECTOR,
        block_count=size_bytes // _SECTOR,
        read_size=_READ_BYTES,
        prog_size=_READ_BYTES,
        cache_size=4 * _READ_BYTES,
        lookahead_size=_READ_BYTES,
        name_max=255,
        mount=False,
    )
    system.format()
    system.mount()
    try:
        for file in files:
            system.makedirs(file.path.rpartition("/")[0] or "/", exist_ok=True)
            with system.open(file.path, "wb") as opened:
                opened.write(file.data)
    except LittleFSError as exc:
        text = f"our files do not fit into the {size_bytes} bytes that the board has for them"
        raise ConfigError(text, next_step="use a board with more flash") from exc
    system.unmount()
    return bytes(context.buffer)


def _find_used(system: bytes) -> Iterable[tuple[int, bytes]]:
    """Yield the blocks that are not empty, with their offset; neighbours together."""
    empty = b"\xff" * _SECTOR
    used = [at for at in range(0, len(system), _SECTOR) if system[at : at + _SECTOR] != empty]
    begin = end = used[0]
    for at in (*used[1:], len(system) + (_GAP_BLOCKS + 1) * _SECTOR):
        if at - end > _GAP_BLOCKS * _SECTOR:
            yield begin, system[begin : end + _SECTOR]
            begin = at
        end = at
