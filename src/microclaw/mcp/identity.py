"""What this server says of itself. Plain values: the first answer is made from them before the library is loaded."""

from __future__ import annotations

from typing import Final

from microclaw import __version__

NAME: Final = "microclaw"
TITLE: Final = "microclaw: programs for ESP32-class boards"
VERSION: Final = __version__
INSTRUCTIONS: Final = (
    "Drives microcontroller boards through one microclaw host; without hardware there is a virtual board, virtual-1. "
    "Look first with list-devices. gpio-set, pwm-set, adc-read and i2c-read act or read at once and leave nothing "
    "behind. For anything that repeats or reacts write a C program: try it with try-program (nothing on a device "
    "changes), then deploy-wasm-app puts it on the board, where it runs by itself. Each result carries its evidence: "
    "counted (edges at the pins), reported (the board's own words) or accepted (no read-back): claim no more than "
    "that. undo takes back what the newest request changed. Some acts wait for a person's yes. "
    'A program is one C file: #include "microclaw.h", on_init opens pins, starts timers and returns: '
    "static int led; static void tick(void) { gpio_toggle(led); } "
    "void on_init(void) { led = gpio_open(2, GPIO_OUT); every(500, tick); } "
    "Every function is in the resource microclaw://headers/microclaw.h."
)

HANDSHAKE_VERSIONS: Final = ("2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25")
MODERN_VERSION: Final = "2026-07-28"
