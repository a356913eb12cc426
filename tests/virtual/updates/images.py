"""Makes images that a virtual board boots: ESP32's format with one segment."""

from __future__ import annotations

import hashlib
import json
import struct
from functools import reduce
from operator import xor

from microclaw.virtual.updates.image import CHIP_IDS, Firmware

_LOAD_AT = 0x3C00_0020


def make_image(firmware: Firmware, chip: str, *, padding: bytes = b"") -> bytes:
    """An image for this chip; `padding` makes it longer, or another one."""
    about = json.dumps({"fault": firmware.fault}).encode()
    body = struct.pack(
        "<II8s32s32s176s",
        0xABCD5432,
        firmware.security_version,
        b"",
        firmware.version.encode(),
        firmware.name.encode(),
        b"",
    )
    body += b"MCVB" + struct.pack("<I", len(about)) + about + padding
    body += bytes(-len(body) % 4)
    header = struct.pack(
        "<BBBBIB3sHBHH4sB", 0xE9, 1, 2, 0x2F, _LOAD_AT, 0xEE, b"", CHIP_IDS[chip], 0, 0, 0xFFFF, b"", 1
    )
    image = header + struct.pack("<II", _LOAD_AT, len(body)) + body
    image += bytes(15 - len(image) % 16) + bytes([reduce(xor, body, 0xEF)])
    return image + hashlib.sha256(image).digest()
