"""Images of ESP32 chips: the header, the segments, what a program says of itself, the checksum and digest. No IO.

Format: ESP-IDF, "App Image Format" (esp_app_format.h, esp_app_desc.h).
"""

from __future__ import annotations

import hashlib
import struct
from typing import Final, NamedTuple

IMAGE_MAGIC: Final = b"\xe9"
HASH_FLAG_AT: Final = 23
"""In the header: not 0 when the image carries its SHA-256."""
DESCRIPTION_END: Final = 0x20 + 256
"""Of esp_app_desc_t, which lies after the header and that of the first segment."""
_HEADER_BYTES: Final = 24
_MAX_SEGMENTS: Final = 16
_DESCRIPTION_AT: Final = 0x20
_DESCRIPTION: Final = struct.Struct("<II8x32s32s")
_DESCRIPTION_MAGIC: Final = 0xABCD5432


class Damage(Exception):
    """A fault in an image's bytes."""


class ImageDescription(NamedTuple):
    """Project and version as ESP-IDF writes them into a program, and the version that it never goes below."""

    project: str
    version: str
    security_version: int


def image_end(data: bytes, at: int, what: str) -> tuple[int, int]:
    """Return the chip number and the end of the image at `at`; check its checksum and digest. Raises Damage."""
    if data[at : at + 1] != IMAGE_MAGIC:
        raise Damage(f"is no image for an ESP32: {what} does not begin as one")
    if len(data) < at + _HEADER_BYTES or data[at + 1] > _MAX_SEGMENTS:
        raise Damage(f"is damaged: {what} has no header")
    chip_id = int(struct.unpack_from("<H", data, at + 12)[0])
    checksum = 0xEF
    position = at + _HEADER_BYTES
    for _ in range(data[at + 1]):
        if len(data) < position + 8:
            raise Damage(f"ends within {what}: it was not copied whole")
        size = struct.unpack_from("<I", data, position + 4)[0]
        segment = data[position + 8 : position + 8 + size]
        if len(segment) < size:
            raise Damage(f"ends within {what}: it was not copied whole")
        checksum ^= _xor(segment)
        position += 8 + size
    end = at + -(-(position + 1 - at) // 16) * 16
    if len(data) < end or data[end - 1] != checksum:
        raise Damage(f"is damaged: the checksum of {what} is wrong")
    if data[at + HASH_FLAG_AT]:
        if hashlib.sha256(data[at:end]).digest() != data[end : end + 32]:
            raise Damage(f"is damaged: the SHA-256 of {what} is wrong")
        end += 32
    return chip_id, end


def app_description(data: bytes) -> ImageDescription | None:
    """Return the description that a program has of itself, or None."""
    if len(data) < DESCRIPTION_END:
        return None
    magic, security_version, version, project = _DESCRIPTION.unpack_from(data, _DESCRIPTION_AT)
    if magic != _DESCRIPTION_MAGIC:
        return None
    texts = [field.split(b"\0")[0].decode("ascii", "replace") for field in (project, version)]
    return ImageDescription(texts[0], texts[1], security_version)


def _xor(data: bytes) -> int:
    """All bytes by exclusive or, folded in halves as one large number."""
    value = int.from_bytes(data, "little")
    bits = 8 * (1 << max(0, len(data) - 1).bit_length())
    while bits > 8:
        bits //= 2
        value = (value >> bits) ^ (value & ((1 << bits) - 1))
    return value
