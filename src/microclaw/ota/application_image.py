"""Application images of ESP32 chips for one of two slots: checked before they are signed. It writes nothing.

Format: ESP-IDF, "App Image Format" (esp_app_format.h, esp_app_desc.h): header, segments, checksum, SHA-256.
"""

from __future__ import annotations

from typing import Final, Literal, TypeAlias

from msgspec import Struct

from microclaw.errors import ConfigError
from microclaw.ota.manifest import CHIPS
from microclaw.wire.esp32_image import HASH_FLAG_AT, IMAGE_MAGIC, Damage, app_description, image_end

Fault: TypeAlias = Literal["no_application", "cut", "damaged", "wrong_chip", "too_large", "not_alone"]

CHIP_IDS: Final = dict(zip(CHIPS, (0, 2, 9, 5, 13), strict=True))
"""esp_chip_id_t of ESP-IDF."""
_REMEDY: Final = "give the application alone: build/NAME.bin of ESP-IDF, micropython.bin of MicroPython"


class ImageError(ConfigError):
    """`fault` says which of the checks failed."""

    def __init__(self, fault: Fault, text: str, next_step: str = _REMEDY) -> None:
        super().__init__(text, next_step=next_step)
        self.fault = fault


class Application(Struct, frozen=True):
    """An application's description of itself."""

    chip: str
    project: str
    version: str
    size_bytes: int


def read_application(data: bytes, *, chip: str, slot_bytes: int | None = None) -> Application:
    """The application in `data`; ImageError when no slot of this chip could hold and start it."""
    if data[:1] != IMAGE_MAGIC:
        raise ImageError("no_application", "that is no image for an ESP32: it does not begin as one")
    try:
        chip_id, end = image_end(data, 0, "the image")
    except Damage as exc:
        fault: Fault = "cut" if "ends within" in str(exc) else "damaged"
        raise ImageError(fault, f"the image {exc}", "get or build it again") from exc
    if chip_id != CHIP_IDS[chip]:
        known = {number: name for name, number in CHIP_IDS.items()}
        text = f"the image is for the {known.get(chip_id, f'chip number {chip_id}')}, not for the {chip}"
        raise ImageError("wrong_chip", text, "give another --board, or the image for this one")
    described = app_description(data)
    if described is None:
        raise ImageError("no_application", "the image has no application descriptor: it may be a bootloader")
    if not data[HASH_FLAG_AT]:
        raise ImageError(
            "damaged", "the image carries no SHA-256 of itself", "build it with the hash appended (default)"
        )
    if end != len(data):
        text = f"{len(data) - end} bytes follow the application: this is a whole flash image, or has a tail"
        raise ImageError("not_alone", text)
    if slot_bytes is not None and len(data) > slot_bytes:
        text = f"the image has {len(data)} bytes, and the slot has {slot_bytes}"
        raise ImageError("too_large", text, "use a partition table with larger slots, or a smaller application")
    return Application(chip, described.project, described.version, len(data))
