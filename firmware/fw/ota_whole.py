"""Whether a bundle is whole, before and after it is unpacked. Read in for each (ota_unpack.py)."""

import asyncio
import hashlib
import json
import os
import sys
from binascii import hexlify

from micropython import const
from ota_bad import BadPayload

_BLOCK = const(512)


async def sha256(file):
    digest, piece = hashlib.sha256(), memoryview(bytearray(_BLOCK))
    while True:
        size = file.readinto(piece)
        if not size:
            return hexlify(digest.digest()).decode()
        digest.update(piece[:size])
        await asyncio.sleep_ms(0)


def check_about(folder, record):
    """What the files say of themselves: the next start tells the host so."""
    try:
        with open(folder + "/about.json") as file:
            about = json.load(file)
        if about["version"] == record["version"] and about["security_version"] == record["sv"]:
            return
    except (ValueError, KeyError, TypeError):
        pass
    raise BadPayload("bad_bundle", "about.json is not of version " + record["version"])


async def check_programs(folder):
    """Every .mpy of the folder, and of the folders in it, is whole."""
    import mpy_file

    sys.modules.pop("mpy_file", None)
    for name in os.listdir(folder):
        path = folder + "/" + name
        if name.endswith(".mpy"):
            try:
                mpy_file.check(path)
            except mpy_file.Cut as exc:
                raise BadPayload("bad_bundle", str(exc))
        elif os.stat(path)[0] & 0x4000:
            await check_programs(path)
        await asyncio.sleep_ms(0)
