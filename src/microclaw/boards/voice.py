"""The board of a device that is only spoken to: no pins, no programs. It is none of `board_ids`.

Foreign firmware for voice runs on some 170 boards, and nothing of them is for this host but the ears and the mouth.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import Final

from microclaw.boards.profile import BoardProfile, Firmware

_SOURCE: Final = "docs/xiaozhi.md"
VOICE_BOARD: Final = BoardProfile(
    board_id="voice",
    title="voice device",
    chip="ESP32",
    flash_mb=0,
    psram_mb=0,
    pins=MappingProxyType({}),
    led=None,
    i2c=None,
    firmware=Firmware(
        native_groups=frozenset(),
        device_nodes=frozenset(),
        attribute_generation="new",
        max_apps=0,
        app_heap_bytes=0,
        max_module_bytes=0,
        max_memory_bytes=0,
        apps_survive_reset=False,
        source=_SOURCE,
        no_stock_build="its firmware is somebody else's and runs no programs of this host",
        has_files=False,
    ),
    power_cut="It runs no programs of this host: nothing is lost.",
    no_led="its firmware lets nobody else switch a pin",
    no_led_source=_SOURCE,
)
