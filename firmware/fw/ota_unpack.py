"""A bundle that is whole becomes the files of the unused folder, each compared after it was written. Read in for that.

It holds no more than two blocks of a file, and lets others run after each. What only one of its steps needs is read in
for that step: first the reader of tars, then what looks at programs.
"""

import asyncio
import os
import sys

from micropython import const
from ota_bad import BadPayload

_BLOCK = const(512)

_NEEDED = ("start.mpy", "about.json")


async def check(up):
    """Returns what the plan is told: `staged`, or `failed`."""
    record = up.record
    slots = _read("slots_files")
    folder, whole = up.root + slots.SLOTS[record["slot"]], slots.WHOLE
    del slots
    try:
        with open(up.payload, "rb") as file:
            if file.seek(0, 2) != record["size"]:
                raise BadPayload("wrong_size", "%d bytes in flash" % file.tell())
            file.seek(0)
            if await _read("ota_whole").sha256(file) != record["sha256"]:
                raise BadPayload("wrong_hash", "")
            file.seek(0)
            _read("slots_files").empty(folder)
            await _unpack(file, folder, whole, record["size"])
        wholes = _read("ota_whole")
        wholes.check_about(folder, record)
        await wholes.check_programs(folder)
    except Exception as exc:
        if not hasattr(
            exc, "words"
        ):  # a BadPayload; its class is another one in each module that is read in for itself
            raise
        _read("slots_files").empty(folder)
        _read("storage").remove_file(up.payload)
        return "failed", exc.code + (": " + exc.words if exc.words else "")
    _read("storage").write_file(folder + whole, b"", "wb")
    return ("staged",)


def _read(name):
    """A module for one use: nothing keeps it."""
    found = __import__(name)
    for other in (name, "storage"):
        sys.modules.pop(other, None)
    return found


async def _unpack(file, folder, whole, size):
    _make(folder)
    tars = _read("ota_payload")
    tar, padded = tars.TarReader(size), tars.padded
    while not tar.over:
        member = tar.member(file.read(_BLOCK))
        if member:
            name, length = member
            if "/" + name == whole:
                raise BadPayload("bad_bundle", "it has a file that only this board writes")
            path, at = folder + "/" + name, file.tell()
            if "/" in name:
                _make(path[: path.rfind("/")])
            await _copy(file, path, length)
            file.seek(at)
            await _compare(file, path, length)
            file.seek(at + padded(length))
    for name in _NEEDED:
        if "\n" + name + "\n" not in tar.names:
            raise BadPayload("bad_bundle", "it has no " + name)


async def _copy(file, path, length):
    piece = memoryview(bytearray(_BLOCK))
    with open(path, "wb") as new:
        while length:
            size = file.readinto(piece[: min(_BLOCK, length)])
            new.write(piece[:size])
            length -= size
            await asyncio.sleep_ms(0)


async def _compare(file, path, length):
    """OSError where the flash has something else."""
    with open(path, "rb") as new:
        while length:
            size = min(_BLOCK, length)
            if new.read(size) != file.read(size):
                raise OSError("%s is not as it was written" % path)
            length -= size
            await asyncio.sleep_ms(0)
        if new.read(1):
            raise OSError("%s is longer than it was written" % path)


def _make(folder):
    try:
        os.mkdir(folder)
    except OSError:
        pass  # it is there; what is written into it says otherwise
