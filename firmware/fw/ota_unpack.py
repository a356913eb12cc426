"""A bundle that is whole becomes the files of the unused folder, each compared after it was written. Read in for that.

It holds no more than two blocks of a file, and lets others run after each.
"""

import asyncio
import hashlib
import json
import os
from binascii import hexlify

import mpy_file
import slots_files
import storage
from ota_payload import BLOCK, BadPayload, TarReader, padded

_NEEDED = ("start.mpy", "about.json")


async def check(up):
    """The plan is at `staged` afterwards, or at `failed`."""
    record = up.record
    folder = up.root + slots_files.SLOTS[record["slot"]]
    try:
        with open(up.payload, "rb") as file:
            if file.seek(0, 2) != record["size"]:
                raise BadPayload("wrong_size", "%d bytes in flash" % file.tell())
            file.seek(0)
            if await _sha256(file) != record["sha256"]:
                raise BadPayload("wrong_hash", "")
            await _unpack(file, folder, record["size"])
        _check_about(folder, record)
    except (BadPayload, mpy_file.Cut) as exc:
        code = exc.code if isinstance(exc, BadPayload) else "bad_bundle"
        words = exc.words if isinstance(exc, BadPayload) else str(exc)
        slots_files.empty(folder)
        storage.remove_file(up.payload)
        up.move("failed", code + (": " + words if words else ""))
        return
    storage.write_file(folder + slots_files.WHOLE, b"", "wb")
    up.move("staged")
    storage.remove_file(up.payload)


async def _sha256(file):
    digest, piece = hashlib.sha256(), memoryview(bytearray(BLOCK))
    while True:
        size = file.readinto(piece)
        if not size:
            return hexlify(digest.digest()).decode()
        digest.update(piece[:size])
        await asyncio.sleep_ms(0)


async def _unpack(file, folder, size):
    file.seek(0)
    slots_files.empty(folder)
    _make(folder)
    tar = TarReader(size)
    while not tar.over:
        member = tar.member(file.read(BLOCK))
        if member:
            name, length = member
            if "/" + name == slots_files.WHOLE:
                raise BadPayload("bad_bundle", "it has a file that only this board writes")
            path, at = folder + "/" + name, file.tell()
            if "/" in name:
                _make(path[: path.rfind("/")])
            await _copy(file, path, length)
            file.seek(at)
            await _compare(file, path, length)
            if name.endswith(".mpy"):
                mpy_file.check(path)
            file.seek(at + padded(length))
    for name in _NEEDED:
        if name not in tar.names:
            raise BadPayload("bad_bundle", "it has no " + name)


async def _copy(file, path, length):
    piece = memoryview(bytearray(BLOCK))
    with open(path, "wb") as new:
        while length:
            size = file.readinto(piece[: min(BLOCK, length)])
            new.write(piece[:size])
            length -= size
            await asyncio.sleep_ms(0)


async def _compare(file, path, length):
    """OSError where the flash has something else."""
    with open(path, "rb") as new:
        while length:
            size = min(BLOCK, length)
            if new.read(size) != file.read(size):
                raise OSError("%s is not as it was written" % path)
            length -= size
            await asyncio.sleep_ms(0)
        if new.read(1):
            raise OSError("%s is longer than it was written" % path)


def _check_about(folder, record):
    """What the files say of themselves: the next start tells the host so."""
    try:
        with open(folder + "/about.json") as file:
            about = json.load(file)
        if about["version"] == record["version"] and about["security_version"] == record["sv"]:
            return
    except (ValueError, KeyError, TypeError):
        pass
    raise BadPayload("bad_bundle", "about.json is not of version " + record["version"])


def _make(folder):
    try:
        os.mkdir(folder)
    except OSError:
        pass  # it is there; what is written into it says otherwise
