"""Application images in ESP32 format that a virtual board boots: read, and checked as a bootloader does.

Format: ESP-IDF, "App Image Format" (esp_app_format.h, esp_app_desc.h). A virtual image has, behind the description of
the application, a JSON object of its own: `fault` makes it fail in its start ("crash") or its self test ("self_test").
"""

from __future__ import annotations

import json
import struct
from typing import Final, Literal, NamedTuple, TypeAlias

from microclaw.firmware_modules import ota_bad
from microclaw.wire.esp32_image import DESCRIPTION_END, HASH_FLAG_AT, Damage, app_description, image_end

Fault: TypeAlias = Literal["", "crash", "self_test"]
CHIP_IDS: Final = {"esp32": 0, "esp32s2": 2, "esp32c3": 5, "esp32s3": 9, "esp32c6": 13}
_MARK: Final = b"MCVB"


class Firmware(NamedTuple):
    """What runs, or would run: who it is by its own words."""

    name: str
    version: str
    security_version: int
    fault: Fault = ""


def read_image(data: bytes, board: str) -> tuple[Firmware, int]:
    """Who it is, and how long, whatever follows; BadPayload `bad_image` where this board's bootloader refuses it."""
    try:
        chip_id, end = image_end(data, 0, "the image")
    except Damage as exc:
        raise _bad(f"it {exc}") from exc
    if chip_id != CHIP_IDS.get(board.split("-small")[0]):
        raise _bad("for another chip")
    described = app_description(data)
    if described is None or not data[1]:
        raise _bad("no description of the application")
    if not data[HASH_FLAG_AT]:
        raise _bad("it carries no SHA-256 of itself")
    return Firmware(*described, _fault(data)), end


def _fault(data: bytes) -> Fault:
    """ "" for an image that was not made for virtual boards: it boots as well."""
    if data[DESCRIPTION_END : DESCRIPTION_END + 4] != _MARK:
        return ""
    (size,) = struct.unpack_from("<I", data, DESCRIPTION_END + 4)
    try:
        about = json.loads(data[DESCRIPTION_END + 8 :][:size])
        fault: Fault = about["fault"]
    except (ValueError, KeyError, TypeError, RecursionError) as exc:
        raise _bad("what it says of faults cannot be read") from exc
    if fault not in ("", "crash", "self_test"):
        raise _bad("it has an unknown fault")
    return fault


def _bad(words: str) -> Exception:
    refused: Exception = ota_bad.BadPayload("bad_image", words)
    return refused
