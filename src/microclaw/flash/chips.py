"""The chips that `flash` knows: how images name them, where images start, which stock image and profile fits.

Sources: ESP-IDF esp_app_format (esp_chip_id_t), esptool targets (BOOTLOADER_FLASH_OFFSET), micropython.org/download.
"""

from __future__ import annotations

from typing import Final

from msgspec import Struct

from microclaw.boards.reader import board_ids, load_board
from microclaw.errors import ConfigError

MB: Final = 1 << 20
MIN_MICROPYTHON: Final = (1, 24)
"""The oldest MicroPython that our files run on."""
OLDEST: Final = ".".join(map(str, MIN_MICROPYTHON))
STOCK_RELEASE: Final = "20250911-v1.26.1"
"""The release that `flash` names; its files are checked against SHA256 where it is known."""
STOCK_SITE: Final = "https://micropython.org/resources/firmware/"

# Computed from copies of the official files; micropython.org itself publishes none. A file that is not here is checked
# by the digests inside the image alone, and `flash` says so.
STOCK_SHA256: Final = {
    "ESP32_GENERIC-20250911-v1.26.1.bin": "6b5272b6edd15fc4d1627ec559a27a5d5a7b86e5ea7f8013941eb10c877edd4e",
    "ESP32_GENERIC_S3-20250911-v1.26.1.bin": "d6c48687f684cc7c002a0a4acd258f881c4b391f3ef121726a3b7cd285dcdbbc",
}


class Chip(Struct, frozen=True):
    """`image_id`: the chip in an image's header; `image_start`: where in the flash the chip looks for a bootloader."""

    name: str
    image_id: int
    image_start: int
    stock: str
    stock_octal_psram: str | None = None  # for modules whose PSRAM has eight data lines
    stock_psram: str | None = None

    def stock_image(self, psram_bytes: int | None) -> str:
        """The official file's name for a board of this chip."""
        octal = self.stock_octal_psram if (psram_bytes or 0) >= 8 * MB else None  # ESP32-S3 datasheet, table 1
        return f"{octal or (psram_bytes and self.stock_psram) or self.stock}-{STOCK_RELEASE}.bin"

    def profiles(self) -> tuple[str, ...]:
        """The ids of the board profiles with this chip; the first is taken when nobody is asked."""
        first = {"ESP32-S3": "esp32-s3-devkitc-1-v1.1"}.get(self.name)
        found = (board for board in board_ids() if board != "virtual" and load_board(board).chip == self.name)
        return tuple(sorted(found, key=lambda board: (board != first, board)))


CHIPS: Final = {
    chip.name: chip
    for chip in (
        Chip("ESP32", 0, 0x1000, "ESP32_GENERIC", stock_psram="ESP32_GENERIC-SPIRAM"),
        Chip("ESP32-S3", 9, 0, "ESP32_GENERIC_S3", stock_octal_psram="ESP32_GENERIC_S3-SPIRAM_OCT"),
        Chip("ESP32-C3", 5, 0, "ESP32_GENERIC_C3"),
        Chip("ESP32-C6", 13, 0, "ESP32_GENERIC_C6"),
    )
}


def chip_named(name: str) -> Chip:
    """The chip as esptool calls it; ConfigError when our files do not run on it."""
    if name not in CHIPS:
        raise ConfigError(
            f"this board's chip is a {name}, on which microclaw's files were never tried",
            next_step=f"use a board with {', '.join(CHIPS)}",
        )
    return CHIPS[name]


def chip_of_image(image_id: int) -> str:
    """The chip's name for people."""
    return next((chip.name for chip in CHIPS.values() if chip.image_id == image_id), f"chip number {image_id}")
