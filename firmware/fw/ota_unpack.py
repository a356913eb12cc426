"""Writes the files of a whole bundle to the unused folder, and compares each after it was written. Loaded for that.

It holds no more than two blocks of a file, and lets other tasks run after each. The readers of tars and of programs,
and the code for folders, are loaded for their step.
"""

import asyncio
import hashlib
import json
import os
import sys
from binascii import hexlify

from micropython import const
from ota_bad import BadPayload

_BLOCK = const(512)
_NEEDED = ("start.mpy", "about.json")


async def check(up):
    """Check and unpack the payload; return the plan's arguments: `staged`, or `failed`."""
    record = up.record
    slots = _read("slots_files")
    folder = up.root + slots.SLOTS[record["slot"]]
    whole = slots.WHOLE
    del slots
    try:
        with open(up.payload, "rb") as file:
            if file.seek(0, 2) != record["size"]:
                raise BadPayload("wrong_size", "%d bytes in flash" % file.tell())
            file.seek(0)
            digest = hashlib.sha256()
            piece = memoryview(bytearray(_BLOCK))
            while size := file.readinto(piece):
                digest.update(piece[:size])
                await asyncio.sleep_ms(0)
            if hexlify(digest.digest()).decode() != record["sha256"]:
                raise BadPayload("wrong_hash", "")
            del digest, piece
            file.seek(0)
            _read("slots_files").empty(folder)
            await _unpack(file, folder, whole, record["size"])
        _check_about(folder, record)
        await _check_programs(folder)
    except Exception as exc:
        # A BadPayload, known by its field: each module that is loaded for one use has a class of its own.
        if not hasattr(exc, "words"):
            raise
        _read("slots_files").empty(folder)
        _read("storage").remove_file(up.payload)
        return "failed", exc.code + (": " + exc.words if exc.words else "")
    _read("storage").write_file(folder + whole, b"", "wb")
    return ("staged",)


def _read(name):
    """Load a module for one use: nothing keeps it."""
    module = __import__(name)
    for other in (name, "storage"):
        sys.modules.pop(other, None)
    return module


async def _unpack(file, folder, whole, size):
    _make(folder)
    tars = _read("ota_payload")
    tar = tars.TarReader(size)
    padded = tars.padded
    while not tar.over:
        member = tar.member(file.read(_BLOCK))
        if member:
            name, length = member
            if "/" + name == whole:
                raise BadPayload("bad_bundle", "it has a file that only this board writes")
            path = folder + "/" + name
            at = file.tell()
            if "/" in name:
                _make(path[: path.rfind("/")])
            # Write it, then compare it.
            for mode in ("wb", "rb"):
                file.seek(at)
                await _copy(file, path, length, mode)
            file.seek(at + padded(length))
    for name in _NEEDED:
        if "\n" + name + "\n" not in tar.names:
            raise BadPayload("bad_bundle", "it has no " + name)


async def _copy(file, path, length, mode):
    """Write a file, or compare it if `mode` is "rb"; OSError if the flash has other bytes."""
    with open(path, mode) as new:
        while length:
            size = min(_BLOCK, length)
            piece = file.read(size)
            if mode == "wb":
                new.write(piece)
            elif new.read(size) != piece:
                raise OSError("%s is not as it was written" % path)
            length -= size
            await asyncio.sleep_ms(0)
        if mode == "rb" and new.read(1):
            raise OSError("%s is longer than it was written" % path)


def _make(folder):
    try:
        os.mkdir(folder)
    except OSError:
        # The folder exists; if it does not, the next write fails.
        pass


def _check_about(folder, record):
    """Check the files' own version: the next start tells the host so."""
    try:
        with open(folder + "/about.json") as file:
            about = json.load(file)
        if about["version"] == record["version"] and about["security_version"] == record["sv"]:
            return
    except (ValueError, KeyError, TypeError):
        pass
    raise BadPayload("bad_bundle", "about.json is not of version " + record["version"])


async def _check_programs(folder):
    """Check that every .mpy of the folder, and of the folders in it, is whole."""
    programs = _read("mpy_file")
    for name in os.listdir(folder):
        path = folder + "/" + name
        if name.endswith(".mpy"):
            why = programs.fault(path)
            if why:
                raise BadPayload("bad_bundle", why)
        elif os.stat(path)[0] & 0x4000:
            await _check_programs(path)
        await asyncio.sleep_ms(0)
