"""The numbers of errors in programs of the virtual board: those of an ESP32, in place of the image's own (WASI's).

Sources: MicroPython's extmod/moderrno.c (the names of its module errno, in this order) and ports/esp32/mpconfigport.h,
which takes newlib's errno.h; of files the numbers of littlefs (lfs.h, enum lfs_error). Changes no code of the image:
the few errors that it makes without the board, as of a seek before the start of a BytesIO, keep their numbers.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from struct import pack
from typing import Final

from microclaw.virtual.filesystem import Errno

_NAMES: Final[Mapping[str, tuple[int, int]]] = {
    "EPERM": (63, 1),
    "ENOENT": (44, 2),
    "EIO": (29, 5),
    "EBADF": (8, 9),
    "EAGAIN": (6, 11),
    "ENOMEM": (48, 12),
    "EACCES": (2, 13),
    "EEXIST": (20, 17),
    "ENODEV": (43, 19),
    "EISDIR": (31, 21),
    "EINVAL": (28, 22),
    "EOPNOTSUPP": (58, 95),
    "EADDRINUSE": (3, 112),
    "ECONNABORTED": (13, 113),
    "ECONNRESET": (15, 104),
    "ENOBUFS": (42, 105),
    "ENOTCONN": (53, 128),
    "ETIMEDOUT": (73, 116),
    "ECONNREFUSED": (14, 111),
    "EHOSTUNREACH": (23, 118),
    "EALREADY": (7, 120),
    "EINPROGRESS": (26, 119),
}
"""WASI's number and the chip's of each name of the module errno."""
_OF_FILES: Final[Mapping[Errno, int]] = {
    Errno.EBUSY: 16,
    Errno.EMFILE: 24,
    Errno.ENAMETOOLONG: 36,
    Errno.ENOSPC: 28,
    Errno.ENOSYS: 88,
    Errno.ENOTDIR: 20,
    Errno.ENOTEMPTY: 39,
    Errno.EROFS: 30,
}
"""The chip's numbers of errors that have no name in the module."""
_EIO: Final = 5
_TABLES: Final = 2


def chip_number(error: Errno) -> int:
    """Return the number of an error as a program on a chip gets it."""
    if error.name in _NAMES:
        return _NAMES[error.name][1]
    if error is Errno.ENOTSUP:
        return _NAMES["EOPNOTSUPP"][1]
    return _OF_FILES.get(error, _EIO)


def with_chip_numbers(image: bytes) -> bytes:
    """Return MicroPython's image with the chip's numbers in its module errno.

    It has two tables of all names: errorcode's with a number before each name, and the module's with one behind it.
    Raises ValueError if it has not: its programs would get other numbers than on a chip.
    """
    numbers = [_small_int(own) for own, _ in _NAMES.values()]
    table = re.compile(b"(....)".join(map(re.escape, numbers)), re.DOTALL)
    changed, count = table.subn(_with_chip_numbers, image)
    if count != _TABLES:
        raise ValueError(f"MicroPython's image has {count} tables of error numbers, not {_TABLES}")
    return changed


def _with_chip_numbers(table: re.Match[bytes]) -> bytes:
    """Return a table with other numbers; what is between them stays."""
    parts = []
    for (_, number), between in zip(_NAMES.values(), [*table.groups(), b""], strict=True):
        parts.append(_small_int(number) + between)
    return b"".join(parts)


def _small_int(number: int) -> bytes:
    """Return a small number as MicroPython has it in memory (py/obj.h, representation A)."""
    return pack("<I", number << 1 | 1)
