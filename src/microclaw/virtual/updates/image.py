"""Application images in ESP32 format that a virtual board boots: read, and checked as a bootloader does.

Format: ESP-IDF, "App Image Format" (esp_app_format.h, esp_app_desc.h). A virtual image has, behind the description of
the application, a JSON object of its own: `fault` makes it fail in its start ("crash") or its self test ("self_test").
"""

from __future__ import annotations

import hashlib
import json
import struct
from typing import Final, Literal, NamedTuple, TypeAlias

from microclaw.firmware_modules import ota_bad

Fault: TypeAlias = Literal["", "crash", "self_test"]
CHIP_IDS: Final = {"esp32": 0, "esp32s2": 2, "esp32c3": 5, "esp32s3": 9, "esp32c6": 13}
_HEADER: Final = struct.Struct("<BBBBIB3sHBHH4sB")
_SEGMENT: Final = struct.Struct("<II")
_DESCRIPTION: Final = struct.Struct("<II8s32s32s16s16s32s32s80s")
_MAGIC: Final = 0xE9
_DESCRIPTION_MAGIC: Final = 0xABCD5432
_CHECKSUM_SEED: Final = 0xEF
_HASH_BYTES: Final = 32
_WIDE_BYTES: Final = 4096
_MARK: Final = b"MCVB"
_MARK_AT: Final = _HEADER.size + _SEGMENT.size + _DESCRIPTION.size


class Firmware(NamedTuple):
    """What runs, or would run: who it is by its own words."""

    name: str
    version: str
    security_version: int
    fault: Fault = ""


def read_image(data: bytes, board: str) -> tuple[Firmware, int]:
    """Who it is, and how long, whatever follows; BadPayload `bad_image` where this board's bootloader refuses it."""
    name, version, security_version = _described(data, board)
    end, checksum = _HEADER.size, _CHECKSUM_SEED
    for _ in range(data[1]):
        if end + _SEGMENT.size > len(data):
            raise _bad("it ends within a segment")
        begin = end + _SEGMENT.size
        end = begin + _SEGMENT.unpack_from(data, end)[1]
        checksum ^= _xor(data[begin:end])
    end += 15 - end % 16
    if not data[_HEADER.size - 1] or end + 1 + _HASH_BYTES > len(data):
        raise _bad("it ends early, or carries no SHA-256 of itself")
    if data[end] != checksum or hashlib.sha256(data[: end + 1]).digest() != data[end + 1 :][:_HASH_BYTES]:
        raise _bad("its checksum or SHA-256 is wrong")
    return Firmware(name, version, security_version, _fault(data)), end + 1 + _HASH_BYTES


def _described(data: bytes, board: str) -> tuple[str, str, int]:
    """Name, version and security_version of an image for this chip."""
    if len(data) < _MARK_AT or data[0] != _MAGIC or not 1 <= data[1] <= 16:
        raise _bad("no ESP32 image")
    if _HEADER.unpack_from(data)[7] != CHIP_IDS.get(board.split("-small")[0]):
        raise _bad("for another chip")
    magic, security_version, _, version, name, *_ = _DESCRIPTION.unpack_from(data, _HEADER.size + _SEGMENT.size)
    if magic != _DESCRIPTION_MAGIC:
        raise _bad("no description of the application")
    texts = [bytes(field).split(b"\0")[0].decode("ascii", "replace") for field in (name, version)]
    return texts[0], texts[1], security_version


def _fault(data: bytes) -> Fault:
    """ "" for an image that was not made for virtual boards: it boots as well."""
    if data[_MARK_AT : _MARK_AT + 4] != _MARK:
        return ""
    (size,) = struct.unpack_from("<I", data, _MARK_AT + 4)
    try:
        about = json.loads(data[_MARK_AT + 8 :][:size])
        fault: Fault = about["fault"]
    except (ValueError, KeyError, TypeError, RecursionError) as exc:
        raise _bad("what it says of faults cannot be read") from exc
    if fault not in ("", "crash", "self_test"):
        raise _bad("it has an unknown fault")
    return fault


def _xor(data: bytes) -> int:
    """All bytes, some thousand at a time: an image has up to two million."""
    wide = 0
    for at in range(0, len(data), _WIDE_BYTES):
        wide ^= int.from_bytes(data[at : at + _WIDE_BYTES], "little")
    narrow = 0
    for byte in wide.to_bytes(_WIDE_BYTES, "little"):
        narrow ^= byte
    return narrow


def _bad(words: str) -> Exception:
    refused: Exception = ota_bad.BadPayload("bad_image", words)
    return refused
