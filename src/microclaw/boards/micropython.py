"""The features of a board with our MicroPython firmware (firmware/) in place of the profile's ESP-WASMachine.

Pins, LED and I2C are the board's own. It asks no board.
"""

from __future__ import annotations

from typing import Final

from msgspec.structs import replace

from microclaw.boards.profile import BoardProfile

MAX_PROGRAMS: Final = 8
"""That run at once: firmware/fw/board.py. They share the memory, so on a board without PSRAM fewer may fit."""
MAX_PROGRAM_BYTES: Final = 32_768
"""Of .mpy: py/compile.py refuses larger ones."""
POWER_CUT: Final = "Programs are in its flash: after a power cut or reset they start again by themselves."
SOURCE: Final = "firmware/fw/board.py, storage.py and runner.py; docs/decisions/0036-micropython-firmware.md"


def with_micropython(board: BoardProfile) -> BoardProfile:
    """The board with this firmware. A limit of programs that a person described for it stays."""
    firmware = board.firmware
    is_limited = any(word.startswith("max_apps=") for word in firmware.described)
    return replace(
        board,
        power_cut=POWER_CUT,
        firmware=replace(
            firmware,
            native_groups=frozenset(),
            natives_added=frozenset(),
            natives_lacking=frozenset(),
            device_nodes=frozenset(),
            max_apps=firmware.max_apps if is_limited else MAX_PROGRAMS,
            max_module_bytes=MAX_PROGRAM_BYTES,
            max_memory_bytes=0,
            max_heap_bytes=None,
            max_timers=None,
            apps_survive_reset=True,
            no_stock_build=None,
            source=SOURCE,
        ),
    )
