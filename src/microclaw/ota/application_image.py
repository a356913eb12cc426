"""Application images of ESP32 chips for one of two slots: checked before they are signed. It writes nothing.

Format: ESP-IDF, "App Image Format" (esp_app_format.h, esp_app_desc.h): header, segments, checksum, SHA-256.
"""

from __future__ import annotations

from typing import Final

from microclaw.errors import ConfigError
from microclaw.ota.manifest import CHIPS
from microclaw.wire.esp32_image import HASH_FLAG_AT, Damage, Description, app_description, image_end

CHIP_IDS: Final = dict(zip(CHIPS, (0, 2, 9, 5, 13), strict=True))
"""esp_chip_id_t of ESP-IDF."""
_REMEDY: Final = "give the application alone: build/NAME.bin of ESP-IDF, micropython.bin of MicroPython"


class ImageError(ConfigError):
    """No slot of this chip could hold and start it."""

    def __init__(self, text: str) -> None:
        super().__init__(f"the image {text}", next_step=_REMEDY)


def read_application(data: bytes, *, chip: str) -> Description:
    """The description of the application in `data`. Raises ImageError."""
    try:
        chip_id, end = image_end(data, 0, "it")
    except Damage as exc:
        raise ImageError(str(exc)) from exc
    if chip_id != CHIP_IDS[chip]:
        names = {number: name for name, number in CHIP_IDS.items()}
        raise ImageError(f"is for the {names.get(chip_id, f'chip number {chip_id}')}, not for the {chip}")
    described = app_description(data)
    if described is None:
        raise ImageError("has no application descriptor: it may be a bootloader")
    if not data[HASH_FLAG_AT]:
        raise ImageError("carries no SHA-256 of itself: build it with the hash appended (default)")
    if end != len(data):
        raise ImageError(f"has {len(data) - end} bytes behind the application: a whole flash image, or a tail")
    return described
